"""
Test images that were seen in training
======================================

**The trap:** the same image, or a copy of it that was shifted or mirrored, lies in the training split and in the test split. The
model remembers it. Test accuracy rises, and means nothing for new images.
"""

import numpy as np

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=0)
images, labels = data.train
new = tk.Split(data.test.images[:2000], data.test.labels[:2000])  # images that nobody touches: the truth

# %%
# Fall into it: copies first, split later
# ---------------------------------------
#
# There are only 1,000 images, so a student makes three more of each by shifting it by one pixel, and then splits the
# 4,000 at random. Copies of one image land on both sides.

shifts = [(0, 0), (1, 0), (-1, 0), (0, 1)]
many = np.concatenate([np.roll(images, shift, axis=(1, 2)) for shift in shifts])
many_labels = np.tile(labels, len(shifts))
order = np.random.default_rng(0).permutation(len(many))
train, test = order[:3000], order[3000:]
leaky = tk.Dataset.from_arrays(
    train=(many[train], many_labels[train]), test=(many[test], many_labels[test]), class_names=data.class_names
)

# %%
# The right way: split the originals, then copy the training images only.

order = np.random.default_rng(0).permutation(len(images))
train, test = order[:750], order[750:]
copies = np.concatenate([np.roll(images[train], shift, axis=(1, 2)) for shift in shifts])
clean = tk.Dataset.from_arrays(
    train=(copies, np.tile(labels[train], len(shifts))), test=(images[test], labels[test]), class_names=data.class_names
)

# %%
# Two models, both ways. Both trainings have 3,000 images.

for name in ("k_nearest_neighbors", "random_forest"):
    for way, split in (("copied, then split", leaky), ("split, then copied", clean)):
        model = tk.build_baseline(name)
        run = tk.train(model, split, name=name, verbose=False)
        truth = (model.predict(new.images) == new.labels).mean()
        print(f"{name:>20}, {way}: test {run.metrics['accuracy']:.1%}, new images {truth:.1%}")

# %%
# *Observe:* the leak makes the test accuracy too high by several points. On images that are really new, both ways are about
# equal: the model has not become better, only its mark has.
#
# What transferkit does
# ---------------------
#
# Augmentation belongs to training: ``tk.train(..., augment=("flip", "shift"))`` makes the copies, from training images only,
# after the split. Equal images in two splits are refused:

with_leak = (np.concatenate([images[train], images[test[:20]]]), np.concatenate([labels[train], labels[test[:20]]]))
try:
    tk.Dataset.from_arrays(train=with_leak, test=(images[test], labels[test]), class_names=data.class_names)
except tk.errors.DataError as error:
    print(error)

# %%
# Shifted copies are not equal, so you have to ask for them. ``find_duplicates`` compares every pair of images; the distance is the
# root mean square difference in grey levels.

print("leaky:", tk.find_duplicates(leaky, max_distance=20))
print("clean:", tk.find_duplicates(clean, max_distance=20))

# %%
# A shift by one pixel moves every edge, so even a copy can be far away in grey levels. A small number found is no proof
# that there is no leak; know where your images come from.
#
# Fashion-MNIST itself
# --------------------
#
# It has test images that are nearly training images, too. ``accuracy_without`` tells what a saved run reaches without
# them.

full = tk.load_fashion_mnist(validation=0)
found = tk.find_duplicates(full, max_distance=300 / 28)
print(found)
print(tk.accuracy_without(tk.load_runs("../../docs/results/quick")[0], found))

# %%
# **Do this instead:** split first. Put everything that belongs together (copies, frames of one video, photographs of one
# person) on one side. Look for duplicates before you believe a result.
#
# Barz, B. & Denzler, J. (2020). Do we train on test data? Purging CIFAR of near-duplicates. *Journal of Imaging* 6(6).
# `doi:10.3390/jimaging6060041 <https://doi.org/10.3390/jimaging6060041>`_.
