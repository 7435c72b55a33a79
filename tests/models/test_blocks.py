"""Blocks of backbones: all layers are in one, the known networks have those of their papers, and others those of their graph."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import transferkit as tk
from transferkit.errors import InvalidInputError
from transferkit.models.backbones import backbone_info
from transferkit.models.blocks import find_blocks, last_blocks, rates_by_block


def residual(blocks, *, names=True):
    """Return a small residual network whose layers have names of Keras's kind, or none."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    for block in range(1, blocks + 1):
        named = {"name": f"block{block}_conv"} if names else {}
        y = layers.Conv2D(4, 3, padding="same", **named)(x)
        y = layers.BatchNormalization(**({"name": f"block{block}_bn"} if names else {}))(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, x, name="own")


def check_all_layers_are_there(backbone, blocks):
    assert sorted(id(layer) for block in blocks for layer in block.layers) == sorted(map(id, backbone.layers))
    assert all(any(layer.weights for layer in block.layers) for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("mobilenet", 14, "stem", "conv_13"),
        ("mobilenet_v2", 18, "stem", "block_16"),
        ("mobilenet_v3_small", 12, "stem", "expanded_conv_10"),
        ("vgg16", 5, "block1", "block5"),
        ("resnet50", 17, "stem", "conv5_block3"),
        ("resnet50_v2", 17, "stem", "conv5_block3"),
        ("densenet121", 59, "stem", "conv5_block16"),
        ("inception_v3", 12, "stem", "mixed10"),
        ("xception", 14, "block1", "block14"),
        ("nasnet_mobile", 17, "stem", "12"),
        ("efficientnet_b0", 17, "stem", "block7a"),
        ("efficientnet_v2_b0", 22, "stem", "block6h"),
        ("convnext_tiny", 19, "stem", "convnext_tiny_stage_3_block_2"),
    ],
)
def test_known_networks_have_the_blocks_of_their_papers(name, count, first, last):
    build = getattr(keras.applications, backbone_info(name).keras_name)
    backbone = build(include_top=False, weights=None, input_shape=(96, 96, 3))
    blocks = find_blocks(backbone)
    check_all_layers_are_there(backbone, blocks)
    assert (len(blocks), blocks[0].name, blocks[-1].name) == (count, first, last)


@pytest.mark.parametrize("names", [True, False], ids=["by-name", "by-graph"])
def test_blocks_without_names_are_those_of_the_graph(names):
    backbone = residual(3, names=names)
    blocks = find_blocks(backbone)
    check_all_layers_are_there(backbone, blocks)
    assert len(blocks) == 4
    assert [sum(isinstance(layer, layers.Conv2D) for layer in block.layers) for block in blocks] == [1, 1, 1, 1]


def test_a_chain_without_blocks_is_divided_at_its_layers_with_weights():
    chain = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="a"), layers.BatchNormalization(), layers.ReLU(),
                              layers.Conv2D(2, 3, name="b"), layers.ReLU()])  # fmt: skip
    assert [block.name for block in find_blocks(chain)] == ["a", "b"]


@settings(max_examples=15)
@given(st.integers(1, 30), st.floats(0.3, 1.0))
def test_rates_fall_from_the_head_down_by_one_factor_a_block(count, decay):
    inputs = keras.Input((2,))
    x = inputs
    for index in range(count):
        x = layers.Dense(2, name=f"block{index}_dense")(x)
    backbone = keras.Model(inputs, x)
    head = keras.Variable(np.zeros(1))
    rates = rates_by_block(backbone, decay, [*backbone.variables, head])[::2]  # one of kernel and bias
    assert rates[-1] == 1
    np.testing.assert_allclose(rates[0], decay ** min(count, 12), rtol=1e-6)
    ratios = np.divide(rates[1:], rates[:-1])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


def test_last_blocks_train_and_the_rest_stays_frozen():
    model = tk.build_transfer_model(residual(3), input_shape=(16, 16, 3), preprocessing="unit")
    tk.unfreeze(model, last=2, verbose=False)
    training = [layer.name for layer in model.get_layer("backbone").layers if layer.trainable_weights]
    assert training == ["block2_conv", "block2_bn", "block3_conv", "block3_bn"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"last": 5}, "has no 5 blocks.*there are 4: stem, block1, block2, block3"),
        ({"last": 0}, "integer of 1 or more"),
        ({"last": 1.5}, "integer of 1 or more"),
        ({"last": 1, "from_layer": "block2_conv"}, "not both"),
    ],
)
def test_other_numbers_are_refused_and_change_nothing(options, says):
    model = tk.build_transfer_model(residual(3), input_shape=(16, 16, 3), preprocessing="unit")
    with pytest.raises(InvalidInputError, match=says):
        tk.unfreeze(model, verbose=False, **options)
    assert not model.get_layer("backbone").trainable_weights
    with pytest.raises(InvalidInputError, match="there are 1"):
        last_blocks(keras.Sequential([keras.Input((4,)), layers.Dense(2)]), 1)
