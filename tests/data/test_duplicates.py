"""Exact and near duplicates between splits, against a search that compares every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.data import duplicates
from transferkit.data.dataset import Dataset, Split
from transferkit.data.duplicates import find_duplicates
from transferkit.data.mnist import load_fashion_mnist
from transferkit.errors import DownloadError, InvalidInputError, UnknownNameError


def make_data(train, test, validation=None, *, rng):
    def pair(images):
        return images, rng.integers(0, 2, len(images))

    x, y = pair(train)
    y[:2] = 0, 1
    held = pair(validation) if validation is not None else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transferkit.data.dataset.checks.warn", lambda text: None)  # a class may be absent from a split
        return Dataset.from_arrays((x, y), pair(test), held, class_names=["a", "b"], allow_overlap=True)


def compare_all(images, train):
    """Return the distance to, and the place of, the nearest training image: the plain way."""
    difference = images[:, None].astype(float) - train[None].astype(float)
    distances = np.sqrt(np.square(difference).mean(axis=(2, 3, 4)))
    return distances.min(axis=1), distances.argmin(axis=1)


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    counts=st.tuples(st.integers(2, 30), st.integers(1, 12)),
    noise=st.integers(0, 40),
    max_distance=st.floats(0, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_finds_what_comparing_every_pair_finds(shape, counts, noise, max_distance, seed):
    rng = np.random.default_rng(seed)
    train = rng.integers(0, 256, (counts[0], *shape), dtype=np.uint8)
    disturbed = train[rng.integers(0, counts[0], counts[1])] + rng.integers(-noise, noise + 1, (counts[1], *shape))
    test = np.clip(disturbed, 0, 255).astype(np.uint8)
    data = make_data(train, test, rng=rng)
    with pytest.MonkeyPatch.context() as patch:  # so that small data takes several pieces
        patch.setattr(duplicates, "_PIECE", 7)
        patch.setattr(duplicates, "_ROWS", 3)
        patch.setattr(duplicates, "_COLUMNS", 4)
        patch.setattr(duplicates, "_VERIFY_BYTES", 4 * int(np.prod(shape)) * 2)
        table = find_duplicates(data, max_distance=max_distance).table
    distances, places = compare_all(test, train)
    near = np.flatnonzero(distances <= max_distance * (1 + 1e-13))
    assert table["index"].tolist() == near.tolist()
    np.testing.assert_allclose(table["distance"], distances[near], rtol=1e-12)
    assert table["train_index"].tolist() == places[near].tolist()
    assert table["label"].tolist() == data.test.labels[near].tolist()
    assert table["train_label"].tolist() == data.train.labels[places[near]].tolist()


@pytest.mark.parametrize("value", [0, 255])
def test_uniform_images_are_found_at_exactly_their_distance(value, rng):
    train = np.full((3, 32, 32, 3), value, np.uint8)
    test = np.full((2, 32, 32, 3), abs(value - 10), np.uint8)
    data = make_data(train, test, rng=rng)
    assert find_duplicates(data, max_distance=10).table["distance"].tolist() == [10.0, 10.0]
    assert len(find_duplicates(data, max_distance=9.999).table) == 0


def test_both_splits_are_searched_and_of_equals_the_first_counts(rng):
    train = rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    train[11] = train[4]
    other = rng.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    data = make_data(train, np.concatenate([other, train[11:12]]), np.concatenate([train[4:5], other[:2]]), rng=rng)
    found = find_duplicates(data, max_distance=0)
    assert found.table[["split", "index", "train_index"]].to_numpy().tolist() == [["test", 5, 4], ["validation", 0, 4]]
    assert found.indices().tolist() == [5]
    assert found.indices("validation").tolist() == [0]
    assert found.sizes == {"test": 6, "validation": 3}
    assert found.fingerprints == {name: data.fingerprints[name] for name in ("test", "validation")}
    assert "test: 1 of 6 images lie within 0 grey levels" in repr(found)
    assert "validation: 1 of 3" in repr(found)
    assert "validation" not in repr(find_duplicates(data, splits=["test"]))


def test_no_validation_split_and_nothing_found_leave_a_typed_empty_table(rng):
    images = rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    found = find_duplicates(make_data(images[:15], images[15:], rng=rng), max_distance=1)
    assert found.sizes == {"test": 5}
    assert len(found.table) == 0
    assert found.table.dtypes["train_index"].kind == "i"
    assert found.indices().dtype == np.int64
    with pytest.raises(UnknownNameError, match="split 'validation'"):
        found.indices("validation")


def test_wrong_arguments_are_refused(digits):
    with pytest.raises(InvalidInputError, match=r"Dataset\.from_arrays"):
        find_duplicates(digits.train.images)
    for distance in (-1, 256, float("nan")):
        with pytest.raises(InvalidInputError, match="0 to 255"):
            find_duplicates(digits, max_distance=distance)
    with pytest.raises(UnknownNameError, match="split 'train'"):
        find_duplicates(digits, splits=["train"])


@pytest.mark.slow
def test_fashion_mnist_has_the_duplicates_that_an_independent_search_found():
    """Compared with scikit-learn's exact search over all 600 million pairs, once: 19, 107 and 492, 8 with another label."""
    try:
        data = load_fashion_mnist(validation=0)
    except (DownloadError, OSError) as error:
        pytest.skip(f"Fashion-MNIST is not on this machine: {error}")
    table = find_duplicates(data, max_distance=500 / 28).table
    assert [int((table["distance"] <= length / 28).sum()) for length in (300, 400, 500)] == [19, 107, 492]
    assert int((table["label"] != table["train_label"]).sum()) == 8
    assert table["distance"].min() > 0


def test_duplicates_of_files_are_named():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
    images[15] = images[3]
    labels = np.arange(20) % 2
    files = [f"{number}.png" for number in range(20)]
    parts = [Split(images[rows], labels[rows], files[rows]) for rows in (slice(0, 12), slice(12, 12), slice(12, 20))]
    table = find_duplicates(Dataset("d", ("a", "b"), *parts)).table
    assert table[["file", "train_file"]].to_numpy().tolist() == [["15.png", "3.png"]]


def test_one_split_may_be_named_and_features_are_no_pixels(rng):
    images = rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    data = make_data(images[:10], images[5:], rng=rng)
    assert len(find_duplicates(data, splits="test").table) == 5
    part = Split(np.eye(6, 4, dtype=np.float32), np.array([0, 1] * 3))
    features = tk.FeatureDataset("toy", ("cat", "dog"), part, part, part, network={"image_shape": (8, 8, 3)})
    with pytest.raises(InvalidInputError, match="'toy' holds features"):
        find_duplicates(features)
