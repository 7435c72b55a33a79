"""GoogLeNet has the modules of the paper, fits small images, and trains."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import InvalidInputError
from transferkit.models.googlenet import _stem_halvings


def test_modules_have_the_channels_of_the_paper():
    model = tk.build_googlenet()
    channels = [layer.output.shape[-1] for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert channels == [256, 480, 512, 512, 512, 528, 832, 832, 1024]  # Table 1
    sides = {name: model.get_layer(f"inception{name}").output.shape[1] for name in ("3a", "4a", "5b")}
    assert sides == {"3a": 14, "4a": 7, "5b": 4}
    assert model.count_params() == 5_996_810
    normalised = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(normalised) == 57  # 3 of the stem, 6 in each module
    assert {layer.momentum for layer in normalised} == {0.9}


def test_large_images_get_the_stem_of_the_paper():
    model = tk.build_googlenet((224, 224, 3), width=0.1)
    assert model.get_layer("conv1").kernel_size == (7, 7)
    assert model.get_layer("inception3a").output.shape[1] == 28
    assert model.get_layer("inception5b").output.shape[1] == 7


@given(st.integers(8, 1000))
def test_first_modules_see_at_least_fourteen_pixels_where_there_are_as_many(side):
    halvings = _stem_halvings(side)
    assert side >> halvings >= min(side, 14)
    assert halvings == 3 or side >> halvings < 28


@pytest.mark.slow
@settings(max_examples=3)
@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([1, 3]), st.integers(2, 5))
def test_any_size_gives_one_probability_a_class(height, width, channels, classes):
    model = tk.build_googlenet((height, width, channels), classes, width=0.05)
    images = np.random.default_rng(0).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    probabilities = model(images, training=False).numpy()
    assert probabilities.shape == (3, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_network_learns_the_digits_and_is_rebuilt_from_its_record(digits, tmp_path):
    model = tk.build_googlenet((16, 16, 1), width=0.125, dropout=0.1)
    options = {"epochs": 4, "learning_rate": 3e-3, "schedule": "cosine", "verbose": False}
    run = tk.train(model, digits, name="GoogLeNet", folder=tmp_path, **options)
    assert run.metrics["accuracy"] > 0.8
    rebuilt = tk.load_model(tmp_path / "googlenet")
    np.testing.assert_allclose(rebuilt.predict(digits.test.images, verbose=0), run.test_probabilities, atol=1e-5)


@pytest.mark.long
def test_same_seed_gives_the_same_weights():
    first, second, other = (tk.build_googlenet(width=0.05, seed=seed) for seed in (3, 3, 4))
    for mine, yours in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    assert first.to_json() == second.to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (28, 28)}, r"Grey images are \(28, 28, 1\)"),
        ({"input_shape": (7, 28, 1)}, "8 pixels a side or more"),
        ({"input_shape": (None, None, 1)}, "fixed size"),
        ({"num_classes": 1}, "num_classes"),
        ({"width": 0}, "width must be a finite number above 0"),
        ({"dropout": 1.0}, "dropout"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_argument_is_named(options, message):
    with pytest.raises(InvalidInputError, match=message):
        tk.build_googlenet(**options)
