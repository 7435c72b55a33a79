import json
import pickle

import numpy as np
import pytest

from transferkit import files
from transferkit.data.dataset import Dataset, Split
from transferkit.errors import DataError, InvalidInputError, TransferKitWarning


@pytest.fixture
def arrays(rng):
    images = rng.integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(90) % 3
    return (images[:60], labels[:60]), (images[60:], labels[60:])


def test_unpacks_like_keras_with_validation_between(arrays):
    dataset = Dataset.from_arrays(*arrays, validation=12)
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = dataset
    assert [len(x_train), len(x_val), len(x_test)] == [48, 12, 30]
    assert np.bincount(y_val).tolist() == [4, 4, 4]
    assert np.array_equal(x_test, arrays[1][0])
    assert np.array_equal(y_test, arrays[1][1])
    assert y_train.dtype == y_val.dtype == np.int64


def test_without_validation_the_split_is_empty_and_nothing_is_copied(arrays):
    dataset = Dataset.from_arrays(*arrays)
    assert dataset.validation.images.shape == (0, 8, 8, 1)
    assert dataset.validation.labels.shape == (0,)
    assert np.shares_memory(dataset.train.images, arrays[0][0])
    assert not dataset.train.images.flags.writeable
    assert arrays[0][0].flags.writeable


def test_fraction_and_pair_make_validation_too(arrays):
    assert len(Dataset.from_arrays(*arrays, validation=0.2).validation.labels) == 12
    images, labels = arrays[0]
    dataset = Dataset.from_arrays((images[:40], labels[:40]), arrays[1], (images[40:], labels[40:]))
    assert len(dataset.validation.labels) == 20


def test_describe_is_plain_json_with_the_agreed_keys(arrays):
    facts = Dataset.from_arrays(*arrays, validation=12, name="blocks", seed=3).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == {
        "name", "source", "fingerprint", "train_fingerprint", "validation_fingerprint", "test_fingerprint", "train_size", "validation_size", "test_size",
        "labels_per_class", "split_seed", "image_shape",
    }  # fmt: skip
    assert facts["image_shape"] == [8, 8, 1]
    assert facts["split_seed"] == 3


def test_fingerprint_depends_on_content_and_order_only(arrays):
    (x, y), test = arrays
    base = Dataset.from_arrays((x, y), test)
    assert Dataset.from_arrays((x.copy(), y.astype(np.uint8)), test, name="other").fingerprint == base.fingerprint
    changed = x.copy()
    changed[5, 3, 3, 0] ^= 1
    assert Dataset.from_arrays((changed, y), test).fingerprint != base.fingerprint
    assert Dataset.from_arrays((x[::-1], y[::-1]), test).fingerprints["train"] != base.fingerprints["train"]
    assert Dataset.from_arrays((x, y), test, class_names=["a", "b", "c"]).fingerprint != base.fingerprint
    assert Dataset.from_arrays((x[::-1], y[::-1]), test).fingerprints["test"] == base.fingerprints["test"]


def test_fingerprint_of_a_memory_map_equals_that_of_memory(arrays, tmp_path):
    (x, y), test = arrays
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = Dataset.from_arrays((mapped, y), test)
    assert isinstance(dataset.train.images, np.memmap)
    assert dataset.fingerprint == Dataset.from_arrays((x, y), test).fingerprint


def test_subsets_are_nested_and_leave_the_test_split(arrays):
    dataset = Dataset.from_arrays(*arrays)
    small, large = dataset.subset(3, seed=1), dataset.subset(10, seed=1)
    assert np.bincount(large.train.labels).tolist() == [10, 10, 10]
    assert large.labels_per_class == 10
    rows = {image.tobytes() for image in large.train.images}
    assert all(image.tobytes() in rows for image in small.train.images)
    assert small.fingerprints["test"] == dataset.fingerprints["test"]
    with pytest.raises(InvalidInputError, match="Choose 20 or less"):
        dataset.subset(21)


def test_a_notebook_shows_a_split_without_its_arrays(arrays):
    data = Dataset.from_arrays(*arrays, name="<i>blocks</i>")
    assert data.train._repr_html_() == f"<p>{data.train!r}</p>"
    assert "&lt;i&gt;blocks&lt;/i&gt;" in data._repr_html_()


def test_repr_is_one_short_line(arrays):
    assert (
        repr(Dataset.from_arrays(*arrays, name="blocks"))
        == "Dataset('blocks', 3 classes, 8x8x1, train 60, validation 0, test 30)"
    )


