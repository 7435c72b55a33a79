"""load_features: labels joined by key, splits, and heads trained on features without the images."""

import unicodedata

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import transferkit as tk
from transferkit.errors import DataError, InvalidInputError, TransferKitWarning, UnknownNameError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FAST = {"epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "verbose": False}


def make_model(*, seed=0, head_seed=0):
    cnn = tk.build_cnn((16, 16, 1), preset="modern", filters=(4, 8), seed=seed)
    backbone = keras.Model(cnn.inputs, cnn.get_layer("pool").output, name="tiny")
    return tk.build_transfer_model(backbone, freeze=True, input_shape=(16, 16, 1), seed=head_seed)


@pytest.fixture(scope="module")
def few(digits):
    return digits.subset(20)


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    """Return features of some digits, computed from files whose names say class and split."""
    photos, output = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("features")
    for name, split in zip(("train", "validation", "test"), few, strict=True):
        for row, (image, label) in enumerate(zip(*split, strict=True)):
            (photos / name).mkdir(exist_ok=True)
            Image.fromarray(image[..., 0]).save(photos / name / f"{row:05d}-{label}.png")
    tk.extract_features(make_model(), photos, output=output, verbose=False)
    return output


def label(key):
    return int(key[-5])


def part(key):
    return key.split("/")[0]


@pytest.fixture
def data(folder):
    return tk.load_features(folder, labels=label, split=part, allow_overlap=True, name="digits")


@pytest.mark.long
def test_a_head_on_features_is_the_head_on_images(few, data):
    on_images, on_features = make_model(), make_model()
    run = tk.fit_head(on_images, few, verbose=False)
    other = tk.fit_head(on_features, data, verbose=False)
    np.testing.assert_allclose(run.test_probabilities, other.test_probabilities, atol=1e-4)
    assert other.dataset["image_shape"] == [16, 16, 1]
    for mine, yours in zip(on_images.get_weights(), on_features.get_weights(), strict=True):
        np.testing.assert_allclose(mine, yours, atol=1e-3)


def test_training_on_features_is_training_on_images(few, data, tmp_path):
    model = make_model()
    run = tk.train(make_model(), few, **FAST)
    other = tk.train(model, data, folder=tmp_path, name="head", **FAST)
    np.testing.assert_allclose(run.test_probabilities, other.test_probabilities, atol=1e-4)
    np.testing.assert_allclose(model.predict(few.test.images, verbose=0), other.test_probabilities, atol=1e-4)
    assert tk.train(make_model(), data, folder=tmp_path, name="head", **FAST).created == other.created


def test_features_cannot_be_mirrored(data):
    run = tk.train(make_model(), data, **FAST)
    with pytest.raises(InvalidInputError, match="cannot be mirrored"):
        tk.average_flips(run, data)


@pytest.mark.slow
def test_several_seeds_share_features(folder, tmp_path):
    def load():
        return tk.load_features(folder, labels=label, split=part, allow_overlap=True)

    def build(seed):  # the backbone's features are there already
        return make_model(head_seed=seed)

    runs = tk.repeat(build, load, seeds=(0, 1), name="head", **FAST)
    assert tk.compare_runs(runs).table["seeds"].to_dict() == {"head": 2}


def test_splits_are_drawn_and_features_are_memory_maps(folder):
    data = tk.load_features(folder, labels=label, validation=50, test=100)
    assert [len(split.labels) for split in data][2] > 0
    assert all(isinstance(split.images, np.memmap) for split in data)
    assert list(data.test.paths) == sorted(data.test.paths)
    assert [label(key) for key in data.test.paths] == data.test.labels.tolist()


@pytest.mark.parametrize("kind", ["column of a table", "dict"])
def test_labels_come_from_a_table(folder, kind):
    keys = tk.load_features(folder, labels=label).train.paths
    table = pd.DataFrame({"key": keys, "digit": [label(key) for key in keys]})
    named = table.set_index("key")["digit"]
    data = tk.load_features(folder, labels=named if kind == "column of a table" else named.to_dict())
    assert sum(len(split.labels) for split in data) == len(keys)
    assert set(data.train.paths) <= set(keys)


def test_missing_and_double_keys_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"1 keys of labels have no features: nowhere\.png"):
        tk.load_features(folder, labels={"nowhere.png": 1})
    with pytest.raises(DataError, match="labels name 1 keys more than once: twice"):
        tk.load_features(folder, labels=pd.Series([1, 2], index=["twice", "twice"]))
    with pytest.raises(DataError, match=r"images have no label: test/00000-\d\.png"):
        tk.load_features(folder, labels=lambda key: None if key.startswith("test/00000") else 1)
    with pytest.raises(UnknownNameError, match="label"):
        tk.load_features(folder, labels="label")
    with pytest.raises(DataError, match="holds no Parquet files"):
        tk.load_features(tmp_path, labels=label)


def test_one_key_in_two_files_is_named(few, tmp_path):
    model = make_model()
    for name in "ab":  # the same key, another image
        (tmp_path / name).mkdir()
        Image.fromarray(few.train.images["ab".index(name), ..., 0]).save(tmp_path / name / "one.png")
        tk.extract_features(model, tmp_path / name, output=tmp_path / "features", verbose=False)
    with pytest.raises(DataError, match=r"1 keys are there more than once: one\.png"):
        tk.load_features(tmp_path / "features", labels=label)


