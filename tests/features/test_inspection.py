"""Filters, feature maps, excitation and occlusion of small networks."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import DataError, InvalidInputError, UnknownNameError


@pytest.fixture(scope="module")
def nested():
    """Return a model whose convolutions lie in a model inside it."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="first", kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.DepthwiseConv2D(3, activation="relu", name="second")(x)
    options = {"preprocessing": "unit", "image_size": 16, "input_shape": (16, 16, 1), "seed": 0}
    return tk.build_transfer_model(keras.Model(inputs, x), **options)


@pytest.fixture(scope="module")
def images(digits):
    return digits.test.images[:5]


def test_filters_are_the_layers_own(nested):
    first = nested.get_layer("backbone").get_layer("first")
    np.testing.assert_array_equal(tk.conv_filters(nested), first.get_weights()[0])
    assert tk.conv_filters(nested, "second").shape == (3, 3, 4, 1)


def test_outputs_are_those_of_a_model_cut_at_the_layer(nested, images):
    pooled = keras.Model(nested.inputs, nested.get_layer("pool").output).predict(images, verbose=0)
    np.testing.assert_allclose(tk.layer_outputs(nested, images, "pool", batch_size=2), pooled, atol=1e-6)
    assert tk.layer_outputs(nested, images, "relu").shape == (5, 14, 14, 4)
    np.testing.assert_allclose(
        tk.layer_outputs(nested, images, "predictions"), nested.predict(images, verbose=0), atol=1e-6
    )


def test_outputs_behind_a_resizing_layer_are_the_models_own(images):
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, keras.layers.Resizing(25, 25, name="resize")(inputs))
    np.testing.assert_allclose(tk.layer_outputs(model, images, "resize"), model.predict(images, verbose=0), atol=1e-4)


def test_excitation_stays_within_the_receptive_field_of_the_strongest_response(nested, images):
    maps = tk.layer_outputs(nested, images, "relu")
    excited = tk.excitation_map(nested, images, "relu", 2)
    assert excited.shape == images.shape
    for one, response in zip(excited, maps[..., 2], strict=True):
        outside = one.copy()
        for row, column in np.argwhere(response == response.max()):  # equal parts of an image respond equally
            outside[row : row + 3, column : column + 3] = 0
        assert not outside.any()
    assert excited.any()


def test_excitation_is_the_plain_gradient_where_there_is_no_relu(images):
    inputs = keras.Input((16, 16, 1))
    outputs = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(2, 3, use_bias=False)(inputs))
    model = keras.Model(inputs, outputs)
    kernel = model.layers[1].get_weights()[0]
    excited = tk.excitation_map(model, images, "pool", 0)
    assert excited[0].sum() == pytest.approx(kernel[..., 0].sum(), rel=1e-4)


def test_excitation_of_a_response_at_the_ceiling_of_relu6_is_shown(images):
    inputs = keras.Input((16, 16, 1))
    brighter = keras.layers.Conv2D(1, 3, kernel_initializer="ones", use_bias=False)(keras.layers.Rescaling(1.0)(inputs))
    model = keras.Model(inputs, keras.layers.ReLU(6.0, name="relu6")(brighter))
    assert tk.layer_outputs(model, images, "relu6").max() == 6.0
    assert all(excited.any() for excited in tk.excitation_map(model, images, "relu6", 0))


def test_covering_what_decides_costs_the_class_its_probability():
    inputs = keras.Input((12, 12, 1))
    layer = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, layer(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))))
    weights = np.zeros((12, 12, 2), np.float32)
    weights[6:9, 3:6, 1] = 1.0  # only these pixels speak for class 1
    layer.set_weights([weights.reshape(144, 2), np.zeros(2)])
    image = np.zeros((12, 12, 1), np.uint8)
    image[6:9, 3:6] = 255
    drop = tk.occlusion_map(model, image, 1, size=3, stride=3)
    assert drop.shape == (4, 4)
    assert np.unravel_index(drop.argmax(), drop.shape) == (2, 1)
    assert np.count_nonzero(np.abs(drop) > 1e-6) == 1


def test_unknown_layers_list_close_matches(nested, images):
    for look in (
        lambda: tk.conv_filters(nested, "frist"),
        lambda: tk.layer_outputs(nested, images, "frist"),
        lambda: tk.excitation_map(nested, images, "frist", 0),
    ):
        with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
            look()


def test_what_cannot_be_looked_into_is_refused(nested, images):
    with pytest.raises(InvalidInputError, match="ReLU, not a two-dimensional"):
        tk.conv_filters(nested, "relu")
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(InvalidInputError, match="no two-dimensional convolutional layer"):
        tk.conv_filters(dense)
    with pytest.raises(InvalidInputError, match="channel goes from 0"):
        tk.excitation_map(nested, images, "relu", 4)
    for wrong in (images[0], images[:0], images[:, :8], images[..., 0]):
        with pytest.raises(DataError, match="images"):
            tk.layer_outputs(nested, wrong, "relu")
    with pytest.raises(InvalidInputError, match="size must go from"):
        tk.occlusion_map(nested, images[0], 1, size=17)
    with pytest.raises(InvalidInputError, match="label must go from"):
        tk.occlusion_map(nested, images[0], 10)


def test_pixels_that_are_scaled_already_are_refused(nested, images):
    scaled = images / 255
    for look in (
        lambda: tk.layer_outputs(nested, scaled, "relu"),
        lambda: tk.excitation_map(nested, scaled, "relu", 0),
        lambda: tk.occlusion_map(nested, scaled[0], 1),
    ):
        with pytest.raises(DataError, match="uint8"):
            look()
