"""
Images: MNIST and Fashion-MNIST
===============================

Fashion-MNIST (Xiao et al. 2017) is made like MNIST, so that every program for handwritten digits can be tried on clothes:
70,000 images, 28 x 28 pixels, one channel, 10 classes. The digits have become too easy; the garments have not.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferkit as tk

data = tk.load_fashion_mnist()
print(data)

# %%
# What an image is
# ----------------
#
# An array of whole numbers from 0 (black) to 255 (white). transferkit keeps images like this everywhere, in the order *image,
# row, column, channel*, and labels as the number of the class.

print(data.train.images.shape, data.train.images.dtype)
print(data.train.labels[:10])
print(data.class_names)

# %%
# On the left the first training image, on the right the numbers in its orange frame. A network sees the numbers, nothing else.

image = data.train.images[0, :, :, 0]
rows, columns = slice(3, 11), slice(10, 18)
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
left.imshow(image, cmap="gray")
left.add_patch(plt.Rectangle((9.5, 2.5), 8, 8, fill=False, color="#D55E00", linewidth=2))
right.imshow(image[rows, columns], cmap="gray", vmin=0, vmax=255, extent=(9.5, 17.5, 10.5, 2.5))
for row in range(3, 11):
    for column in range(10, 18):
        value = image[row, column]
        right.text(column, row, value, ha="center", va="center", color="white" if value < 128 else "black")

# %%
# What the classes look like
# --------------------------
#
# Look at your images before you train on them. *Observe:* pullover, coat and shirt differ in a collar or a row of buttons, a
# few pixels each. Which classes will a network confuse?

_ = tk.plot_samples(data)

# %%
# The mean of all training images of a class shows what they have in common. *Observe:* which means are sharp, and which are blurred
# because the garments differ?

images, labels = data.train
means = [images[labels == label].mean(axis=0) for label in range(data.num_classes)]
figure, grid = plt.subplots(2, 5, figsize=(7, 3.2), layout="constrained")
for mean, name, ax in zip(means, data.class_names, grid.flat, strict=True):
    ax.imshow(mean, cmap="gray")
    ax.set_title(name, fontsize="medium")
    ax.axis("off")

# %%
# The simplest classifier of all: to which of these ten pictures is an image nearest, pixel by pixel?

images, labels = data.validation
distances = [np.square(images - mean).sum(axis=(1, 2, 3)) for mean in means]
print(f"right: {(np.argmin(distances, axis=0) == labels).mean():.1%} of {len(labels):,} validation images")

# %%
# Guessing gives 10%. Everything in this course has to be better than ten blurred pictures.
#
# MNIST and your own images
# -------------------------
#
# ``tk.load_mnist()`` gives the digits in the same form, and ``tk.load_image_folder("photos", image_size=128)`` reads a folder
# with one subfolder for each class. Whatever follows in this course works on all three.
#
# Xiao, H., Rasul, K. & Vollgraf, R. (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning
# algorithms. `arXiv:1708.07747 <https://arxiv.org/abs/1708.07747>`_.
