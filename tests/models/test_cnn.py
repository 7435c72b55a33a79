"""The course's network is the course's network."""

import random

import keras
import numpy as np
import pytest

from transferkit import build_cnn
from transferkit.errors import InvalidInputError, UnknownNameError


def test_course_network_has_the_layers_of_the_course():
    model = build_cnn()
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes == {
        "images": (28, 28, 1),
        "rescaling": (28, 28, 1),
        "conv1": (24, 24, 32),
        "pool1": (12, 12, 32),
        "conv2": (8, 8, 64),
        "pool2": (4, 4, 64),
        "flatten": (1024,),
        "dense": (128,),
        "dropout": (128,),
        "predictions": (10,),
    }
    assert model.count_params() == 184_586
    assert model.get_layer("dropout").rate == 0.5
    assert model.optimizer.learning_rate.numpy() == pytest.approx(1e-3)


def test_modern_network_is_small_and_batch_normalised():
    model = build_cnn(preset="modern")
    assert model.count_params() == 289_066
    normalised = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(normalised) == 6
    assert {layer.momentum for layer in normalised} == {0.9}


@pytest.mark.parametrize("preset", ["course", "modern"])
def test_network_learns_from_raw_pixels(preset, digits):
    model = build_cnn((16, 16, 1), preset=preset, filters=(8, 16), learning_rate=5e-3)
    images, labels = digits.train
    history = model.fit(images, labels, batch_size=32, epochs=4, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    probabilities = model.predict(images[:5], verbose=0)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_same_seed_gives_the_same_weights_and_touches_no_global_state():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is what is tested
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = build_cnn(seed=3), build_cnn(seed=3), build_cnn(seed=4)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    for mine, yours in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    assert first.to_json() == second.to_json()


def test_unseeded_keras_layers_after_a_build_do_not_depend_on_it():
    random.seed(1)
    expected = keras.layers.Dense(2)
    expected.build((None, 3))
    random.seed(1)
    build_cnn((16, 16, 1), filters=(4,), seed=9)
    actual = keras.layers.Dense(2)
    actual.build((None, 3))
    np.testing.assert_array_equal(expected.get_weights()[0], actual.get_weights()[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (28, 28)}, r"Grey images are \(28, 28, 1\)"),
        ({"input_shape": (3, 32, 32)}, r"Channels come last: \(32, 32, 3\)"),
        ({"input_shape": (32, 32, 4)}, "alpha"),
        ({"input_shape": (0, 32, 1)}, "input_shape"),
        ({"input_shape": 28}, "input_shape"),
        ({"input_shape": (None, None, 1)}, "fixed size"),
        ({"input_shape": (12, 12, 1)}, "too small for 2 convolutions"),
        ({"num_classes": 1}, "num_classes must be an integer of 2 or more; got 1"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": 10.0}, "num_classes"),
        ({"filters": ()}, "filters must be one positive integer or more"),
        ({"filters": 32}, "filters"),
        ({"filters": (32, 0)}, "each of filters"),
        ({"dense_units": 0}, "dense_units"),
        ({"preset": "modern", "dense_units": 64}, "no dense layer"),
        ({"dropout": 1.0}, "dropout must be a number of 0 or more and below 1; got 1.0"),
        ({"dropout": "half"}, "dropout"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"seed": -1}, "seed must be an integer of 0 or more"),
        ({"seed": None}, "seed"),
    ],
)
def test_bad_argument_is_named(options, message):
    with pytest.raises(InvalidInputError, match=message):
        build_cnn(**options)


def test_numpy_integers_are_taken_as_pythons_and_the_model_can_be_saved(tmp_path):
    model = build_cnn(num_classes=np.int64(4), filters=np.array([4, 8]), dense_units=np.int32(5), seed=np.int64(3))
    assert all(
        map(
            np.array_equal,
            model.get_weights(),
            build_cnn(num_classes=4, filters=(4, 8), dense_units=5, seed=3).get_weights(),
        )
    )
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").output_shape == (None, 4)


def test_unknown_preset_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'modern'"):
        build_cnn(preset="moderne")


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(InvalidInputError, match="channels_last"):
            build_cnn()
    finally:
        keras.config.set_image_data_format("channels_last")
