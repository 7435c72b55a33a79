"""
BatchNorm that remembers its first day
======================================

**The trap:** a network with batch normalisation is trained from scratch for a few hundred steps. Training accuracy is good, test
accuracy is at chance. The network is fine; the averages that BatchNorm uses at test time are not.
"""

from dataclasses import replace

import transferkit as tk
import keras
import numpy as np
from keras import layers

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
data = replace(data, test=tk.Split(data.test.images[:2000], data.test.labels[:2000]))
print(data)

# %%
# Two kinds of statistics
# -----------------------
#
# In training, BatchNorm normalises with the mean and variance of the batch. At test time it uses a running average, which each
# step moves a little: ``new = momentum * old + (1 - momentum) * batch``. At the start it holds mean 0 and variance 1, which is true of
# no layer. How much of that start is left depends on the momentum and the number of steps:

for momentum in (0.9, 0.99, 0.999):
    print(f"momentum {momentum}:", ", ".join(f"{momentum**steps:.0%} after {steps} steps" for steps in (80, 590, 5000)))

# %%
# MobileNetV2 and V3 come with 0.999 in Keras, MobileNet with Keras's default, 0.99.

network = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)
print({layer.momentum for layer in network.layers if isinstance(layer, layers.BatchNormalization)})

# %%
# Fall into it
# ------------
#
# A small network with plain Keras: 1,000 images, 5 epochs, 80 steps. After training, the same weights are tested twice: as
# ``predict`` does, with the running averages, and with the statistics of the test batch itself.


def build(momentum):
    """Return a small network with three BatchNorm layers; the same initial weights each time."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)]
    for filters in (16, 32, 64):
        stack += [layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)]
        stack += [layers.BatchNormalization(momentum=momentum), layers.ReLU()]
    model = keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.AdamW(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


for momentum in (0.9, 0.99, 0.999):
    model = build(momentum)
    history = model.fit(*data.train, batch_size=64, epochs=5, verbose=0)
    predicted = model.predict(data.test.images, batch_size=500, verbose=0).argmax(axis=1)
    averages = np.mean(predicted == data.test.labels)
    by_batch = np.asarray(model(data.test.images, training=True)).argmax(axis=1)
    batch = np.mean(by_batch == data.test.labels)
    print(
        f"momentum {momentum}: last training accuracy {history.history['accuracy'][-1]:.1%}, "
        f"test {averages:.1%}, with the batch's own statistics {batch:.1%}"
    )

# %%
# *Observe:* the three networks have learned the same; the last column shows it. Only the averages differ, and with them
# what the test sees. A student who compares this with a pretrained network concludes that training from scratch fails.
#
# What transferkit does
# ---------------------
#
# Two things. ``build_transfer_model`` sets the momentum to 0.9 (``batch_norm_momentum=``). And ``train`` estimates the statistics
# again before each validation and at the end, with the weights as they are then, from about 1,000 training images. So the
# very network with momentum 0.999 works:

run = tk.train(build(0.999), data, epochs=5, name="momentum 0.999", verbose=False)
print(f"momentum 0.999, trained by transferkit: test {run.metrics['accuracy']:.1%}")

# %%
# **Do this instead**, with your own loop: momentum 0.9 for some hundred steps; or, after training, pass about 1,000 training images
# through the network in training mode before you test it. Suspect BatchNorm whenever training is good and *validation in the
# very same epoch* is at chance.
#
# Wu, Y. & Johnson, J. (2021). Rethinking "Batch" in BatchNorm. `arXiv:2105.07576 <https://arxiv.org/abs/2105.07576>`_.
