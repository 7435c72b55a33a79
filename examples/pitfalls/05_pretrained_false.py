"""
"Pretrained", with random weights
=================================

**The trap:** the text says "we take a MobileNet that was trained on ImageNet", and the code says ``weights=None``. A
notebook of the course that this library was made for had it: ``mobilenet_v2(weights=False)``. It runs, it trains, and the
comparison is about something else.
"""

import warnings
from dataclasses import replace

import transferkit as tk
import keras

data = tk.load_fashion_mnist(labels_per_class=50, validation=200)
data = replace(data, test=tk.Split(data.test.images[:500], data.test.labels[:500]))
print(data)

# %%
# Fall into it
# ------------
#
# From outside the two networks cannot be told apart: same layers, same shapes, same number of parameters. Keras does not
# record where weights came from. In this model they came from a random generator:

network = keras.applications.MobileNet(input_shape=(64, 64, 3), include_top=False, weights=None)
network.trainable = False
print(f"{network.name}: {network.count_params():,} parameters")

# %%
# What it costs
# -------------
#
# The same frozen network with ImageNet weights and with random ones; only the last layer learns.

pretrained = tk.build_transfer_model("mobilenet", pretrained=True)
random = tk.build_transfer_model("mobilenet", pretrained=False, freeze=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    runs = [
        tk.train(pretrained, data, head="logistic", name="ImageNet weights", verbose=False),
        tk.train(random, data, head="logistic", name="random weights", verbose=False),
    ]
for run in runs:
    print(f"{run.name}: test accuracy {run.metrics['accuracy']:.1%}")
print("Warning:", *(message.message for message in caught if message.category is tk.errors.TransferKitWarning))

# %%
# *Observe:* frozen random weights are no better than chance (10%), and transferkit says why. But if all layers train, the mistake
# hides well: then it is training from scratch, which works, with enough images. It only says nothing about transfer.
#
# What transferkit does
# ---------------------
#
# A model knows where its weights came from, and its run keeps that: source, SHA-256 of the file, width, and the size of image that
# they were trained on.

for run in runs:
    weights = run.model_info["provenance"]
    print(f"{run.name}:", {key: weights[key] for key in weights if key in ("source", "backbone", "sha256")})

# %%
# A network of your own is recorded as your own, whatever the text says. Nobody but you can know what its weights are.

mine = tk.build_transfer_model(network, pretrained=True, preprocessing="tf")
print(mine.provenance.source)

# %%
# ``pretrained=True`` never falls back to random weights. If they do not exist, or cannot be had, that is an error:

for options in ({"width": 0.6}, {"pretrained": "my_weights.h5"}, {"pretrained": None}):
    try:
        tk.build_transfer_model("mobilenet", **options)
    except tk.errors.TransferKitError as error:
        print(type(error).__name__, "-", error, "\n")

# %%
# And the report of ``compare_runs`` says for each model how it began:

report = tk.compare_runs(runs).to_markdown()
print(report.split("### Where the weights came from")[1].split("###")[0].strip())

# %%
# **Do this instead:** let the record say it, not the text. With plain Keras, print the mean of some weights before and after
# loading, or test the untouched network on an image whose ImageNet class you know.
