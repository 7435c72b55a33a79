"""extract_features through its public face: equal to Keras, kept, reused, bounded, cleared."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit import files
from transferkit.errors import CacheError, DataError, InvalidInputError, TransferKitWarning
from transferkit.features import cache as caches
from transferkit.features import engine as engines


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (90, 16, 16, 1), dtype=np.uint8)


@pytest.fixture
def model(body, classifier):
    network = body()
    network.trainable = False
    return classifier(network)


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def arm():
        def fail(*_, **__):
            raise AssertionError("features were computed again")

        monkeypatch.setattr(caches, "load_engine", fail)

    return arm


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_features_are_keras_own(model, images, engine):
    features = tk.extract_features(model, images, engine=engine)
    expected = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
    assert isinstance(features, np.memmap)
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_second_call_and_any_subset_read_from_disk(model, images, nothing_is_computed):
    first = np.array(tk.extract_features(model, images))
    nothing_is_computed()
    np.testing.assert_array_equal(tk.extract_features(model, images), first)
    np.testing.assert_array_equal(tk.extract_features(model, images[::-3]), first[::-3])


def test_other_weights_have_other_features(model, images):
    first = np.array(tk.extract_features(model, images))
    layer = model.get_layer("body").get_layer("first")
    layer.set_weights([weights * 2 for weights in layer.get_weights()])
    assert not np.allclose(tk.extract_features(model, images), first)


def test_memory_maps_of_images_are_read_in_pieces(model, images, tmp_path, monkeypatch):
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    mapped[:] = images
    monkeypatch.setattr(caches, "_PIECE_BYTES", 7 * images[0].nbytes)
    np.testing.assert_array_equal(tk.extract_features(model, mapped), tk.extract_features(model, images))


def test_feature_maps_of_a_partly_frozen_model(body, classifier, images):
    network = body()
    for layer in network.layers[:4]:
        layer.trainable = False
    assert tk.extract_features(classifier(network), images).shape == (90, 14, 14, 6)


def test_failing_litert_falls_back_and_stays_there(model, images, monkeypatch, nothing_is_computed):
    monkeypatch.setattr(engines, "_convert", lambda *_: b"nothing")
    with pytest.warns(TransferKitWarning, match="LiteRT cannot run"):
        features = tk.extract_features(model, images)
    assert np.isfinite(features).all()


def test_nothing_frozen_is_refused(body, classifier, images):
    with pytest.raises(InvalidInputError, match="no features to extract"):
        tk.extract_features(classifier(body()), images)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 16, 16, 1)) - 1, np.zeros((2, 8, 8, 1), np.uint8), np.zeros((0, 16, 16, 1), np.uint8)]
)
def test_wrong_images_are_refused(model, wrong):
    with pytest.raises(DataError):
        tk.extract_features(model, wrong)


def test_no_model_is_refused(images):
    with pytest.raises(InvalidInputError, match=r"keras\.Model"):
        tk.extract_features("mobilenet", images)


def test_clear_cache_frees_what_it_says(model, images):
    tk.extract_features(model, images)
    assert tk.clear_cache() > 90 * 8 * 4
    assert tk.clear_cache() == 0
    assert tk.extract_features(model, images).shape == (90, 8)


def test_least_recently_used_features_go_first(body, classifier, images, monkeypatch):
    def extract(engine):
        tk.extract_features(models[engine], images, engine="keras")

    models = []
    for _ in range(3):
        network = body()
        network.trainable = False
        models.append(classifier(network))
    extract(0)
    extract(1)
    home = files.cache_home() / "features"
    older, newer = sorted(home.iterdir(), key=lambda folder: (folder / "features.json").stat().st_mtime_ns)
    monkeypatch.setenv("TRANSFERKIT_CACHE_GB", str((files.folder_bytes(home) + 100) / 1e9))
    extract(2)
    assert not older.exists()
    assert newer.exists()


@pytest.mark.parametrize("limit", ["much", "-1", "nan", ""])
def test_senseless_limit_is_refused(model, images, monkeypatch, limit):
    monkeypatch.setenv("TRANSFERKIT_CACHE_GB", limit)
    with pytest.raises(InvalidInputError, match="TRANSFERKIT_CACHE_GB"):
        tk.extract_features(model, images)


def test_cache_is_measured_only_when_it_grew(model, images, monkeypatch):
    tk.extract_features(model, images)
    measured = []
    monkeypatch.setattr(files, "folder_bytes", lambda folder: measured.append(folder) or 0)
    tk.extract_features(model, images)
    assert not measured
    tk.extract_features(model, 255 - images)
    assert measured


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_cache_that_cannot_be_written_is_named_with_the_cure(model, images, engine, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="TRANSFERKIT_HOME"):
        tk.extract_features(model, images, engine=engine)