def test_survives_pickling_for_parallel_work(arrays):
    dataset = Dataset.from_arrays(*arrays)
    assert pickle.loads(pickle.dumps(dataset)).fingerprint == dataset.fingerprint


def test_test_images_in_training_are_refused(arrays):
    (x, y), (x_test, y_test) = arrays
    mixed = np.concatenate([x_test[:5], x])
    with pytest.raises(
        DataError, match=r"5 of 30 test images are also training images \(test\[0\] = training\[0\].*allow_overlap=True"
    ):
        Dataset.from_arrays((mixed, np.concatenate([y_test[:5], y])), (x_test, y_test))
    Dataset.from_arrays((mixed, np.concatenate([y_test[:5], y])), (x_test, y_test), allow_overlap=True)


def test_same_arrays_twice_are_named_as_such(arrays):
    with pytest.raises(DataError, match="was the same array given twice"):
        Dataset.from_arrays(arrays[0], arrays[0])


def test_validation_must_not_overlap_either_side(arrays):
    train, test = arrays
    with pytest.raises(DataError, match="validation images are also training"):
        Dataset.from_arrays(train, test, (train[0][:6], train[1][:6]))
    with pytest.raises(DataError, match="test images are also validation"):
        Dataset.from_arrays(train, test, (test[0][:6], test[1][:6]))


def test_duplicates_stay_on_one_side_of_a_carved_validation_split(arrays):
    (x, y), test = arrays
    doubled = np.repeat(x, 2, axis=0), np.repeat(y, 2)
    dataset = Dataset.from_arrays(doubled, test, validation=20)
    held = {image.tobytes() for image in dataset.validation.images}
    assert held
    assert not held & {image.tobytes() for image in dataset.train.images}


def test_missing_class_in_training_is_an_error_and_elsewhere_a_warning(arrays):
    (x, y), (x_test, y_test) = arrays
    with pytest.raises(DataError, match="training split has no image of class 'c'"):
        Dataset.from_arrays((x[y < 2], y[y < 2]), (x_test, y_test), class_names=["a", "b", "c"])
    with pytest.warns(TransferKitWarning, match="test split has no image of class '2'") as caught:
        Dataset.from_arrays((x, y), (x_test[y_test < 2], y_test[y_test < 2]))
    assert caught[0].filename == __file__
    with pytest.warns(TransferKitWarning, match="validation split has no image of class '2'"):
        Dataset.from_arrays((x[:50], y[:50]), (x_test, y_test), (x[50:][y[50:] < 2], y[50:][y[50:] < 2]))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train": "x"}, InvalidInputError, "training data must be a pair"),
        ({"test": (1, 2, 3)}, InvalidInputError, "test data must be a pair"),
        ({"class_names": ["a", "b"]}, DataError, "2 at index 2"),
        ({"class_names": ["a", "b", "a"]}, DataError, "more than once"),
        ({"class_names": ["a", "b", "c", "d"]}, DataError, "no image of class 'd'"),
        ({"seed": -1}, InvalidInputError, "seed"),
        ({"validation": 60}, InvalidInputError, "leaves nothing to train on"),
        ({"validation": "10"}, InvalidInputError, "validation"),
    ],
)
def test_wrong_arguments_are_refused(arrays, changes, error, message):
    train, test = arrays
    with pytest.raises(error, match=message):
        Dataset.from_arrays(**{"train": train, "test": test, **changes})


def test_splits_of_different_sizes_are_refused(arrays):
    train, (x_test, y_test) = arrays
    with pytest.raises(
        InvalidInputError, match=r"test images have shape \(8, 4, 1\), but training images have \(8, 8, 1\)"
    ):
        Dataset.from_arrays(train, (x_test[:, :, :4], y_test))


@pytest.mark.parametrize("part", ["train", "test"])
def test_empty_splits_are_refused(arrays, part):
    train, test = arrays
    empty = (train[0][:0], train[1][:0])
    with pytest.raises(DataError, match="are empty"):
        Dataset.from_arrays(**{"train": train, "test": test, part: empty})


def test_one_class_only_is_refused(arrays):
    (x, y), (x_test, _) = arrays
    with pytest.raises(DataError, match="one class only"):
        Dataset.from_arrays((x, y * 0), (x_test, np.zeros(30, int)))


def test_images_scaled_before_the_cast_are_warned_of(arrays):
    (x, y), test = arrays
    with pytest.warns(TransferKitWarning, match="hold only 0 and 1"):
        Dataset.from_arrays(((x / 255).round().astype(np.uint8), y), test)


