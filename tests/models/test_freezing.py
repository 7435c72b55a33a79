"""Frozen means frozen: no weight moves, no statistic is updated."""

import keras
import numpy as np
import pytest
from keras import layers

from transferkit import build_cnn, build_transfer_model, freeze, unfreeze
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.models.freezing import describe_trainable, find_backbone


@pytest.fixture
def model(network):
    return build_transfer_model(network, preprocessing="tf", input_shape=(16, 16, 1), freeze=False, learning_rate=0.01)


def training(model):
    return [layer.name for layer in model.get_layer("backbone").layers if layer.trainable_weights]


def moved(model, images, labels):
    """Return the names of the backbone's layers of which any weight changes in one epoch."""
    backbone = model.get_layer("backbone")
    before = {layer.name: layer.get_weights() for layer in backbone.layers}
    model.fit(images, labels, batch_size=8, verbose=0)
    return [
        layer.name
        for layer in backbone.layers
        if any(not np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
    ]


def test_frozen_backbone_does_not_move_and_the_head_does(model, images, labels):
    freeze(model, verbose=False)
    head = model.get_layer("predictions").get_weights()[0].copy()
    assert moved(model, images, labels) == []
    assert not np.array_equal(head, model.get_layer("predictions").get_weights()[0])


def test_layer_that_was_left_trainable_in_a_frozen_backbone_is_frozen_too(model, images, labels):
    backbone = model.get_layer("backbone")
    backbone.trainable = False
    backbone.get_layer("block2_conv").trainable = True
    freeze(model, verbose=False)
    assert moved(model, images, labels) == []
    assert not any(layer.trainable for layer in backbone.layers)


def test_only_the_part_after_the_named_layer_moves(model, images, labels):
    freeze(model, "block1_relu", verbose=False)
    assert moved(model, images, labels) == ["block2_conv", "block2_bn", "block12_conv"]


def test_batch_norm_can_stay_in_inference_mode(model, images, labels):
    freeze(model, "block1_relu", batch_norm=False, verbose=False)
    assert moved(model, images, labels) == ["block2_conv", "block12_conv"]


def test_unfreezing_undoes_freezing(model):
    everything = training(model)
    freeze(model, verbose=False)
    assert training(model) == []
    unfreeze(model, verbose=False)
    assert training(model) == everything == ["block1_conv", "block1_bn", "block2_conv", "block2_bn", "block12_conv"]


def test_unfreezing_starts_at_the_named_layer(model):
    unfreeze(model, "block2_bn", verbose=False)
    assert training(model) == ["block2_bn", "block12_conv"]


def test_block_stands_for_its_layers_and_not_for_others_with_a_longer_number(model):
    freeze(model, "block1", verbose=False)  # not block12
    assert training(model) == ["block2_conv", "block2_bn", "block12_conv"]
    unfreeze(model, "block2", verbose=False)
    assert training(model) == ["block2_conv", "block2_bn", "block12_conv"]


@pytest.mark.parametrize("change", [freeze, unfreeze])
def test_unknown_layer_lists_close_matches_and_changes_nothing(model, change):
    before = training(model)
    with pytest.raises(UnknownNameError, match="Did you mean 'block2_relu'"):
        change(model, "block2_rel")
    assert training(model) == before


@pytest.mark.parametrize("until", [None, 3, ""])
def test_other_values_of_until_are_refused(model, until):
    with pytest.raises(InvalidInputError):
        freeze(model, until)


def test_compiling_keeps_optimiser_loss_and_metrics(model):
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.8, nesterov=True),
        loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=3),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
    )
    unfreeze(model, learning_rate=0.05, verbose=False)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert (model.optimizer.momentum, model.optimizer.nesterov) == (0.8, True)
    assert model.optimizer.learning_rate.numpy() == pytest.approx(0.05)
    assert model.loss.ignore_class == 3
    images, labels = np.zeros((4, 16, 16, 1), np.uint8), np.array([0, 1, 2, 4])
    assert set(model.evaluate(images, labels, return_dict=True, verbose=0)) == {
        "loss", "accuracy", "sparse_top_k_categorical_accuracy",
    }  # fmt: skip


def test_model_that_was_never_compiled_stays_so(network):
    inputs = keras.Input((16, 16, 3))
    outputs = layers.Dense(2)(layers.GlobalAveragePooling2D()(network(inputs)))
    model = keras.Model(inputs, outputs)
    assert freeze(model, verbose=False) is model
    assert not model.compiled
    assert network.trainable_weights == []


def test_part_that_trains_is_printed(model, capsys):
    freeze(model)
    assert "transfer_tiny: the backbone is frozen; 170 of 1,906 parameters train." in capsys.readouterr().out
    unfreeze(model)
    assert "all of the backbone trains; 1,858 of 1,906 parameters train." in capsys.readouterr().out
    freeze(model, "block1")
    assert "the backbone trains from 'block2_conv' on" in capsys.readouterr().out
    unfreeze(model, batch_norm=False)
    assert "all of the backbone trains, batch normalisation stays frozen" in capsys.readouterr().out
    freeze(model, verbose=False)
    assert capsys.readouterr().out == ""


def test_only_nested_network_is_the_backbone_whatever_its_name(network):
    model = keras.Sequential([keras.Input((16, 16, 3)), network, layers.Flatten(), layers.Dense(2)])
    assert find_backbone(model) is network
    assert "the backbone is frozen" in describe_trainable(freeze(model, verbose=False))


def test_model_without_backbone_is_refused_with_the_cure():
    with pytest.raises(InvalidInputError, match=r"no nested network.*build_transfer_model"):
        freeze(build_cnn())


def test_frozen_part_survives_saving(model, tmp_path):
    freeze(model, "block1", verbose=False)
    file = tmp_path / "model.keras"
    model.save(file)
    assert training(keras.models.load_model(file)) == training(model)


def test_layer_that_is_no_name_is_refused(model):
    with pytest.raises(InvalidInputError, match="by its name"):
        unfreeze(model, 3)


def test_augmentation_and_normalisation_that_are_nested_are_no_backbones():
    """As in tutorials of Keras, where augmentation is a Sequential beside the base."""
    inputs, images = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    base = keras.Model(images, keras.layers.Conv2D(4, 3)(images), name="base")
    augmentation = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)])
    scaling = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Normalization(mean=0, variance=1)])
    x = keras.layers.GlobalAveragePooling2D()(base(scaling(augmentation(inputs))))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert freeze(model, verbose=False).get_layer("base").trainable is False
    assert len(model.trainable_variables) == 2  # of the new layer
