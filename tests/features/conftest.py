"""Small models with a frozen part, of every kind that the prefix has to understand."""

import keras
import pytest


def _convolve(x):
    x = keras.layers.Conv2D(6, 3, name="first")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    branch = keras.layers.Conv2D(6, 3, padding="same", name="branch")(x)
    x = keras.layers.Add(name="add")([x, branch])
    return keras.layers.Conv2D(8, 3, name="last")(x)


def make_body():
    """Return a small convolutional network without a head."""
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, _convolve(inputs), name="body")


def make_classifier(network, *, dropout=0.2):
    """Return a compiled classifier on raw grey pixels; `network` is its body, or None for one that is not nested."""
    inputs = keras.Input((16, 16, 1), name="images")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(keras.layers.Concatenate()([inputs] * 3))
    x = _convolve(x) if network is None else network(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, seed=3, name="dropout")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="head")(x), name="classifier")
    model.compile(keras.optimizers.SGD(0.05), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def body():
    return make_body


@pytest.fixture
def classifier():
    return make_classifier
