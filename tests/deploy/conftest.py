"""A folder of photographs in three colours, and a network that learned them."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import transferkit as tk

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "rote Dächer": (200, 50, 40)}


def paint(colour, seed, size=(30, 20)):
    """Return a noisy picture of one colour; size is (width, height)."""
    noise = np.random.default_rng(seed).integers(-30, 31, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def make_backbone(size=16):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv2D(8, 3, padding="same", activation="relu")(x), name="tiny")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Return a folder with 20 pictures of each colour."""
    root = tmp_path_factory.mktemp("photos") / "colours"
    for number, (name, colour) in enumerate(COLOURS.items()):
        (root / name).mkdir(parents=True)
        for index in range(20):
            paint(colour, 100 * number + index).save(root / name / f"{index:02}.png")
    return root


@pytest.fixture(scope="session")
def data(photos, tmp_path_factory):
    """Return the dataset of that folder, cropped to squares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERKIT_HOME", str(tmp_path_factory.mktemp("home")))
        return tk.load_image_folder(photos, image_size=16, fit="crop")


@pytest.fixture(scope="session")
def run(data, tmp_path_factory):
    """Return the run of a small network on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERKIT_HOME", str(tmp_path_factory.mktemp("home")))
        options = {"preprocessing": "tf", "learning_rate": 0.05}
        model = tk.build_transfer_model(make_backbone(), input_shape=(16, 16, 3), num_classes=3, **options)
        return tk.train(model, data, epochs=20, name="colours", verbose=False)
