"""
Training, validation, test
==========================

A network is fitted to one part of the images, tuned on a second and measured on a third. The third part answers one question:
how good will it be on images that nobody has seen? It can answer only once.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

import transferkit as tk
from transferkit.errors import DataError

data = tk.load_fashion_mnist()
for name, split in zip(("train", "validation", "test"), data, strict=True):
    print(f"{name:10}  {len(split.labels):6,} images  {len(split.labels) / 70_000:.0%}")

# %%
# About 70 / 15 / 15. The 10,000 test images are the official ones, the same for everybody, so that results can be compared. The
# 60,000 others are divided by transferkit.
#
# ===========  ===========================================  ================================
# split        is used for                                  how often
# ===========  ===========================================  ================================
# training     fitting the weights                          every step
# validation   choosing: the epoch, the learning rate, ...  as often as you like
# test         one number in the report                     once, after everything is chosen
# ===========  ===========================================  ================================
#
# Why the test images choose nothing
# ----------------------------------
#
# Take 200 "models" that only guess. Each is right about once in ten times. Test all of them on 500 images and keep the best:

rng = np.random.default_rng(0)
chooses, measures = data.validation.labels[:500], data.test.labels
on_chooses = (rng.integers(10, size=(200, 500)) == chooses).mean(axis=1)
on_measures = (rng.integers(10, size=(200, 10_000)) == measures).mean(axis=1)
best = on_chooses.argmax()
print(f"the best of 200: {on_chooses[best]:.1%} on the images that chose it, {on_measures[best]:.1%} on new ones")

ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1]
ax.hist(on_chooses, bins=np.arange(0.059, 0.16, 0.004), color="#56B4E9", label="200 guessers on 500 images")
ax.axvline(on_chooses[best], color="#D55E00", linewidth=2, label="the best of them, on the same images")
ax.axvline(on_measures[best], color="#0072B2", linewidth=2, linestyle="--", label="the same one, on 10,000 new images")
ax.xaxis.set_major_formatter("{x:.0%}")
ax.set_xlabel("accuracy")
ax.set_ylabel("number of guessers")
_ = ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))

# %%
# *Observe:* nobody learned anything, and still the best of many looks better than it is. The same happens with real networks
# when the test accuracy chooses the epoch, the learning rate or the model. So transferkit chooses with the validation split alone,
# and a run that was chosen on test images gets no verdict in a comparison.
#
# Stratified and seeded
# ---------------------
#
# *Stratified* means that each class has the same share in each split. *Seeded* means that the division is random but the same
# every time. Another seed gives another validation split; the test split never changes.

for name, split in zip(("train", "validation", "test"), data, strict=True):
    print(f"{name:10}", np.bincount(split.labels))

# %%
# A *fingerprint* is a checksum (SHA-256) of all images and labels of a split. Equal fingerprints mean equal data, to the last
# pixel. Every run records them, and ``compare_runs`` refuses runs whose test fingerprints differ.

for seed in (0, 1):
    prints = tk.load_fashion_mnist(seed=seed).fingerprints
    print(f"seed {seed}:", {name: value[:12] for name, value in prints.items()})

# %%
# An image in two splits is refused
# ---------------------------------
#
# A training image among the test images makes the result too good, because the network may know it by heart. Here a student cuts
# their own arrays and is wrong by ten images:

images, labels = data.train
try:
    tk.Dataset.from_arrays(train=(images[:1000], labels[:1000]), test=(images[990:1500], labels[990:1500]))
except DataError as error:
    print(textwrap.fill(str(error), 100))

# %%
# Fewer labels, nested
# --------------------
#
# How many labelled images does one need? ``labels_per_class`` keeps that many of each class. The subsets are *nested*: the images of
# the small one are all in the large one, so a difference in accuracy comes from more images, not from other images.

small, large = data.subset(10), data.subset(100)
print(small)
print(large)
in_large = {image.tobytes() for image in large.train.images}
print("all in the large one:", all(image.tobytes() in in_large for image in small.train.images))

# %%
# Nearly equal images
# -------------------
#
# Two photographs of the same shoe are not equal, but nearly. ``find_duplicates`` compares each test image with each training image. On
# 5,000 of the training images this takes seconds:

few = tk.load_fashion_mnist(labels_per_class=500, validation=0)
found = tk.find_duplicates(few, max_distance=500 / 28, splits=["test"])
print(found)

# %%
# The eight nearest pairs: test images above, the nearest training image below each.

nearest = found.table.sort_values("distance").head(8)
pairs = np.concatenate([few.test.images[nearest["index"]], few.train.images[nearest["train_index"]]])
_ = tk.plot_samples((pairs, np.repeat([0, 1], len(nearest))), ["test", "training"])

# %%
# *Observe:* which classes are these? A simple garment has many twins. Whether they matter can be measured:
# ``accuracy_without(run, found)`` is the accuracy without these test images.
