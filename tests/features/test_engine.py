"""LiteRT and Keras give the same features; where LiteRT cannot, Keras takes over and says so."""

import hashlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from transferkit.backends import chosen_backend
from transferkit.errors import TransferKitWarning, UnknownNameError
from transferkit.features import engine as engines
from transferkit.features.prefix import find_prefix


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (150, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def prefix(body, classifier):
    network = body()
    network.trainable = False
    return find_prefix(classifier(network))


@pytest.mark.parametrize("count", [1, 64, 65, 150])
def test_litert_equals_keras(prefix, images, count, tmp_path):
    litert, plain = (engines.load_engine(prefix, name, images, folder=tmp_path) for name in ("litert", "keras"))
    np.testing.assert_allclose(litert(images[:count]), plain(images[:count]), atol=1e-4)


def test_converted_file_is_kept_and_used_again(prefix, images, tmp_path, monkeypatch):
    first = engines.load_engine(prefix, "litert", images, folder=tmp_path)(images)

    def fail(*_):
        raise AssertionError("converted twice")

    monkeypatch.setattr(engines, "_convert", fail)
    np.testing.assert_array_equal(engines.load_engine(prefix, "litert", images, folder=tmp_path)(images), first)


@pytest.mark.parametrize("harm", ["flipped", "cut"])
def test_damaged_converted_file_is_made_again(prefix, images, tmp_path, harm):
    first = engines.load_engine(prefix, "litert", images, folder=tmp_path)(images)
    (file,) = tmp_path.iterdir()
    kept = bytearray(file.read_bytes())
    kept[len(kept) // 2] ^= 255
    file.write_bytes(kept if harm == "flipped" else kept[:-100])
    np.testing.assert_array_equal(engines.load_engine(prefix, "litert", images, folder=tmp_path)(images), first)
    assert file.read_bytes() != kept


def test_what_litert_cannot_run_is_left_to_keras_with_a_warning(prefix, images, tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError("some ops are not supported\nand a long trace")

    monkeypatch.setattr(engines, "_convert", refuse)
    with pytest.warns(TransferKitWarning, match="some ops are not supported"):
        assert engines.load_engine(prefix, "litert", images, folder=tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_converted_prefix_that_disagrees_is_not_used(prefix, images, body, classifier, tmp_path, monkeypatch):
    network = body()
    network.trainable = False
    other = engines._convert(find_prefix(classifier(network)), images.shape[1:], images.dtype)
    monkeypatch.setattr(engines, "_convert", lambda *_: other)
    with pytest.warns(TransferKitWarning, match="differs from Keras"):
        assert engines.load_engine(prefix, "litert", images, folder=tmp_path) is None


def test_whole_model_as_it_is_now(body, classifier, images):
    model = classifier(body())
    compute = engines.convert_model(model, images)
    np.testing.assert_allclose(compute(images), model.predict(images, verbose=0), atol=1e-5)


def test_unknown_engine_is_refused():
    with pytest.raises(UnknownNameError, match="litert"):
        engines.choose_engine("litrt")


@pytest.mark.parametrize(
    ("kinds", "engine"), [(["CPU"], "litert"), (["CPU", "GPU"], "keras"), (["CPU", "TPU"], "keras")]
)
def test_accelerators_run_keras_and_processors_litert(monkeypatch, kinds, engine):
    devices = [SimpleNamespace(device_type=kind) for kind in kinds]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: devices)
    assert engines.choose_engine("auto") == engine
    assert [engines.choose_engine(name) for name in ("keras", "litert")] == ["keras", "litert"]


@pytest.mark.parametrize("kept", ["garbage", "another model's"])
def test_converted_file_of_no_use_is_removed_with_a_warning(prefix, body, classifier, images, tmp_path, kept):
    file = tmp_path / "prefix.tflite"
    converted = b"TFL3" + bytes(range(256)) * 10
    if kept != "garbage":
        network = body()
        network.trainable = False
        engines.load_engine(find_prefix(classifier(network)), "litert", images, folder=tmp_path)
        converted = file.read_bytes()[32:]
    file.write_bytes(hashlib.sha256(converted).digest() + converted)
    with pytest.warns(TransferKitWarning, match="cannot be used"):
        compute = engines.load_engine(prefix, "litert", images, folder=tmp_path)
    np.testing.assert_allclose(compute(images), engines.live_values(prefix, images), atol=1e-4)
    assert file.read_bytes()[32:] != converted
    engines.load_engine(prefix, "litert", images, folder=tmp_path)  # and warns no more


def test_lower_precision_is_left_to_keras(images, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((16, 16, 1))
        x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, trainable=False)(inputs))
        prefix = find_prefix(keras.Model(inputs, keras.layers.Dense(2)(x)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert prefix.compute_dtype == "bfloat16"
    assert engines.load_engine(prefix, "litert", images, folder=tmp_path) is None


def test_an_accelerator_computes_features_in_large_batches(monkeypatch):
    sizes = []

    def compiled(function, variables):
        return lambda images: sizes.append(len(images)) or np.zeros((len(images), 2), np.float32)

    monkeypatch.setattr(chosen_backend(), "compiled", compiled)
    prefix = SimpleNamespace(weights=[])
    for accelerator in (None, "a GPU"):
        monkeypatch.setattr(chosen_backend(), "accelerator", lambda accelerator=accelerator: accelerator)
        engines.keras_engine(prefix)(np.zeros((600, 1), np.uint8))
    assert sizes == [*[64] * 9, 24, 512, 88]
