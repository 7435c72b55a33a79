"""
A frozen backbone whose BatchNorm is not frozen
===============================================

**The trap:** no weight of the backbone is trained, but its BatchNorm layers run in training mode: they use the statistics of each
batch, and overwrite the averages that came with the pretrained weights. The features change under the head.
"""

from dataclasses import replace

import transferkit as tk
import keras
import numpy as np
from keras import layers

data = tk.load_fashion_mnist(labels_per_class=50, validation=200)
data = replace(data, test=tk.Split(data.test.images[:500], data.test.labels[:500]))
print(data)

# %%
# A good model
# ------------
#
# MobileNet, frozen, with a head that fits its features.

model = tk.build_transfer_model("mobilenet")
run = tk.train(model, data, head="logistic", name="frozen", verbose=False)
print(f"test accuracy {run.metrics['accuracy']:.1%}")

# %%
# Fall into it
# ------------
#
# Let the backbone's BatchNorm layers train, and let images pass in training mode, as ``fit`` does. There is no optimiser here: not a
# single weight learns. Only the averages move.

tk.unfreeze(model, verbose=False)
for start in range(0, 320, 32):
    model(data.train.images[start : start + 32], training=True)
after = tk.evaluate(model, data.test).metrics["accuracy"]
print(f"test accuracy after 10 batches: {after:.1%}")

# %%
# Which switch holds it?
# ----------------------
#
# Keras has two: ``layer.trainable = False``, and ``backbone(x, training=False)`` when the model is built. The second is in many tutorials. A
# BatchNorm layer alone shows what each does during ``fit``: does its average move?


def average_after_fit(*, trainable, training):
    """Fit one epoch on numbers around 10, and return the running mean; it starts at 0."""
    normalise = layers.BatchNormalization()
    inputs = keras.Input((4,))
    outputs = layers.Dense(1)(normalise(inputs, training=training))
    normalise.trainable = trainable
    network = keras.Model(inputs, outputs)
    network.compile("adamw", "mean_squared_error")
    network.fit(np.full((320, 4), 10.0) + np.random.default_rng(0).normal(size=(320, 4)), np.zeros(320), verbose=0)
    return float(np.mean(normalise.moving_mean))


print(f"Keras {keras.__version__}")
for trainable in (True, False):
    for training in (None, False):
        mean = average_after_fit(trainable=trainable, training=training)
        print(f"trainable={trainable!s:5}, called with training={training!s:5}: average {mean:.2f}")

# %%
# *Observe:* only ``trainable=False`` keeps the average at 0. In this version of Keras, ``fit`` runs the layer in training mode even where it was
# called with ``training=False``. Code that relies on it protects nothing.
#
# What transferkit does
# ---------------------
#
# Frozen means ``trainable=False`` for every layer, so its BatchNorm cannot move. When you unfreeze, you choose: BatchNorm trains too
# (the default, good for batches of 32 or more of images that differ from ImageNet), or it keeps ImageNet's statistics:

model = tk.build_transfer_model("mobilenet")
tk.unfreeze(model)
tk.unfreeze(model, batch_norm=False)
moving = next(layer for layer in model.get_layer("backbone").layers if isinstance(layer, layers.BatchNormalization))
before = moving.moving_mean.numpy().copy()
model(data.train.images[:32], training=True)
print("moved by", np.abs(moving.moving_mean.numpy() - before).max())

# %%
# If BatchNorm trains, ``train`` and ``fine_tune`` estimate its averages again before each validation (:doc:`04_batchnorm_momentum`), so that head
# and features fit together when they are tested.
#
# **Do this instead**, with plain Keras: ``backbone.trainable = False`` before ``compile``, and after a fit compare ``moving_mean`` of one layer
# with what it was.
