"""extract_features through its public face: equal to Keras, kept, reused, bounded, cleared."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import transferkit as tk
from transferkit import files
from transferkit.errors import CacheError, DataError, InvalidInputError, TransferKitWarning
from transferkit.features import cache as caches
from transferkit.features import engine as engines
from transferkit.features import extraction


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


# --- nothing kept is believed ------------------------------------------------------------------------------------------------


class _Unseen(keras.layers.Layer):
    """Multiplies by what no trace can see: another number in TensorFlow's graphs than when it runs at once."""

    def __init__(self, at_once):
        super().__init__()
        self.at_once = at_once

    def call(self, inputs):
        return inputs * (next(self.at_once) if tf.executing_eagerly() else 1.0)


def unseen(at_once):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 3, trainable=False)(_Unseen(at_once)(x))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D(name="pool")(x)))


def test_kept_features_that_the_layers_no_longer_give_are_dropped_with_a_warning(images, monkeypatch):
    one, two = (classifier_of(value) for value in (1.0, 2.0))
    first = np.array(tk.extract_features(one, images, engine="keras"))
    # As if two programs had one address.
    same = extraction.frozen_part(one).digest
    monkeypatch.setattr(
        extraction, "frozen_part", lambda model, find=extraction.frozen_part: replace(find(model), digest=same)
    )
    np.testing.assert_array_equal(tk.extract_features(one, images, engine="keras"), first)
    with pytest.warns(TransferKitWarning, match="dropped and are computed anew"):
        second = np.array(tk.extract_features(two, images, engine="keras"))
    np.testing.assert_allclose(second, first * 2, rtol=1e-5)
    np.testing.assert_array_equal(tk.extract_features(two, images, engine="keras"), second)


def classifier_of(value):
    x = inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(2, 3, trainable=False, kernel_initializer=keras.initializers.Constant(value))(x)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D(name="pool")(x)))


def test_a_few_rows_that_were_kept_are_checked_among_many_that_are_new(images, monkeypatch):
    one, two = (classifier_of(value) for value in (1.0, 2.0))
    tk.extract_features(one, images[40:41], engine="keras")
    same = extraction.frozen_part(one).digest
    monkeypatch.setattr(
        extraction, "frozen_part", lambda model, find=extraction.frozen_part: replace(find(model), digest=same)
    )
    with pytest.warns(TransferKitWarning, match="dropped"):
        features = tk.extract_features(two, images, engine="keras")
    expected = keras.Model(two.inputs, two.get_layer("pool").output).predict(images, verbose=0)
    np.testing.assert_allclose(features, expected, rtol=1e-4)


@pytest.mark.parametrize("engine", ["keras", "litert"])
@pytest.mark.filterwarnings("ignore:.*LiteRT differs:transferkit.errors.TransferKitWarning")
def test_layers_that_never_give_the_same_are_refused_with_the_cure(images, engine):
    with pytest.raises(InvalidInputError, match="engine='plain'"):
        tk.extract_features(unseen(itertools.count(2.0)), images, engine=engine)
    assert not list((files.cache_home() / "features").glob("*/rows*"))


def test_features_of_any_scale_are_compared_by_it(images):
    for scale in (1e-12, 1e12):
        model = classifier_of(scale)
        expected = keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)
        np.testing.assert_allclose(np.asarray(tk.extract_features(model, images)) / scale, expected / scale, rtol=1e-4)


FACTS = {
    "not JSON": lambda file: file.write_text("{"),
    "binary": lambda file: file.write_bytes(b"\xff\x00\xfe"),
    "no shape": lambda file: file.write_text("{}"),
    "another shape": lambda file: file.write_text(file.read_text().replace("8", "4")),
    "a shape of texts": lambda file: file.write_text('{"shape": ["8"], "address": "x"}'),
    "a list": lambda file: file.write_text("[8]"),
    "foreign": lambda file: file.write_text(file.read_text().replace('"address": "', '"address": "0')),
    "gone": lambda file: file.unlink(),
    "empty": lambda file: file.write_text(""),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
} | ({"a pipe": lambda file: (file.unlink(), os.mkfifo(file))} if hasattr(os, "mkfifo") else {})


@pytest.mark.long
@pytest.mark.parametrize("damage", FACTS.values(), ids=FACTS)
def test_damaged_facts_cost_a_computation_and_nothing_else(model, images, damage, nothing_is_computed):
    first = np.array(tk.extract_features(model, images, engine="keras"))
    (file,) = (files.cache_home() / "features").glob("*/features.json")
    damage(file)
    np.testing.assert_array_equal(tk.extract_features(model, images, engine="keras"), first)
    nothing_is_computed()
    np.testing.assert_array_equal(tk.extract_features(model, images, engine="keras"), first)


def test_what_cannot_be_removed_is_not_claimed(model, images, monkeypatch):
    tk.extract_features(model, images)
    monkeypatch.setattr(files, "remove", lambda path: None)
    with pytest.warns(TransferKitWarning, match="could not be removed"):
        assert tk.clear_cache() == 0


def test_room_counts_what_is_there_already(model, images, monkeypatch):
    cache = caches.FeatureCache(extraction.frozen_part(model), images[:8])
    cache.locate(images)
    monkeypatch.setattr(files, "free_bytes", lambda folder: 0)
    assert cache.room_bytes >= 90 * cache.row_bytes


READER = """
import os, sys
import numpy as np, keras
import transferkit as tk
model = keras.models.load_model(sys.argv[1])
images = np.load(sys.argv[2])
home, os.environ["TRANSFERKIT_HOME"] = os.environ["TRANSFERKIT_HOME"], sys.argv[5]
tk.extract_features(model, images[:3], engine=sys.argv[4])  # imports what nobody may not read
os.environ["TRANSFERKIT_HOME"] = home
os.seteuid(65534)  # nobody: as root, every folder can be written
assert not os.access(home, os.W_OK, effective_ids=True)
features = tk.extract_features(model, images[::-2], engine=sys.argv[4])
np.testing.assert_array_equal(features, np.load(sys.argv[3])[::-2])
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "seteuid") or os.getuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_features_that_are_all_there_are_read_from_a_read_only_cache(model, images, engine, request, monkeypatch):
    tmp_path = Path(tempfile.mkdtemp())  # pytest closes its own folders to others
    request.addfinalizer(lambda: shutil.rmtree(tmp_path))
    home = tmp_path / "home"
    monkeypatch.setenv("TRANSFERKIT_HOME", str(home))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "features.npy", tk.extract_features(model, images, engine=engine))
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    given = [tmp_path / name for name in ("model.keras", "images.npy", "features.npy")]
    other = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", READER, *map(str, given), engine, str(other)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.partition("Traceback")[2][:3000]
