"""What a run's accuracy becomes when some test images are left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.duplicates import Duplicates
from transferkit.errors import InvalidInputError, RunError
from transferkit.runs.run import Run
from transferkit.statistics.intervals import decimals_for, wilson_interval


@dataclass(frozen=True)
class AccuracyWithout:
    """A run's test accuracy with and without some images; `accuracy_without` makes it, and it prints as a sentence.

    Parameters
    ----------
    run : str
        Name of the run.
    images, removed : int
        Number of test images that are left, and that were left out.
    accuracy, low, high : float
        Accuracy on those that are left, a fraction, with its Wilson 95% interval.
    accuracy_all : float
        Accuracy on all test images.
    accuracy_removed : float or None
        Accuracy on those left out; None if there are none.

    Examples
    --------
    >>> AccuracyWithout(
    ...     "toy", 3, 1, accuracy=1 / 3, low=0.061, high=0.792, accuracy_all=0.5, accuracy_removed=1.0
    ... ).images
    3
    """

    run: str
    images: int
    removed: int
    accuracy: float
    low: float
    high: float
    accuracy_all: float
    accuracy_removed: float | None

    def __str__(self) -> str:
        decimals = decimals_for(self.images)
        part = "" if self.accuracy_removed is None else f", {self.accuracy_removed:.{decimals}%} on the others"
        return (
            f"{self.run}: {self.accuracy:.{decimals}%} (95% interval {self.low:.{decimals}%} to {self.high:.{decimals}%})"
            f" without {self.removed:,} of {self.images + self.removed:,} test images,"
            f" {self.accuracy_all:.{decimals}%} with all{part}"
        )


def accuracy_without(run: Run, images: Duplicates | ArrayLike) -> AccuracyWithout:
    """Compute a run's test accuracy when some test images are left out, for instance those with duplicates in training.

    Images that look alike are easy as well as known, so a lower accuracy without them does not prove that the model knew
    them by heart; it is what can be claimed for images that are new.

    Parameters
    ----------
    run : Run
        A completed run.
    images : Duplicates, or array-like of int, shape (n,)
        What is left out: what `transferkit.find_duplicates` found in the test split, or places of test images.

    Returns
    -------
    AccuracyWithout
        With ``accuracy``, its Wilson 95% interval ``low`` to ``high``, ``accuracy_all`` and ``accuracy_removed``.

    Raises
    ------
    RunError
        If the run has no test predictions, or the duplicates were found in other test images than it was tested on.
    InvalidInputError
        If a place does not exist, or no image would be left.
    UnknownNameError
        If the duplicates were not looked for in the test split.

    Examples
    --------
    >>> run = Run(
    ...     name="toy",
    ...     class_names=("cat", "dog"),
    ...     test_probabilities=np.eye(2)[[0, 1, 1, 0]],
    ...     test_labels=[0, 1, 0, 1],
    ...     seed=0,
    ... )
    >>> print(accuracy_without(run, [0]))
    toy: 33.3% (95% interval 6.1% to 79.2%) without 1 of 4 test images, 50.0% with all, 100.0% on the others
    """
    right = run.test_correct
    if isinstance(images, Duplicates):
        chosen = images.indices("test")
        _check_same_images(run, images)
    else:
        chosen = _check_places(images, len(right))
    kept = np.ones(len(right), dtype=bool)
    kept[chosen] = False
    if not kept.any():
        raise InvalidInputError(f"all {len(right):,} test images would be left out, so no accuracy remains.")
    low, high = wilson_interval(int(right[kept].sum()), int(kept.sum()))
    return AccuracyWithout(
        run=run.name,
        images=int(kept.sum()),
        removed=int((~kept).sum()),
        accuracy=float(right[kept].mean()),
        low=low,
        high=high,
        accuracy_all=float(right.mean()),
        accuracy_removed=float(right[~kept].mean()) if not kept.all() else None,
    )


def _check_same_images(run: Run, duplicates: Duplicates) -> None:
    recorded = run.dataset.get("test_fingerprint")
    differ = recorded and recorded != duplicates.fingerprints["test"]
    if differ or duplicates.sizes["test"] != len(run.test_labels):
        raise RunError(
            f"run {run.name!r} was tested on other images than those in which the duplicates were found. Look for duplicates"
            " in the dataset that it was trained with."
        )


def _check_places(images: ArrayLike, count: int) -> NDArray[np.int64]:
    places = np.asarray(images)
    if places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
        raise InvalidInputError(
            f"images must be Duplicates or places of shape (n,), whole numbers; got {places.dtype} of shape {places.shape}."
            " A mask becomes places with numpy.flatnonzero."
        )
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < count):
        raise InvalidInputError(
            f"places of test images go from 0 to {count - 1}; got {places.min()} to {places.max()}."
        )
    return places.astype(np.int64)
