"""Where the frozen part of a model ends, and that both parts together are the model."""

import keras
import numpy as np
import pytest

from transferkit.features.prefix import NoPrefixError, find_prefix

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)


def check_parts_make_the_model(model):
    prefix = find_prefix(model)
    whole = keras.ops.convert_to_numpy(model(IMAGES.astype(np.float32)))
    parts = keras.ops.convert_to_numpy(prefix.finish(prefix(IMAGES)))
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    return prefix


def freeze_to(network, name):
    for layer in network.layers:
        layer.trainable = False
        if layer.name == name:
            return


@pytest.mark.parametrize("nested", [True, False])
def test_frozen_body_is_cut_after_pooling(body, classifier, nested):
    model = classifier(body() if nested else None)
    for layer in model.layers:
        layer.trainable = layer.name == "head"
    assert check_parts_make_the_model(model).last_layer == "pool"


@pytest.mark.parametrize(
    ("name", "last"), [("first", "first"), ("norm", "relu"), ("branch", "add"), ("add", "add"), ("last", "pool")]
)
def test_partly_frozen_body_is_cut_inside(name, last, body, classifier):
    network = body()
    freeze_to(network, name)
    assert check_parts_make_the_model(classifier(network)).last_layer == last


def test_a_skip_connection_over_the_cut_moves_it_before_the_branch(body, classifier):
    network = body()
    freeze_to(network, "branch")
    network.get_layer("branch").trainable = True
    assert check_parts_make_the_model(classifier(network)).last_layer == "relu"


def test_batchnorm_that_trains_ends_the_frozen_part(body, classifier):
    network = body()
    network.trainable = False
    network.trainable = True
    for layer in network.layers:
        layer.trainable = layer.name == "norm"
    assert check_parts_make_the_model(classifier(network)).last_layer == "first"


def test_batchnorm_without_weights_still_updates_its_averages():
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 3, trainable=False, name="first")(inputs)
    x = keras.layers.BatchNormalization(scale=False, center=False, name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    assert find_prefix(keras.Model(inputs, keras.layers.Dense(2)(x))).last_layer == "first"


@pytest.mark.parametrize("layer", [keras.layers.RandomFlip("horizontal"), keras.layers.GaussianNoise(0.1)])
def test_chance_before_any_weight_leaves_nothing_frozen(layer):
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 3, trainable=False)(layer(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    with pytest.raises(NoPrefixError, match="no layer with weights is frozen"):
        find_prefix(model)


def test_dropout_of_rate_zero_is_not_chance(body, classifier):
    network = body()
    network.trainable = False
    model = classifier(network, dropout=0.0)
    assert check_parts_make_the_model(model).last_layer in ("pool", "dropout")


def test_nothing_frozen_is_no_prefix(body, classifier):
    with pytest.raises(NoPrefixError, match="no layer with weights is frozen"):
        find_prefix(classifier(body()))


def test_sequential_models_are_opened():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.Sequential([keras.layers.Conv2D(2, 3, trainable=False), keras.layers.ReLU(name="relu")]),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    assert check_parts_make_the_model(model).last_layer.startswith(("relu", "flatten"))


def test_two_inputs_are_no_graph_to_cut():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Add()(inputs)))
    with pytest.raises(NoPrefixError, match="several inputs"):
        find_prefix(model)


def test_subclassed_models_are_no_graph_to_cut():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(NoPrefixError, match="functional API"):
        find_prefix(Own())


def test_shared_frozen_layer_on_both_sides_of_the_cut():
    inputs = keras.Input((16, 16, 1))
    shared = keras.layers.Conv2D(1, 3, padding="same", trainable=False)
    x = keras.layers.Conv2D(1, 3, padding="same", name="learns")(shared(inputs))
    model = keras.Model(inputs, keras.layers.Flatten()(shared(x)))
    check_parts_make_the_model(model)


def test_digest_follows_weights_and_structure_not_names():
    def make(value, size=3, name=None):
        inputs = keras.Input((16, 16, 1))
        layer = keras.layers.Conv2D(
            2, size, trainable=False, name=name, bias_initializer=keras.initializers.Constant(value)
        )
        x = layer(inputs)
        layer.set_weights([np.full_like(layer.get_weights()[0], value), layer.get_weights()[1]])
        return find_prefix(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))).digest

    assert make(1.0, name="a") == make(1.0, name="b")
    assert len({make(1.0), make(2.0), make(1.0, size=5)}) == 3


def frozen_after(change):
    """Return a model whose pixels are changed by an expression before the frozen convolution."""
    inputs = keras.Input((16, 16, 1))
    layer = keras.layers.Conv2D(2, 3, kernel_initializer="ones", trainable=False)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(layer(change(inputs))))
    return find_prefix(keras.Model(inputs, outputs))


class Scaled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2


def test_models_that_differ_in_a_constant_of_an_expression_have_other_features():
    changes = [
        lambda x: x - np.array([0.0], "float32"),
        lambda x: x - np.array([100.0], "float32"),
        lambda x: x * np.float32(0.5),
        lambda x: x * np.float32(0.25),
        lambda x: x[:, :12, :12],
        lambda x: x[:, 4:, 4:],
        lambda x: x[:, ::-1],
    ]
    digests = [frozen_after(change).digest for change in changes]
    assert len(set(digests)) == len(changes)
    assert digests == [frozen_after(change).digest for change in changes]


def test_models_that_differ_in_the_code_of_a_layer_have_other_features(monkeypatch):
    before = frozen_after(lambda x: Scaled()(x)).digest
    monkeypatch.setattr(Scaled, "call", lambda self, inputs: inputs * 3)
    assert frozen_after(lambda x: Scaled()(x)).digest != before


def test_a_normalisation_of_pixels_alone_is_no_frozen_part():
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 3)(keras.layers.Normalization(mean=0.5, variance=2.0)(inputs))
    with pytest.raises(NoPrefixError, match="no layer with weights is frozen"):
        find_prefix(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x))))
