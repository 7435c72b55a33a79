"""extract_features on shards: what is found again, what is computed anew, what is refused."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import transferkit as tk
from transferkit.errors import (
    DataError,
    FailedShardsError,
    InvalidInputError,
    TransferKitWarning,
    UnknownNameError,
)

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COUNT = 150


def encode(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def make_model(seed=0, *, side=16):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="backbone")
    backbone.trainable = False
    images = keras.Input((side, side, 3))
    model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(backbone(images)), name="classifier")
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (2 * COUNT, 16, 16, 3), np.uint8)


@pytest.fixture
def shards(tmp_path, images):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, part in enumerate((images[:COUNT], images[COUNT:])):
        keys = [f"{number}-{row}" for row in range(COUNT)]
        columns = {"key": keys, "image": list(map(encode, part)), "label": [row % 3 for row in range(COUNT)]}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "features"


def extract(model, shards, output, **options):
    return tk.extract_features(model, shards, output=output, verbose=False, **options)


def read(paths):
    return np.concatenate([np.stack(pq.read_table(path)["features"].to_numpy()) for path in paths])


def when(paths):
    return [path.stat().st_mtime_ns for path in paths]


def test_features_are_those_of_arrays_bit_for_bit_and_are_found_again(model, images, shards, output):
    found = extract(model, shards, output, columns=["label"])
    assert np.array_equal(read(found), tk.extract_features(model, images))
    assert pq.read_schema(found[0]).names == ["key", "label", "features"]
    before = when(found)
    (shards / "0.parquet").rename(shards / "renamed.parquet")  # content counts, not names
    assert set(extract(model, shards, output, columns=["label"])) == set(found)
    assert when(found) == before
    # Any program that reads folders of Parquet files sees these alone.
    import pyarrow.dataset

    assert pyarrow.dataset.dataset(output).count_rows() == 2 * COUNT


def test_another_network_other_columns_or_other_images_are_computed_anew(model, shards, output):
    found = extract(model, shards, output)
    assert set(extract(make_model(1), shards, output)).isdisjoint(found)
    assert set(extract(model, shards, output, columns=["label"])).isdisjoint(found)
    table = pq.read_table(shards / "0.parquet")
    pq.write_table(table.slice(1), shards / "0.parquet")
    again = extract(model, shards, output)
    assert len(set(again) & set(found)) == 1


def test_folders_and_lists_of_images_are_shards(model, images, tmp_path, output):
    for row in range(6):
        (tmp_path / "photos" / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[row]).save(tmp_path / "photos" / "ab"[row % 2] / f"{row}.png")
    (whole,) = extract(model, tmp_path / "photos", output)
    keys = ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png"]
    assert pq.read_table(whole)["key"].to_pylist() == keys
    by_class = extract(model, [tmp_path / "photos" / "a", tmp_path / "photos" / "b"], output)
    assert [key for path in by_class for key in pq.read_table(path)["key"].to_pylist()] == keys
    listed = [tmp_path / "photos" / key for key in keys]
    (of_list,) = extract(model, [listed], output)
    for found in ([whole], by_class, [of_list]):
        assert np.array_equal(read(found), tk.extract_features(model, images[[0, 2, 4, 1, 3, 5]]))


def test_photographs_whose_names_begin_with_an_underscore_are_read(model, images, tmp_path, output):
    (tmp_path / "photos").mkdir()
    for row, name in enumerate(["DSC0001", "_DSC0002", "_MG_0003"]):  # cameras name photographs in Adobe RGB so
        Image.fromarray(images[row]).save(tmp_path / "photos" / f"{name}.png")
    (whole,) = extract(model, tmp_path / "photos", output)
    assert pq.read_table(whole)["key"].to_pylist() == ["DSC0001.png", "_DSC0002.png", "_MG_0003.png"]


def test_a_damaged_file_is_computed_anew(model, shards, output):
    found = extract(model, shards, output)
    good = [path.read_bytes() for path in found]
    times = when(found)
    broken = bytearray(good[0])
    broken[200] ^= 1
    found[0].write_bytes(broken)
    with pytest.warns(TransferKitWarning, match=r"kept features of 0\.parquet were damaged"):
        assert extract(model, shards, output) == found
    assert [path.read_bytes() for path in found] == good
    assert when(found)[1] == times[1]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_gives_other_features(model, shards, tmp_path_factory, data):
    from transferkit.features.feature_file import FeatureFile

    (path, _) = extract(model, shards, shards.parent / "kept")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    copy = tmp_path_factory.mktemp("copy") / "copy.parquet"
    copy.write_bytes(content)
    try:
        rows = list(FeatureFile.open(copy).read())
    except DataError:
        return
    assert np.array_equal(np.concatenate([row.features for row in rows]), read([path]))


@pytest.mark.long
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, COUNT), max_size=4))
def test_features_do_not_depend_on_how_images_are_divided(model, images, cuts):
    mapper = tk.FeatureMapper(model)
    table = pa.table({"key": range(COUNT), "image": list(map(encode, images[:COUNT]))})
    places = [0, *sorted(cuts), COUNT]
    parts = [mapper(table.slice(start, end - start)) for start, end in itertools.pairwise(places)]
    features = np.concatenate([np.stack(part["features"].to_numpy()) for part in parts if len(part)])
    assert np.array_equal(features, tk.extract_features(model, images[:COUNT]))


def test_images_that_cannot_be_read_are_named_or_left_out(model, images, tmp_path, output):
    contents = [encode(images[0]), b"not a picture", None, encode(images[1])]
    pq.write_table(pa.table({"key": ["a", "b", "c", "d"], "image": contents}), tmp_path / "some.parquet")
    with pytest.raises(FailedShardsError, match=r"2 images cannot be read \(b: .*; c: it is missing\)"):
        extract(model, tmp_path / "some.parquet", output)
    with pytest.warns(TransferKitWarning, match="2 images cannot be read"):
        (found,) = extract(model, tmp_path / "some.parquet", output, on_error="skip")
    assert pq.read_table(found)["key"].to_pylist() == ["a", "d"]
    with pytest.raises(FailedShardsError, match="2 images cannot be read"):  # also where they were left out before
        extract(model, tmp_path / "some.parquet", output)


def test_one_bad_shard_does_not_lose_the_others(model, shards, output):
    (shards / "2.parquet").write_bytes(b"PAR1 and nothing more")
    pq.write_table(pa.table({"name": ["a"]}), shards / "3.parquet")
    with pytest.raises(FailedShardsError, match="cannot be read as Parquet") as caught:
        extract(model, shards, output)
    assert set(caught.value.failures) == {"2.parquet", "3.parquet"}
    assert "unknown column of 3.parquet 'key'" in caught.value.failures["3.parquet"]
    assert len(caught.value.files) == 2


def test_equal_shards_are_computed_once(model, shards, output):
    (shards / "2.parquet").write_bytes((shards / "0.parquet").read_bytes())
    with pytest.warns(TransferKitWarning, match="1 shards hold exactly what another one holds"):
        assert len(extract(model, shards, output)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, "shards must be a folder"),
        ({"images": []}, "shards is empty"),
        ({"output": None}, "say which one, output="),
        ({"columns": ["key"]}, "columns may name each column once"),
        ({"fit": "best"}, "fit must be one of"),
        ({"on_error": "ignore"}, "on_error must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(model, shards, output, change, message):
    with pytest.raises(InvalidInputError, match=message):
        tk.extract_features(model, **({"images": str(shards), "output": output} | change))
    assert not output.exists() or not list(output.glob("*.parquet"))


def test_an_output_among_the_shards_is_refused(model, shards):
    with pytest.raises(InvalidInputError, match="would become one of the shards"):
        extract(model, shards, shards / "features")


def test_a_folder_without_images_is_refused(model, tmp_path, output):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither Parquet files nor images"):
        extract(model, tmp_path / "empty", output)


def test_a_mapper_refuses_what_it_cannot_read(model, images):
    mapper = tk.FeatureMapper(model)
    with pytest.raises(UnknownNameError, match="image"):
        mapper(pa.table({"key": ["a"]}))
    with pytest.raises(DataError, match="1 images cannot be read"):
        mapper(pa.table({"key": ["a"], "image": [b"no picture"]}))
    with pytest.raises(DataError, match="have no key"):
        mapper(pa.table({"key": [None, "a"], "image": [encode(images[0])] * 2}))


def test_keras_computes_where_it_is_told_to(model, images, shards, output):
    found = extract(model, shards, output, engine="keras")
    np.testing.assert_allclose(read(found), tk.extract_features(model, images), atol=1e-4)


def test_a_worker_imports_no_tensorflow(model, shards, output):
    found = extract(model, shards, output)
    code = (
        "import sys; from pathlib import Path\n"
        "from transferkit.features.shard_work import ShardJob, extract_shard\n"
        "from transferkit.features.shards import Columns, list_shards\n"
        f"network = next(Path({str(output)!r}, '_networks').iterdir())\n"
        f"job = ShardJob({str(output)!r}, str(network), Columns(), 'crop', False)\n"
        f"outcome = extract_shard(list_shards({str(shards)!r})[0], job)\n"
        "assert outcome.computed and outcome.rows, outcome\n"
        "assert not {'tensorflow', 'keras', 'sklearn'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert len(list(output.glob("*.parquet"))) == len(found) + 1


@pytest.mark.slow
def test_a_killed_worker_loses_no_finished_shard(model, tmp_path, output):
    rng = np.random.default_rng(0)
    (tmp_path / "shards").mkdir()
    for number in range(8):
        contents = [encode(image) for image in rng.integers(0, 256, (300, 16, 16, 3), np.uint8)]
        keys = [f"{number}-{row}" for row in range(300)]
        pq.write_table(pa.table({"key": keys, "image": contents}), tmp_path / "shards" / f"{number}.parquet")
    finished = {}

    def kill():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            done = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
            for file in (output / "_locks").glob("*.holder"):
                try:
                    pid = json.loads(file.read_text(encoding="utf-8"))["pid"]
                except (OSError, ValueError, KeyError):
                    continue
                if len(done) >= 2 and pid != os.getpid():
                    finished.update(done)
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    found = extract(model, tmp_path / "shards", output, backend="loky", n_jobs=2)
    killer.join()
    assert len(finished) >= 2
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    alone = extract(model, tmp_path / "shards", tmp_path / "alone")
    assert np.array_equal(read(found), read(alone))


def test_a_photograph_that_was_replaced_with_the_same_size_and_time_is_computed_anew(model, images, tmp_path, output):
    (tmp_path / "photographs").mkdir()
    for number, image in enumerate(images[:4]):
        Image.fromarray(image).save(tmp_path / "photographs" / f"{number}.bmp")
    first = tmp_path / "photographs" / "0.bmp"
    os.utime(first, (1e9, 1e9))
    before = read(extract(model, [tmp_path / "photographs"], output))
    Image.fromarray(images[9]).save(first)
    os.utime(first, (1e9, 1e9))
    after = read(extract(model, [tmp_path / "photographs"], output))
    assert not np.array_equal(before, after)


def test_pictures_that_are_not_read_are_counted(model, images, tmp_path, output, capsys):
    (tmp_path / "photographs").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "photographs" / "0.tga")  # told by its name alone
    Image.fromarray(images[1]).save(tmp_path / "photographs" / "1.png")
    (tmp_path / "photographs" / "2.nef").write_bytes(b"II*" + bytes(100))
    with pytest.warns(TransferKitWarning, match="1 file of a format that Pillow does not read: 2.nef"):
        found = extract(model, [tmp_path / "photographs"], output)
    assert len(read(found)) == 2


def test_a_list_of_image_files_is_read(model, images, tmp_path, output):
    names = []
    for number, image in enumerate(images[:5]):
        names.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image).save(names[-1])
    assert len(read(extract(model, names, output))) == 5