def test_validation_that_could_hold_out_nothing_is_refused():
    images = np.repeat(np.arange(4, dtype=np.uint8), 10)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    labels = np.repeat([0, 1, 0, 1], 10)
    test = (np.full((2, 8, 8, 1), 99, np.uint8), np.array([0, 1]))
    with pytest.raises(DataError, match="validation=4: no image could be held out"):
        Dataset.from_arrays(train=(images, labels), test=test, validation=4)
    assert (
        len(Dataset.from_arrays(train=(images, labels), test=test, validation=4, allow_overlap=True).validation.labels)
        == 4
    )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("part", [0, 1])
def test_fingerprint_is_that_of_what_the_arrays_hold_now(arrays, split, part):
    (images, labels), test = (tuple(one.copy() for one in pair) for pair in arrays)
    given = {"train": (images[:-9], labels[:-9]), "validation": (images[-9:], labels[-9:]), "test": test}
    dataset = Dataset.from_arrays(**given, allow_overlap=True)
    before, described = dataset.fingerprint, dataset.describe()
    assert dataset.fingerprint == before
    array = given[split][part]
    array[0] ^= 1
    assert dataset.fingerprint != before
    assert dataset.fingerprints[split] != described[f"{split}_fingerprint"]
    assert dataset.describe()["fingerprint"] == dataset.fingerprint
    array[0] ^= 1
    assert dataset.fingerprint == before
    assert pickle.loads(pickle.dumps(dataset)).fingerprint == before


def test_fingerprint_of_what_nobody_can_change_is_computed_once(arrays, monkeypatch):
    train, test = arrays
    dataset = Dataset.from_arrays(
        train=train, test=test, validation=6, allow_overlap=True
    )  # copies the training images
    hashed = []
    compute = files.sha256_arrays
    monkeypatch.setattr(files, "sha256_arrays", lambda *split: hashed.append(split) or compute(*split))
    assert dataset.fingerprint == dataset.fingerprint
    assert len(hashed) == 3 + 1  # the caller's own test images each time


def test_memory_map_that_can_be_written_is_hashed_at_each_use(arrays, tmp_path):
    train, test = arrays
    np.save(tmp_path / "x.npy", train[0])
    dataset = Dataset.from_arrays((np.load(tmp_path / "x.npy", mmap_mode="r"), train[1]), test, allow_overlap=True)
    before = dataset.fingerprint
    changed = np.load(tmp_path / "x.npy", mmap_mode="r+")
    changed[0] += 1
    assert dataset.fingerprint != before


def unequal(count, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 1), dtype=np.uint8)
    return images, np.arange(count) % 2


def test_equal_test_images_are_counted():
    images, labels = unequal(12, 1)
    images[[3, 5, 7]] = images[1]
    images[10] = images[2]
    with pytest.warns(
        TransferKitWarning, match=r"6 of 12 test images equal another.*\(2 different pictures\)"
    ) as caught:
        data = Dataset.from_arrays(unequal(20), (images, labels))
    assert caught[0].filename == __file__
    assert data.test.clusters().tolist() == [0, 1, 2, 1, 3, 1, 4, 1, 5, 6, 2, 7]
    assert data.describe()["test_clusters"] == data.test.clusters().tolist()


def test_images_of_one_group_come_into_one_split():
    images, labels = unequal(60)
    who = [f"person {number // 5}" for number in range(60)]
    data = Dataset.from_arrays((images, labels), unequal(10, 1), validation=20, groups=who)
    sides = [{image.tobytes() for image in split.images} for split in (data.train, data.validation)]
    people = [{name for name, image in zip(who, images, strict=True) if image.tobytes() in side} for side in sides]
    assert not people[0] & people[1]
    assert len(data.validation.labels) == 20
    with pytest.raises(InvalidInputError, match="groups must be one for each of the 60 images"):
        Dataset.from_arrays((images, labels), unequal(10, 1), validation=20, groups=who[:-1])


def test_subset_keeps_paths_and_groups():
    images, labels = unequal(40)
    train = Split(images, labels, [f"{number}.png" for number in range(40)], np.arange(40) // 4)
    data = Dataset("d", ("a", "b"), train, *(Split(*unequal(4, seed)) for seed in (1, 2))).subset(5)
    for image, path, group in zip(data.train.images, data.train.paths, data.train.groups, strict=True):
        number = int(path.removesuffix(".png"))
        assert np.array_equal(images[number], image)
        assert group == number // 4
