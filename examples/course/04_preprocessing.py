"""
From pixels to numbers
======================

A network wants small numbers, a classical model wants one row of numbers for each image. This page shows where the scaling happens,
what *flatten* does, and what it throws away.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import transferkit as tk
from transferkit.errors import DataError

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
print(data)

# %%
# Scaling is a layer of the model
# -------------------------------
#
# Pixels go from 0 to 255. Steps of gradient descent behave better when inputs lie near 0 and 1, so something has to divide by 255. In
# transferkit this is the first layer of each model, not a line in your program:

model = tk.build_cnn(filters=(8, 16))
for layer in model.layers[:3]:
    print(f"{layer.name:10} {type(layer).__name__:10} {layer.output.shape}")
print("the layer multiplies by 1 /", round(1 / model.get_layer("rescaling").scale))

# %%
# Then nobody can forget it, and nobody can do it twice. Done twice, all pixels lie between 0 and 0.004: the network sees black
# images, and no error message appears. So transferkit refuses pixels that somebody has already divided:

images, labels = data.train
try:
    tk.Dataset.from_arrays(train=(images / 255, labels), test=data.test)
except DataError as error:
    print(textwrap.fill(str(error), 100))

# %%
# Flatten
# -------
#
# Logistic regression, naive Bayes and other classical models know nothing of rows and columns. They take a row of numbers: 28 x 28
# pixels become 784 columns, line after line.

image = data.train.images[0, :, :, 0]
figure, (left, right) = plt.subplots(2, 1, figsize=(6.4, 4.2), height_ratios=(5, 1), layout="constrained")
left.imshow(image, cmap="gray")
left.set_title(f"image: {image.shape[0]} x {image.shape[1]}")
right.imshow(image.reshape(1, -1), cmap="gray", aspect="auto")
right.set_title(f"flattened: {image.size} numbers")
_ = right.set_yticks([])

# %%
# ``build_baseline`` gives a scikit-learn pipeline that flattens, divides by 255 and classifies. It takes the same raw images as a
# network, and ``train`` records the same things about it. (``C=0.01`` keeps the weights of the logistic regression small, so that it is
# fitted in a few steps and learns less by heart.)

runs = [
    tk.train(tk.build_baseline("naive_bayes"), data, name="naive Bayes", verbose=False),
    tk.train(tk.build_baseline("logistic_regression", C=0.01), data, name="logistic regression", verbose=False),
]
for run in runs:
    print(run)

# %%
# What flatten throws away
# ------------------------
#
# In the row of 784 numbers, the pixel below is 28 places away, and the model is not told. To see what that means, shuffle the pixels: draw
# one random order, and bring the pixels of *every* image, training and test, into this order.

order = np.random.default_rng(0).permutation(28 * 28)


def shuffle_pixels(split):
    """Bring the pixels of every image into the same random order."""
    flat = split.images.reshape(len(split.images), -1)
    return flat[:, order].reshape(split.images.shape), split.labels


train, validation, test = (shuffle_pixels(split) for split in data)
shuffled = tk.Dataset.from_arrays(train, test, validation, class_names=data.class_names, name="shuffled pixels")
_ = tk.plot_samples(shuffled, per_class=6)

# %%
# No person can tell a boot from a bag now. Train the same two models on these images, and a small convolutional network as well, once
# on the real images and once on the shuffled ones.

builders = {
    "naive Bayes": lambda: tk.build_baseline("naive_bayes"),
    "logistic regression": lambda: tk.build_baseline("logistic_regression", C=0.01),
}
table = pd.DataFrame({"real": {run.name: run.metrics["accuracy"] for run in runs}})
for name, build in builders.items():
    table.loc[name, "shuffled"] = tk.train(build(), shuffled, name=name, verbose=False).metrics["accuracy"]
for column, images_in in (("real", data), ("shuffled", shuffled)):
    run = tk.train(tk.build_cnn(filters=(8, 16)), images_in, epochs=10, name="small CNN", verbose=False)
    table.loc["small CNN", column] = run.metrics["accuracy"]
print((100 * table).round(1).to_string())

# %%
# *Observe:* the classical models do not notice. For them neighbours never existed, so they lose nothing (the last digit may move,
# because sums are added in another order). The network loses, because a convolution looks at neighbouring pixels, and here neighbours
# mean nothing. What the network knows about images beforehand is exactly this: *near pixels belong together*.
