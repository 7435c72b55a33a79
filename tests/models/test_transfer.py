"""One call builds a classifier on raw pixels from any backbone."""

import contextlib
import json
import random

import keras
import numpy as np
import pytest
from keras import layers

from transferkit import backbone_info, build_transfer_model, extract_features, files, list_backbones, load_model
from transferkit.errors import InvalidInputError, TransferKitError, TransferKitWarning, UnknownNameError

QUICK = ["mobilenet", "mobilenet_v3_small", "vgg16"]
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in list_backbones()
    if backbone_info(name).parameters < 3e7  # the larger ones are the same code with more layers
]
TINY = {"preprocessing": "tf", "input_shape": (16, 16, 1)}


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_backbone_keeps_the_contract(name, rng):
    info = backbone_info(name)
    model = build_transfer_model(name, pretrained=False, num_classes=7)
    expected = ["images", "resize", "to_rgb", "backbone", "pool", "dropout", "predictions"]
    assert [layer.name for layer in model.layers if layer.name not in ("rescaling", "normalization")] == expected
    backbone = model.get_layer("backbone")
    assert backbone.count_params() == info.parameters
    assert min(backbone.output_shape[1:3]) >= 2
    assert backbone.output_shape[-1] == info.features
    normalised = [layer for layer in backbone.layers if isinstance(layer, layers.BatchNormalization)]
    assert bool(normalised) == info.batch_norm
    assert {layer.momentum for layer in normalised} <= {0.9}
    assert backbone.trainable_weights
    probabilities = model.predict(rng.integers(0, 256, (2, 28, 28, 1), dtype=np.uint8), verbose=0)
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    again = build_transfer_model(name, pretrained=False, num_classes=7)
    assert model.to_json() == again.to_json()
    for mine, yours in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)
    keras.backend.clear_session()


def test_seed_decides_the_weights_and_global_state_stays(network):
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002 - the global state is what is tested
    keras.utils.set_random_seed(7)
    state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    expected = np.asarray(keras.random.normal((3,)))
    keras.utils.set_random_seed(7)
    first = build_transfer_model("mobilenet", pretrained=False, width=0.25, seed=1)
    assert random.getstate() == state[0]
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    np.testing.assert_array_equal(np.asarray(keras.random.normal((3,))), expected)
    other = build_transfer_model("mobilenet", pretrained=False, width=0.25, seed=2)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_failed_build_restores_global_state(tmp_path):
    state = random.getstate()
    with pytest.raises(Exception, match="is not a file"):
        build_transfer_model("mobilenet", tmp_path / "none.h5", width=0.25)
    assert random.getstate() == state


@pytest.mark.long
def test_model_from_scratch_trains_its_statistics_and_a_frozen_one_does_not(network, images, labels):
    for pretrained, moves in ((False, True), (True, False)):
        model = build_transfer_model(network, pretrained, **TINY)
        norm = model.get_layer("backbone").get_layer("block1_bn")
        before = np.asarray(norm.moving_mean).copy()
        model.fit(images, labels, verbose=0)
        assert (not np.array_equal(before, np.asarray(norm.moving_mean))) == moves


@pytest.mark.parametrize(
    ("pretrained", "freeze", "trains"),
    [
        (True, None, 0),
        (False, None, 5),
        (True, False, 5),
        (False, True, 0),
        (True, "block1_relu", 3),
        (True, "block2", 1),
    ],
)
def test_freeze_decides_what_trains(network, pretrained, freeze, trains):
    backbone = build_transfer_model(network, pretrained, freeze, **TINY).get_layer("backbone")
    assert sum(bool(layer.trainable_weights) for layer in backbone.layers) == trains


def test_unknown_layer_to_freeze_lists_close_matches(network):
    with pytest.raises(UnknownNameError, match="Did you mean 'block1_relu'"):
        build_transfer_model(network, freeze="block1_rely", **TINY)


def test_unknown_backbone_lists_close_matches():
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        build_transfer_model("resnet_50")


# Sizes


def test_default_size_is_that_of_the_registry():
    model = build_transfer_model("mobilenet", pretrained=False, width=0.25)
    assert model.get_layer("resize").height == 64
    assert model.get_layer("backbone").output_shape[1:3] == (2, 2)


def test_small_size_warns_with_the_reason():
    with pytest.warns(TransferKitWarning, match=r"at 32x32 pixels .*'mobilenet' is 1x1.*92% of its features constant"):
        build_transfer_model("mobilenet", pretrained=False, width=0.25, image_size=32)


