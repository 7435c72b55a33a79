"""Right and wrong answers of two models to the same images, put to the test that fits: arrays in, numbers out."""

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.compare.paired import CONFIDENCE, difference_interval, mcnemar_p, smallest_detectable
from transferkit.compare.seeds import (
    detectable_by_t,
    permutation_p,
    probability_of_better,
    spread_of_difference,
    t_test_p,
)
from transferkit.runs.spread import NO_VARIANCE, interval

if TYPE_CHECKING:
    import pandas as pd

LEVEL: Final = 1 - CONFIDENCE
INNER: Final = 1 - 2 * LEVEL
"""Two one-sided tests at 5% each are this interval within the margin (Schuirmann 1987)."""

_OF_IMAGES: Final = ("difference_low", "difference_high", "p", "detectable", "inner_low", "inner_high")


def decide(p: float, low: float, high: float, difference: float, *, margin: float) -> str:
    """Return the verdict of a test.

    Parameters
    ----------
    p : float
        Adjusted for all tests made.
    low, high : float
        The 90% interval of the difference.
    difference : float
        Estimate.
    margin : float
        What counts as practically equal.

    Returns
    -------
    {"a better", "b better", "practically equal", "undecided"}
        By `p` first.
    """
    if p < LEVEL:
        return "a better" if difference > 0 else "b better"
    return "practically equal" if -margin < low and high < margin else "undecided"


def take_verdicts(table: "pd.DataFrame", *, margin: float) -> list[str]:
    """Return the verdict of each row, and take the 90% interval, which nothing else needs, out of the table."""
    columns = (table["p_holm"], table.pop("inner_low"), table.pop("inner_high"), table["difference"])
    return [decide(*values, margin=margin) for values in zip(*columns, strict=True)]


def compare_single(only_a: ArrayLike, only_b: ArrayLike, count: int, *, level: float = LEVEL) -> dict[str, Any]:
    """Compare one run each, for many pairs at once: the columns of `transferkit.Comparison` that are about accuracy.

    Parameters
    ----------
    only_a, only_b : array-like of int, shape (pairs,)
        How many images only one of the two answers correctly.
    count : int
        Number of images.
    level : float, default 0.05
        At which ``detectable`` is found: the strictest one that the adjustment for several pairs may ask for.

    Returns
    -------
    dict of str to ndarray
        With ``inner_low`` and ``inner_high``, the 90% interval.
    """
    first, second = np.asarray(only_a, np.int64), np.asarray(only_b, np.int64)
    low, high = difference_interval(first, second, count)
    inner_low, inner_high = difference_interval(first, second, count, confidence=INNER)
    return {
        "method": "mcnemar",
        "difference": (first - second) / count,
        "difference_low": low,
        "difference_high": high,
        "only_a": first,
        "only_b": second,
        "p": mcnemar_p(first, second),
        "detectable": smallest_detectable(first + second, count, level=level),
        "inner_low": inner_low,
        "inner_high": inner_high,
    }


def compare_seeds(
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    *,
    paired: bool,
    level: float = LEVEL,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Compare several runs of two recipes.

    Parameters
    ----------
    a, b : ndarray of bool, shape (seeds, images)
        Right answers; one of the two may have a single row.
    paired : bool
        Whether the seeds belong together one by one.
    level : float, default 0.05
        See `compare_single`.
    rng : numpy.random.Generator, optional
        See `transferkit.compare.seeds.permutation_p`.

    Returns
    -------
    dict of str to float
        The columns of `compare_single`, and those about seeds.
    """
    accuracy_a, accuracy_b = a.mean(axis=1), b.mean(axis=1)
    spread = spread_of_difference(a, b, paired=paired)
    freedom = spread.freedom(with_images=True)
    difference = float(accuracy_a.mean() - accuracy_b.mean())
    low, high = interval(difference, spread.total, freedom)
    inner_low, inner_high = interval(difference, spread.total, freedom, confidence=INNER)
    seed_low, seed_high = interval(difference, spread.seeds, spread.freedom(with_images=False))
    better, better_low, better_high = probability_of_better(accuracy_a, accuracy_b)
    row = {
        "method": "paired t" if paired else "one run against seeds" if min(len(a), len(b)) < 2 else "welch",
        "difference": difference,
        "difference_low": max(low, -1.0),
        "difference_high": min(high, 1.0),
        "seed_low": max(seed_low, -1.0),
        "seed_high": min(seed_high, 1.0),
        "only_a": math.nan,
        "only_b": math.nan,
        "p": t_test_p(difference, spread.total, freedom),
        "p_permutation": permutation_p(accuracy_a, accuracy_b, paired=paired, rng=rng),
        "detectable": min(detectable_by_t(spread.total, freedom, level=level), 1.0),
        "better": better,
        "better_low": better_low,
        "better_high": better_high,
        "inner_low": inner_low,
        "inner_high": inner_high,
    }
    if spread.total < NO_VARIANCE:
        # Chance has left no trace, as where all trainings agree. That is no certainty: the images leave as much open as for one run each.
        single = compare_single((a[0] & ~b[0]).sum(), (b[0] & ~a[0]).sum(), a.shape[1], level=level)
        row |= {name: float(single[name]) for name in _OF_IMAGES}
    return row
