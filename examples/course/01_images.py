"""
Images: MNIST and Fashion-MNIST
===============================

Fashion-MNIST (Xiao et al. 2017) is made like MNIST, so that every program for handwritten digits can be tried on clothes:
70,000 images, 28 x 28 pixels, one channel, 10 classes. The digits have become too easy; the garments have not.
"""

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
# Here are the rows in which the eye of the first boot sits: numbers, nothing else.

print(data.train.images[0, 10:14, 4:16, 0])

# %%
# What the classes look like
# --------------------------
#
# Look at your images before you train on them. *Observe:* pullover, coat and shirt differ in a collar or a row of buttons, a
# few pixels each. Which classes will a network confuse?

_ = tk.plot_samples(data)

# %%
# MNIST and your own images
# -------------------------
#
# ``tk.load_mnist()`` gives the digits in the same form, and ``tk.load_image_folder("photos", image_size=128)`` reads a folder
# with one subfolder for each class. Whatever follows in this course works on all three.
#
# Xiao, H., Rasul, K. & Vollgraf, R. (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning
# algorithms. `arXiv:1708.07747 <https://arxiv.org/abs/1708.07747>`_.
