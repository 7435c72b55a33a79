"""Accuracy when some test images are left out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.data.dataset import Dataset
from transferkit.data.duplicates import find_duplicates
from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.runs.run import Run
from transferkit.runs.without import accuracy_without
from transferkit.statistics.intervals import wilson_interval


def make_run(right, **options):
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    fields = {"name": "toy", "class_names": ("a", "b"), "seed": 0}
    fields |= {"test_probabilities": np.eye(2)[predicted], "test_labels": labels}
    return Run(**(fields | options))


@given(right=st.lists(st.booleans(), min_size=2, max_size=40), data=st.data())
def test_it_is_the_accuracy_of_the_rest(right, data):
    removed = data.draw(st.lists(st.integers(0, len(right) - 1), max_size=len(right) - 1))
    rest = [value for i, value in enumerate(right) if i not in removed]
    result = accuracy_without(make_run(right), removed)
    assert result.accuracy == pytest.approx(np.mean(rest))
    assert (result.low, result.high) == wilson_interval(sum(rest), len(rest))
    assert (result.images, result.removed) == (len(rest), len(right) - len(rest))
    assert result.accuracy_all == pytest.approx(np.mean(right))
    if removed:
        assert result.accuracy_removed == pytest.approx(np.mean([right[i] for i in set(removed)]))
    else:
        assert result.accuracy_removed is None
    assert f"without {result.removed} of {len(right)} test images" in str(result)


def test_duplicates_found_in_the_same_test_images_are_left_out(rng):
    images = rng.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    images[22] = images[3]
    labels = np.arange(30) % 2
    data = Dataset.from_arrays((images[:20], labels[:20]), (images[20:], labels[20:]), allow_overlap=True)
    run = make_run([False, False, True] + [False] * 7, dataset=data.describe())
    result = accuracy_without(run, find_duplicates(data))
    assert (result.accuracy, result.accuracy_all, result.accuracy_removed) == (0.0, 0.1, 1.0)
    other = replace(run, dataset=data.describe() | {"test_fingerprint": "0" * 64})
    with pytest.raises(RunError, match="tested on other images"):
        accuracy_without(other, find_duplicates(data))
    with pytest.raises(RunError, match="tested on other images"):
        accuracy_without(make_run([True] * 9), find_duplicates(data))
    with pytest.raises(UnknownNameError):
        accuracy_without(run, find_duplicates(data, splits=[]))


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ([3], "0 to 2"),
        ([-1], "0 to 2"),
        ([0, 1, 2], "all 3"),
        ([True, False, False], "numpy.flatnonzero"),
        ([0.0], "whole numbers"),
        ([[0]], r"shape \(n,\)"),
    ],
)
def test_places_that_do_not_exist_are_refused(places, says):
    with pytest.raises(InvalidInputError, match=says):
        accuracy_without(make_run([True, False, True]), places)


def test_a_run_without_predictions_is_an_error():
    broken = make_run([True], status="diverged", test_probabilities=np.empty((0, 2)))
    with pytest.raises(RunError, match="'toy' has no test predictions"):
        accuracy_without(broken, [])
