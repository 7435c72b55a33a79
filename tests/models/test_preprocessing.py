"""Pixels reach the backbone as keras.applications would prepare them."""

import keras
import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.models.preprocessing import adapt_pixels, check_preprocessing


def adapt(pixels, size, mode, channels=3):
    inputs = keras.Input(pixels.shape[1:], dtype="float32")
    model = keras.Model(inputs, adapt_pixels(inputs, size=size, channels=channels, mode=mode))
    return model.predict(pixels, verbose=0)


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_scaling_equals_preprocess_input(mode, channels, rng):
    pixels = rng.integers(0, 256, (3, 6, 6, channels), dtype=np.uint8)
    colour = np.repeat(pixels, 3, axis=-1) if channels == 1 else pixels
    expected = keras.applications.imagenet_utils.preprocess_input(colour.astype("float32"), mode=mode)
    np.testing.assert_allclose(adapt(pixels, (6, 6), mode), expected, atol=2e-6 if mode != "caffe" else 2e-5)


def test_resizing_is_bilinear(rng):
    import tensorflow as tf

    pixels = rng.integers(0, 256, (2, 7, 5, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        adapt(pixels, (12, 12), "none"), tf.image.resize(pixels, (12, 12), method="bilinear").numpy(), atol=1e-4
    )


def test_unit_scaling_ends_at_one():
    assert adapt(np.full((1, 2, 2, 3), 255, np.uint8), (2, 2), "unit").max() == pytest.approx(1)


def test_grey_images_stay_grey_for_a_backbone_of_one_channel():
    assert adapt(np.zeros((1, 4, 4, 1), np.uint8), (4, 4), "none", channels=1).shape == (1, 4, 4, 1)


def test_colour_images_are_refused_for_a_backbone_of_one_channel():
    with pytest.raises(InvalidInputError, match="takes images of 1 channel, and input_shape has 3"):
        adapt(np.zeros((1, 4, 4, 3), np.uint8), (4, 4), "none", channels=1)


def test_unknown_preprocessing_is_refused():
    with pytest.raises(UnknownNameError, match="'torch'"):
        check_preprocessing("pytorch")
