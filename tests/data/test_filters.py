"""Hand-designed filters against scipy and against a convolutional layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import transferkit as tk
from transferkit.errors import InvalidInputError

IMAGES = arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(3, 9), st.integers(3, 9), st.integers(1, 3)))


@given(IMAGES, st.sampled_from(sorted(tk.hand_designed_filters())))
def test_each_channel_is_filtered_by_itself(images, name):
    kernel = tk.hand_designed_filters()[name]
    filtered = tk.filter_images(images, kernel)
    assert filtered.shape == images.shape
    for channel in range(images.shape[-1]):
        np.testing.assert_array_equal(filtered[..., channel], tk.filter_images(images[..., channel], kernel))


def test_it_is_what_a_convolutional_layer_does(digits):
    import keras

    kernel = tk.hand_designed_filters()["sobel_y"]
    images = digits.train.images[:4].astype(np.float32)
    layer = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)
    layer.build(images.shape)
    layer.set_weights([kernel[..., None, None]])
    np.testing.assert_allclose(np.asarray(layer(images)), tk.filter_images(images, kernel), rtol=1e-5, atol=1e-2)


def test_edge_filters_say_nothing_about_a_plain_surface_and_blur_keeps_it():
    plain = np.full((1, 9, 9), 50.0)
    inside = (0, slice(1, -1), slice(1, -1))
    for name, kernel in tk.hand_designed_filters().items():
        expected = 50 if name in ("blur", "sharpen") else 0
        np.testing.assert_allclose(tk.filter_images(plain, kernel)[inside], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "kernel", "says"),
    [
        (np.zeros((4, 4)), np.ones((3, 3)), "images must have shape"),
        (np.zeros((1, 4, 4)), np.ones((2, 2)), "odd length"),
        (np.zeros((1, 4, 4)), np.ones(3), "two axes"),
    ],
)
def test_wrong_shapes_are_refused(images, kernel, says):
    with pytest.raises(InvalidInputError, match=says):
        tk.filter_images(images, kernel)
