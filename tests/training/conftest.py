"""Small models for training tests."""

import keras
import pytest

import transferkit as tk


def make_transfer(freeze, *, seed=0):
    """Return a transfer model on a small backbone of our own, with BatchNorm."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, kernel_initializer=keras.initializers.HeNormal(seed=1), name="first")(
        inputs
    )
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Conv2D(8, 3, kernel_initializer=keras.initializers.HeNormal(seed=2), name="second")(x)
    backbone = keras.Model(inputs, keras.layers.ReLU(name="end")(keras.layers.BatchNormalization(name="norm2")(x)))
    options = {"preprocessing": "unit", "image_size": 16, "seed": seed}
    return tk.build_transfer_model(backbone, input_shape=(16, 16, 1), freeze=freeze, **options)


@pytest.fixture
def transfer():
    return make_transfer