@pytest.mark.long
def test_features_of_two_networks_are_refused(few, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(few.train.images[0, ..., 0]).save(tmp_path / "photos" / "one.png")
    for seed in (0, 1):
        tk.extract_features(make_model(seed=seed), tmp_path / "photos", output=tmp_path / "features", verbose=False)
    with pytest.raises(DataError, match="features are of 2 networks"):
        tk.load_features(tmp_path / "features", labels=label)


def test_what_needs_images_is_refused(data):
    with pytest.raises(InvalidInputError, match="computes something else"):
        tk.fit_head(make_model(seed=1), data, verbose=False)
    with pytest.raises(InvalidInputError, match="needs the images"):
        tk.fine_tune(make_model(), data, head_epochs=1, epochs=1, verbose=False)
    with pytest.raises(InvalidInputError, match="augment"):
        tk.train(make_model(), data, augment="flip", **FAST)
    with pytest.raises(InvalidInputError, match="plain"):
        tk.train(make_model(), data, engine="plain", **FAST)


def test_a_damaged_table_is_made_anew(folder, tmp_path):
    from transferkit import files

    first = tk.load_features(folder, labels=label)
    expected = np.array(first.train.images)
    (rows,) = (files.cache_home() / "features").glob("*/rows.f32")
    with rows.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff\xff")
    again = tk.load_features(folder, labels=label)
    assert np.array_equal(again.train.images, expected)


def test_a_part_without_rows_lacks_no_column(tmp_path):
    photos, schema = (
        tmp_path / "photos",
        pa.schema([("key", pa.string()), ("image", pa.binary()), ("kind", pa.string())]),
    )
    photos.mkdir()
    rng, made = np.random.default_rng(0), []
    for row in range(40):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / "one.png")
        made.append({"key": f"k{row:02d}", "image": (tmp_path / "one.png").read_bytes(), "kind": "ab"[row % 2]})
    pq.write_table(pa.Table.from_pylist(made, schema=schema), photos / "part-0.parquet")
    pq.write_table(schema.empty_table(), photos / "part-1.parquet")
    files = tk.extract_features(make_model(), photos, output=tmp_path / "features", columns=["kind"], verbose=False)
    assert len(files) == 2
    data = tk.load_features(files, labels="kind")
    assert data.class_names == ("a", "b")
    assert sum(len(split.labels) for split in data) == 40


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_images_without_a_group_or_label_are_named(folder, data, missing):
    keys = [key for split in data for key in split.paths]
    groups = pd.Series({key: missing if key == keys[3] else key for key in keys}, dtype=object)
    with pytest.raises(DataError, match=f"1 images have no group: {keys[3]}"):
        tk.load_features(folder, labels=label, split=part, groups=groups)
    with pytest.raises(DataError, match=f"1 images have no label: {keys[3]}"):
        tk.load_features(folder, labels=groups, split=part)


def test_features_of_images_as_they_were_are_left_out(few, tmp_path):
    """A folder of photographs changes, and features are extracted again into the same place."""
    model, photographs, kept = make_model(), tmp_path / "photographs", tmp_path / "features"
    for number, image in enumerate(few.train.images[:20]):
        (photographs / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(photographs / "ab"[number % 2] / f"{number}.png")
    tk.extract_features(model, photographs, output=kept, verbose=False)
    Image.fromarray(few.test.images[0, ..., 0]).save(photographs / "a" / "0.png")
    for number in (1, 3):
        (photographs / "b" / f"{number}.png").rename(photographs / "b" / f"new{number}.png")
    found = tk.extract_features(model, photographs, output=kept, verbose=False)
    with pytest.warns(TransferKitWarning, match="left out 1 file with features of images as they were"):
        data = tk.load_features(kept, labels=lambda key: key[0])
    again = tk.load_features(found, labels=lambda key: key[0])
    assert data.fingerprint == again.fingerprint
    assert sum(len(split.labels) for split in data) == 20


def test_numbers_of_numpy_are_sizes_and_labels(folder):
    plain = tk.load_features(folder, labels=label, validation=3, test=4)
    numbers = tk.load_features(folder, labels=lambda key: float(label(key)), validation=np.int64(3), test=np.int64(4))
    assert numbers.class_names == plain.class_names
    assert tk.load_features(folder, labels=label, validation=np.float32(0.2)).num_classes == plain.num_classes
    with pytest.raises(DataError, match="whole numbers|classes|integers"):
        tk.load_features(folder, labels=lambda key: float(label(key)) + 0.5)


def test_labels_and_groups_are_found_by_names_that_are_written_in_another_form(few, tmp_path):
    names = [f"사진{number}.png" for number in range(12)]
    (tmp_path / "photographs").mkdir()
    for name, image in zip(names, few.train.images, strict=False):
        Image.fromarray(image[..., 0]).save(tmp_path / "photographs" / unicodedata.normalize("NFD", name))
    tk.extract_features(make_model(), tmp_path / "photographs", output=tmp_path / "features", verbose=False)
    table = pd.DataFrame({"label": ["a", "b"] * 6, "owner": range(12)}, index=names)
    data = tk.load_features(tmp_path / "features", labels=table["label"], groups=table["owner"])
    assert sum(len(split.labels) for split in data) == 12