def test_a_last_map_of_one_pixel_warns_at_any_size():
    inputs = keras.Input((80, 80, 3))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=78)(inputs))
    with pytest.warns(TransferKitWarning, match=r"at 80x80 pixels the last feature map of .* is 1x1"):
        build_transfer_model(backbone, input_shape=(80, 80, 1), preprocessing="unit", image_size=80)


def test_size_below_the_minimum_is_refused():
    with pytest.raises(
        InvalidInputError, match="'mobilenet' needs images of 32 pixels a side or more; got image_size=28"
    ):
        build_transfer_model("mobilenet", pretrained=False, image_size=28)
    with pytest.raises(InvalidInputError, match="'inception_v3' needs images of 75 pixels"):
        build_transfer_model("inception_v3", pretrained=False, image_size=64)


def test_images_of_the_right_size_are_not_resized():
    model = build_transfer_model("mobilenet", pretrained=False, width=0.25, input_shape=(64, 64, 3))
    assert "resize" not in [layer.name for layer in model.layers]


def test_images_of_any_size_are_resized(network, rng):
    model = build_transfer_model(network, preprocessing="tf", input_shape=(None, None, 3))
    assert model.predict(rng.integers(0, 256, (1, 40, 21, 3), dtype=np.uint8), verbose=0).shape == (1, 10)


# Backbones of the user's own


@pytest.mark.slow
def test_own_backbone_is_copied_and_left_alone(network, images, labels):
    before = [array.copy() for array in network.get_weights()]
    model = build_transfer_model(network, **TINY)
    assert network.name == "tiny"
    assert network.trainable_weights
    assert network.get_layer("block1_bn").momentum == 0.99
    for mine, yours in zip(model.get_layer("backbone").get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, yours)
    model.get_layer("backbone").trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images, labels, verbose=0)
    for mine, yours in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert (model.provenance.source, model.provenance.backbone) == ("user-model", "tiny")


def test_own_backbone_may_be_sequential_and_end_in_features(rng):
    own = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()],
        name="own",
    )
    model = build_transfer_model(own, input_shape=(28, 28, 1))  # it rescales by itself, so nothing need be said
    assert [layer.name for layer in model.layers] == ["images", "resize", "backbone", "pool", "dropout", "predictions"]
    assert model.predict(rng.integers(0, 256, (2, 28, 28, 1), dtype=np.uint8), verbose=0).shape == (2, 10)


def test_own_backbone_of_any_size_takes_image_size_or_that_of_the_images():
    inputs = keras.Input((None, None, 3))
    own = keras.Model(inputs, layers.Conv2D(4, 3)(inputs))
    options = {"preprocessing": "unit", "input_shape": (28, 28, 1)}
    assert build_transfer_model(own, **options).provenance.image_size == 28
    resized = build_transfer_model(own, image_size=40, **options)
    assert (resized.provenance.image_size, resized.get_layer("resize").width) == (40, 40)
    with pytest.raises(InvalidInputError, match="image_size is needed"):
        build_transfer_model(own, preprocessing="unit", input_shape=(None, None, 1))


def test_own_backbone_needs_its_preprocessing_said(network):
    with pytest.raises(InvalidInputError, match="what pixels does the backbone 'tiny' expect"):
        build_transfer_model(network, input_shape=(16, 16, 1))


def test_own_backbone_with_its_weights_from_a_path(network, tmp_path):
    file = tmp_path / "tiny.weights.h5"
    network.save_weights(file)
    fresh = keras.models.clone_model(network)
    model = build_transfer_model(fresh, file, **TINY)
    np.testing.assert_array_equal(model.get_layer("backbone").get_weights()[0], network.get_weights()[0])
    assert (model.provenance.source, model.provenance.backbone) == ("path", "tiny")


def model_with(head):
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, head(inputs))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: model_with(lambda x: layers.Dense(5, activation="softmax", name="head")(layers.Flatten()(x))),
            r"has a head \('head', 5 classes\).*include_top=False",
            id="softmax",
        ),
        pytest.param(lambda: model_with(lambda x: layers.Softmax()(layers.Flatten()(x))), "has a head", id="softmax-layer"),
        pytest.param(lambda: model_with(lambda x: layers.Reshape((64, 3))(x)), r"Pool its output first", id="3-D"),
        pytest.param(lambda: model_with(lambda x: [x, x]), "one input and one output; it has 1 and 2", id="outputs"),
        pytest.param(Subclassed, "no built functional or sequential model", id="subclassed"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2)]), r"must take images .*it takes \(None, 4\)", id="1-D"
        ),
        pytest.param(
            lambda: keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(2, 3)]), "1 or 3", id="channels"
        ),
    ],
)  # fmt: skip
def test_model_that_is_no_backbone_is_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        build_transfer_model(build(), preprocessing="none")


