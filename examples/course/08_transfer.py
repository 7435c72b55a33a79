"""
Transfer learning
=================

A network that has learned to tell 1,000 kinds of things in photographs has learned much that is of use for other images: edges, textures,
shapes. Transfer learning keeps that part, the *backbone*, and replaces only the end, the *head*. This page does it with MobileNet (Howard et al. 2017) and 30 labelled
images of each class.
"""

from dataclasses import replace

import transferkit as tk
import keras
import numpy as np

data = tk.load_fashion_mnist(labels_per_class=30, validation=300)
data = replace(data, test=tk.Split(data.test.images[:1000], data.test.labels[:1000]))  # few, so that this page is quick
print(data)

# %%
# A new end for an old network
# ----------------------------
#
# *Observe:* the layers before the backbone make garments into what MobileNet knows: enlarged to 64 pixels, three
# channels, numbers from -1 to 1. Behind it come the mean of each of the 1,024 feature maps, and the new output layer.

model = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
for layer in model.layers:
    print(f"{layer.name:12} {layer.output.shape!s:22} {layer.count_params():>9,} parameters")

# %%
# The old output layer multiplied 1,024 features by 1,000 columns of weights, one for each class of ImageNet, and added
# 1,000 biases. Ours has a column for each of 10 classes.

old, new = 1024 * 1000 + 1000, 1024 * 10 + 10
weights, biases = model.get_layer("predictions").get_weights()
print("old output layer: ", f"{old:,}")
print("new output layer: ", f"{new:,}", weights.shape, biases.shape)
print("whole network now:", f"{model.count_params():,}")

# %%
# Freezing
# --------
#
# *Frozen* weights are not changed by training. With ``freeze=True`` only the new layer learns. This cell counts what
# that leaves to 300 images.

trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
print(f"trainable: {trainable:,} of {model.count_params():,} parameters ({trainable / model.count_params():.1%})")

# %%
# ``freeze="conv_pw_5_relu"`` would freeze everything up to that layer, ``tk.unfreeze(model)`` lets all of it train
# again.
#
# Features, once
# --------------
#
# A frozen network gives the same features for an image in every epoch. So they are computed once and kept on disk, and
# training the new layer is nothing but a logistic regression on 1,024 numbers. ``train`` does so by itself; this is
# what it works on:

features = tk.extract_features(model, data.train.images)
print(features.shape, features.dtype)

# %%
# With ``head="logistic"`` the new layer is not trained step by step: its optimum is computed, and the validation images
# choose the strength of the penalty.

frozen = tk.train(model, data, head="logistic", name="pretrained features", verbose=False)
print(frozen)

# %%
# Is it the pretraining?
# ----------------------
#
# Perhaps any large network would do. Two controls: the same network with random weights, frozen as well, and a logistic
# regression on the pixels themselves, without any network. To be fair to the random network, its batch normalisation (explained below)
# first gets the statistics of 50 training images; without them what goes in fades away on its way through 27 layers.

scratch = tk.build_transfer_model("mobilenet", pretrained=False)
for layer in scratch.get_layer("backbone").layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0  # keep the statistics of the next batch as they are
scratch(data.train.images[:50], training=True)
tk.freeze(scratch, verbose=False)
random = tk.train(scratch, data, head="logistic", name="random features", verbose=False)
pixels = tk.train(tk.build_baseline("logistic_regression"), data, name="pixels", verbose=False)

comparison = tk.compare_runs([frozen, pixels, random], baseline="pixels")
print((comparison.table[["accuracy", "accuracy_low", "accuracy_high", "difference"]] * 100).round(1).to_string())
_ = tk.plot_accuracy([frozen, pixels, random])

# %%
# And which of the differences are real?

pairs = comparison.tests[["a", "b", "difference", "p_holm", "verdict"]].copy()
pairs["difference"] = (100 * pairs["difference"]).round(1)
print(pairs.round(4).to_string(index=False))

# %%
# *Observe:* where does the random network stand? It has the same layers and the same size, so whatever the pretrained one
# has over it was learned from ImageNet. The comparison with the pixels is the one to watch in practice: on images that a
# simple model can already read, pretraining has little left to give. Compare with a simple model before you believe in a
# large one.
#
# BatchNorm, the trap
# -------------------
#
# MobileNet has a batch normalisation behind each convolution. It works in two ways. In training it uses mean and
# variance of the present batch, and updates its running statistics; at test time it uses the running statistics. A
# frozen layer must work in the second way even during training, or the statistics of ImageNet are overwritten by those
# of a few garments although no weight was trained. Keras does that where ``layer.trainable`` is False, and
# ``build_transfer_model`` sets it for every frozen layer. Check it: five steps of ordinary ``fit`` must leave the
# statistics alone.

normalisation = model.get_layer("backbone").get_layer("conv1_bn")
before = normalisation.moving_mean.numpy()
model.fit(data.train.images[:160], data.train.labels[:160], batch_size=32, verbose=0)
print("frozen, statistics changed by:       ", float(np.abs(normalisation.moving_mean.numpy() - before).max()))

normalisation = scratch.get_layer("backbone").get_layer("conv1_bn")
tk.unfreeze(scratch, verbose=False)
before = normalisation.moving_mean.numpy()
scratch.fit(data.train.images[:32], data.train.labels[:32], batch_size=32, verbose=0)
print("from scratch, statistics changed by: ", float(np.abs(normalisation.moving_mean.numpy() - before).max()))

# %%
# The second number must *not* be zero: a network that starts empty has to collect its statistics.
#
# More images, and all layers
# ---------------------------
#
# The homework's four runs, on 100 images of each class: a CNN, MobileNet frozen, fine-tuned (the new layer first, then
# all layers), and from scratch. They were made by ``python examples/assignment.py`` and are kept in
# ``docs/results/quick``.

comparison = tk.compare_runs(tk.load_runs("../../docs/results/quick"), baseline="CNN")
print((comparison.table[["accuracy", "accuracy_low", "accuracy_high", "difference"]] * 100).round(2).to_string())
print(comparison.table[["loss", "trainable_parameters", "train_seconds", "epochs"]].round(2).to_string())
_ = comparison.plot()

# %%
# *Observe:* pretrained against from scratch, the same network: about fourteen points apart when all layers learn. Pretrained
# against the small CNN: three and a half points, and the frozen one is behind. Which of these comparisons answers *your*
# question?
#
# Howard, A. G. et al. (2017). MobileNets: efficient convolutional neural networks for mobile vision applications.
# `arXiv:1704.04861 <https://arxiv.org/abs/1704.04861>`_.
