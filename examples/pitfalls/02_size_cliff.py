"""
Images that are too small for the network
=========================================

**The trap:** a pretrained network is given images of 28 or 32 pixels, because the images are that small. It accepts them, and its
features say nothing.
"""

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=200)
data = replace(data, test=tk.Split(data.test.images[:1000], data.test.labels[:1000]))
print(data)

# %%
# Why
# ---
#
# MobileNet halves the size of its image five times. At 64 pixels its last feature map has 2 x 2 points. Below that a single
# point is left, and around it lies only the padding with zeros, which the network has never seen so much of.

for size in (32, 48, 64, 96, 224):
    print(f"{size:>3} px: last feature map {size // 32} x {size // 32}")

# %%
# Fall into it
# ------------
#
# The same frozen backbone, the same images enlarged to another size, the same head (logistic regression, exact).
# ``run.model_info`` records how many of the 1,024 features are the same for every image.

sizes = (32, 48, 64, 96)
runs, said = [], {}
for size in sizes:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model = tk.build_transfer_model("mobilenet", image_size=size)
        run = tk.train(model, data, head="logistic", name=f"{size} px", verbose=False)
    runs.append(run)
    said[size] = [str(message.message) for message in caught if message.category.__name__ == "TransferKitWarning"]
    dead, total = run.model_info["dead_features"]
    print(f"{size:>3} px: test accuracy {run.metrics['accuracy']:.1%}, constant features {dead:,} of {total:,}")

# %%

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.plot(sizes, [100 * run.metrics["accuracy"] for run in runs], marker="o")
axes.set(xlabel="Pixels a side that MobileNet sees", ylabel="Test accuracy (%)", xticks=sizes, ylim=(0, 100))
axes.grid(alpha=0.3)

# %%
# *Observe* the step between 48 and 64 pixels, and how much smaller the one from 64 to 96 is. No image has more detail at 64 pixels than at
# 28: all are the same 28 x 28 pixels, enlarged. It is the network that needs room.
#
# What transferkit does
# ---------------------
#
# The default size is the smallest round number with a last map of 2 x 2, 64 pixels for most backbones. A smaller one works, but
# you are told when the model is built, and again when ``train`` finds constant features:

for message in said[48]:
    print(message)

# %%
# Below the network's minimum it is an error:

try:
    tk.build_transfer_model("mobilenet", image_size=28)
except tk.errors.InvalidInputError as error:
    print(error)

# %%
# ``count_dead_features`` does the check for any model, on some hundred images:

print(tk.count_dead_features(tk.build_transfer_model("mobilenet"), data.validation.images))

# %%
# **Do this instead:** leave ``image_size`` out, or try larger ones if you have the time: cost grows with the square of the
# size. From scratch small images are fine: the network then learns what fits them, and ``build_cnn`` is made for 28 pixels.