def test_own_backbone_of_another_size_is_refused(network):
    with pytest.raises(InvalidInputError, match="takes images of 16x16 pixels; got image_size=32"):
        build_transfer_model(network, image_size=32, **TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": None}, "pretrained must be True, False or the path"),
        ({"pretrained": 1}, "pretrained"),
        ({"freeze": 3}, "freeze must be True, False or the name of a layer; got 3"),
        ({"num_classes": 1}, "num_classes"),
        ({"input_shape": (28, 28)}, "Grey images are"),
        ({"input_shape": (28, 28, 4)}, "alpha"),
        ({"image_size": 0}, "image_size must be an integer of 1 or more; got 0"),
        ({"image_size": 64.0}, "image_size"),
        ({"width": 0}, "width must be above 0"),
        ({"backbone": "vgg16", "width": 0.5}, "'vgg16' has no width multiplier"),
        ({"preprocessing": "imagenet"}, "unknown preprocessing 'imagenet'"),
        ({"pooling": "mean"}, "pooling must be 'avg', 'max', 'token' or None"),
        ({"dropout": 1}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"batch_norm_momentum": 1.5}, "batch_norm_momentum"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_argument_is_named(options, message):
    with pytest.raises(InvalidInputError, match=message):
        build_transfer_model(**{"pretrained": False, **options})


# The user's own Keras code works unchanged


@pytest.mark.long
def test_fit_evaluate_callbacks_and_summary_work_as_on_any_keras_model(network, images, labels, tmp_path, capsys):
    import tensorflow as tf

    model = build_transfer_model(network, **TINY)
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1)
    file = tmp_path / "best.keras"
    best = keras.callbacks.ModelCheckpoint(file, save_best_only=True)
    history = model.fit(images, labels, validation_split=0.25, epochs=2, callbacks=[stop, best], verbose=0).history
    assert set(history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    expected = model.evaluate(images, labels, return_dict=True, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(7)
    model.fit(batches, verbose=0)
    assert set(model.evaluate(batches, return_dict=True, verbose=0)) == set(expected)
    model.summary(expand_nested=True)
    assert "block2_conv" in capsys.readouterr().out
    again = keras.models.load_model(file)
    assert again.evaluate(images, labels, return_dict=True, verbose=0).keys() == expected.keys()


def test_bytes_and_floats_of_the_same_pixels_predict_the_same(network, images):
    model = build_transfer_model(network, **TINY)
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(model.predict(images.astype("float32"), verbose=0), expected)
    np.testing.assert_allclose(model.predict(images.astype("int64"), verbose=0), expected, atol=1e-6)
    np.testing.assert_array_equal(model.predict(images[::-1], verbose=0), expected[::-1])


def test_exported_model_takes_raw_images(network, images, tmp_path):
    import tensorflow as tf

    model = build_transfer_model(network, **TINY)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(images.astype("float32")), model.predict(images, verbose=0), atol=1e-5)


def test_mixed_precision_keeps_pixels_and_probabilities_in_float32(images, labels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((16, 16, 3))
        own = keras.Model(inputs, layers.Conv2D(4, 3, activation="relu")(inputs))
        model = build_transfer_model(own, **TINY)
        assert model.get_layer("backbone").layers[-1].compute_dtype == "float16"
        assert model.get_layer("rescaling").compute_dtype == "float32"
        assert model.get_layer("predictions").compute_dtype == "float32"
        model.fit(images, labels, verbose=0)
        probabilities = model.predict(images, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_frozen_backbone_has_no_noise(images):
    inputs = keras.Input((16, 16, 3))
    own = keras.Model(inputs, layers.Dropout(0.5)(layers.Conv2D(4, 3)(inputs)))
    frozen = build_transfer_model(own, True, dropout=0.0, **TINY)
    np.testing.assert_array_equal(frozen(images[:2], training=True), frozen(images[:2], training=True))
    noisy = build_transfer_model(own, False, dropout=0.0, **TINY)
    assert not np.array_equal(noisy(images[:2], training=True), noisy(images[:2], training=True))


def _lists(inputs, outputs):
    return keras.Model([inputs], [outputs])


def _own_lists(inputs, outputs):
    base = keras.Model(inputs, outputs)
    return keras.Model(base.inputs, base.outputs)


def _around_lists(inputs, outputs):
    outer = keras.Input((8, 8, 3))
    return keras.Model(outer, keras.tree.flatten(_lists(inputs, outputs)(outer))[0])


def _lists_around(inputs, outputs):
    outer = keras.Input((8, 8, 3))
    return _lists(outer, keras.Model(inputs, outputs)(outer))


def _sequential(network):
    return keras.Sequential([keras.Input((8, 8, 3)), network])


NESTINGS = {
    "lists of one": _lists,
    "lists of a model's own": _own_lists,
    "dictionaries": lambda i, o: keras.Model({i.name: i}, {"out": o}),
    "a model around one with lists": _around_lists,
    "lists around a model": _lists_around,
    "sequential around a functional one": lambda i, o: _sequential(keras.Model(i, o)),
    "sequential around lists": lambda i, o: _sequential(_lists(i, o)),
    "two levels": lambda i, o: _sequential(_sequential(keras.Model(i, o))),
}


@pytest.mark.long
@pytest.mark.parametrize("nest", NESTINGS.values(), ids=NESTINGS)
def test_own_backbone_may_be_nested_in_any_way(nest, rng):
    inputs = keras.Input((8, 8, 3))
    own = nest(inputs, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inputs)))
    model = build_transfer_model(own, input_shape=(8, 8, 3), preprocessing="none", num_classes=3)
    images = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    expected = np.mean(keras.tree.flatten(own.predict(images, verbose=0))[0], axis=(1, 2))
    np.testing.assert_allclose(
        keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0),
        expected,
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_allclose(extract_features(model, images), expected, rtol=1e-3, atol=1e-6)
    assert not model.get_layer("backbone").trainable_weights


class Scaled(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.factor = 1.0

    def call(self, inputs):
        return inputs * self.factor


def test_own_backbone_that_its_configuration_does_not_tell_whole_is_not_copied():
    inputs = keras.Input((8, 8, 3))
    own = keras.Model(inputs, layers.Conv2D(4, 3)(Scaled(name="scaled")(inputs)), name="own")
    build_transfer_model(own, input_shape=(8, 8, 3), preprocessing="none")
    own.get_layer("scaled").factor = 2.0
    with pytest.raises(InvalidInputError, match="does not tell"):
        build_transfer_model(own, input_shape=(8, 8, 3), preprocessing="none")


def test_own_backbone_keeps_a_call_of_its_own(rng):
    class Doubled(keras.Model):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs, training=training)

    inputs = keras.Input((8, 8, 3))
    own = Doubled(inputs, layers.Conv2D(4, 3)(inputs), name="own")
    images = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    try:
        model = build_transfer_model(own, input_shape=(8, 8, 3), preprocessing="none")
    except InvalidInputError:
        return  # a copy would have lost it
    features = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
    np.testing.assert_allclose(features, own.predict(images, verbose=0).mean(axis=(1, 2)), rtol=1e-4)


ODD = [
    None,
    float("nan"),
    float("inf"),
    -1,
    1.5,
    "x",
    b"x",
    [],
    [1],
    {},
    {"a"},
    object(),
    np.nan,
    np.array([1, 2]),
    10**30,
    "\0",
    "a" * 10_000,
]
OPTIONS = [
    "backbone",
    "pretrained",
    "freeze",
    "num_classes",
    "input_shape",
    "image_size",
    "width",
    "preprocessing",
    "pooling",
    "dropout",
    "batch_norm_momentum",
    "learning_rate",
    "seed",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_a_wrong_kind_are_typed_errors(option, network):
    for odd in ODD:
        with contextlib.suppress(TransferKitError):
            build_transfer_model(**({"backbone": network, **TINY} | {option: odd}))


def test_options_may_be_numpys(network):
    options = {
        "pretrained": np.True_,
        "freeze": np.False_,
        "dropout": np.float32(0.25),
        "learning_rate": np.float32(0.5),
    }
    model = build_transfer_model(network, **TINY, **options, num_classes=np.int64(4))
    assert model.get_layer("backbone").trainable_weights
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.get_config() is not None


@pytest.mark.parametrize("old", [False, True])
def test_a_model_that_is_called_does_not_train(tmp_path, rng, old):
    """Keras's `Resizing` is called as in training by default, and hands that on to every layer after it."""
    inputs = keras.Input((12, 12, 3))
    hidden = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.5)(hidden)))
    model = build_transfer_model(backbone, preprocessing="unit", freeze=False, input_shape=(8, 8, 3))
    if old:  # a run that was saved by an earlier version
        run = tmp_path / "run"
        run.mkdir()
        config = json.loads(model.to_json())
        (resizing,) = (layer for layer in config["config"]["layers"] if layer["class_name"] == "Resizing")
        resizing["inbound_nodes"][0]["kwargs"]["training"] = True
        files.write_json(run / "model.json", config)
        model.save_weights(run / "model.weights.h5")
        files.write_manifest(run)
        model = load_model(run)
    images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    before = model.get_weights()
    np.testing.assert_allclose(np.asarray(model(images)), model.predict(images, verbose=0), atol=1e-6)
    for variable, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(variable, value)
