"""Features that say the same of every image are counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit import build_cnn, build_transfer_model
from transferkit.errors import DataError, InvalidInputError
from transferkit.models.health import count_dead_features, dead_features


@given(dead=st.integers(0, 5), alive=st.integers(1, 5), value=st.floats(-1e3, 1e3, width=32))
def test_constant_columns_are_dead(dead, alive, value):
    rng = np.random.default_rng(0)
    table = np.hstack([np.full((7, dead), value), rng.normal(size=(7, alive))])
    assert dead_features(table) == (dead, dead + alive)
    assert dead_features(table).fraction == dead / (dead + alive)


def test_dead_features_of_a_model_are_counted(network, images):
    model = build_transfer_model(network, preprocessing="tf", input_shape=(16, 16, 1))
    kernel, bias = network.get_layer("block12_conv").get_weights()
    kernel[..., :5] = 0
    model.get_layer("backbone").get_layer("block12_conv").set_weights([kernel, bias])
    assert count_dead_features(model, images) == (5, 16)


def test_model_without_pool_is_refused(images):
    with pytest.raises(InvalidInputError, match="no layer named 'pool'"):
        count_dead_features(build_cnn((16, 16, 1), filters=(4,)), images)


def test_what_cannot_be_counted_is_refused(network, images):
    model = build_transfer_model(network, preprocessing="tf", input_shape=(16, 16, 1))
    with pytest.raises(InvalidInputError, match="two or more"):
        count_dead_features(model, images[:1])
    for wrong in (images[0], images / 255, images[:, :8]):
        with pytest.raises(DataError, match="images"):
            count_dead_features(model, wrong)


@pytest.mark.slow
def test_mobilenet_is_dead_below_64_pixels_and_alive_at_64(graph, fashion_mnist):
    images = fashion_mnist.train.images[:200]
    alive = count_dead_features(build_transfer_model("mobilenet"), images)
    with pytest.warns(match="1x1"):
        small = build_transfer_model("mobilenet", image_size=56)
    assert alive.fraction < 0.2
    assert count_dead_features(small, images).fraction > 0.8
