"""Right and wrong answers to the same images, put to the test that fits: arrays in, numbers out.

Trained models are compared by McNemar's test, recipes by Student's t over seeds and images. The first says nothing of other seeds
(Dietterich 1998, doi:10.1162/089976698300017197).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.clusters import Clusters, add_by_cluster
from transferkit.statistics.conventions import LEVEL, NO_VARIANCE
from transferkit.statistics.mann_whitney import probability_of_better
from transferkit.statistics.mcnemar import mcnemar_p, smallest_detectable
from transferkit.statistics.permutation_test import permutation_p
from transferkit.statistics.seeds_and_images import Spread, spread_of_difference
from transferkit.statistics.tango import difference_interval, equality_p
from transferkit.statistics.verdicts import Method, Scope


def count_disagreements(
    differences: NDArray[np.float64], clusters: Clusters | None = None
) -> tuple[float, float, float]:
    """Return how many images only the first and only the second of two models answer correctly, and how many there are.

    Parameters
    ----------
    differences : ndarray of float64, shape (images,)
        What the first scores on each image minus what the second does: -1, 0 or 1 for one training each; a fraction where one is the mean
        of several.
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal.

    Returns
    -------
    tuple of float
        Counts of images that disagree by 1 whose difference and whose variance are those given: equal to the plain counts for one training
        each and images without equals; ten equal images count as one.

    Examples
    --------
    >>> count_disagreements(np.array([1.0, 1.0, -1.0, 0.0]))
    (2.0, 1.0, 4.0)
    >>> count_disagreements(np.array([0.5, 0.5, -0.5, 0.0]))
    (2.0, 1.0, 8.0)
    """
    sums = add_by_cluster(differences, clusters)
    squares, sizes = float(np.square(sums).sum()), float(np.abs(sums).sum())
    if not sizes:
        return 0.0, 0.0, float(len(sums))
    unit = squares / sizes
    net, gross = float(sums.sum()) / unit, squares / unit**2
    return (gross + net) / 2, (gross - net) / 2, len(differences) / unit


def compare_trained_models(
    only_a: ArrayLike, only_b: ArrayLike, count: ArrayLike, *, margin: float, level: float = LEVEL
) -> dict[str, Any]:
    """Compare trained models, for many pairs at once.

    Parameters
    ----------
    only_a, only_b : array-like of float, shape (pairs,)
        How many images only one of the two answers correctly, see `count_disagreements`.
    count : array-like of float
        Number of images.
    margin : float
        Differences up to this fraction count as practically none.
    level : float, default 0.05
        At which ``detectable`` is found and ``simultaneous_low`` and ``simultaneous_high`` hold: the strictest that the adjustment for
        several pairs may ask for.

    Returns
    -------
    dict of str to ndarray
        The columns of `transferkit.Comparison` that are about accuracy and about trained models.
    """
    first, second, images = (np.asarray(value, np.float64) for value in (only_a, only_b, count))
    low, high = difference_interval(first, second, images)
    simultaneous_low, simultaneous_high = difference_interval(first, second, images, confidence=1 - level)
    return {
        "method": Method.MCNEMAR.value,
        "scope": Scope.MODELS.value,
        "difference": (first - second) / images,
        "difference_low": low,
        "difference_high": high,
        "simultaneous_low": simultaneous_low,
        "simultaneous_high": simultaneous_high,
        "p": mcnemar_p(first, second),
        "p_equal": equality_p(first, second, images, margin=margin),
        "detectable": smallest_detectable(first + second, images, level=level),
    }


def compare_recipes(
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    *,
    margin: float,
    paired: bool = False,
    no_chance: tuple[bool, bool] = (False, False),
    level: float = LEVEL,
    clusters: Clusters | None = None,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Compare two recipes, at least one of which was trained with several seeds.

    Parameters
    ----------
    a, b : ndarray of bool, shape (seeds, images)
        Right answers.
    margin : float
        Differences up to this fraction count as practically none.
    paired : bool, default False
        Whether the seeds belong together one by one.
    no_chance : tuple of bool, default (False, False)
        Whether the single run of `a`, and of `b`, is what every seed would give.
    level : float, default 0.05
        See `compare_trained_models`.
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal.
    rng : numpy.random.Generator, optional
        See `transferkit.statistics.permutation_test.permutation_p`.

    Returns
    -------
    dict of str to float
        The columns of `compare_trained_models`, and those about seeds. Where a single run is not all that its recipe can give, the verdict is
        about the trained models, and what holds against the mean of the other recipe stands beside it.
    """
    accuracy_a, accuracy_b = a.mean(axis=1), b.mean(axis=1)
    difference = float(accuracy_a.mean() - accuracy_b.mean())
    by_image = a.mean(axis=0) - b.mean(axis=0)
    row = _compare_answers(by_image, clusters, margin, level)
    row |= {"difference": difference, "only_a": math.nan, "only_b": math.nan, "p_permutation": math.nan}
    row |= {"p_models": row["p"], "models_low": row["difference_low"], "models_high": row["difference_high"]}
    row |= dict.fromkeys(("better", "better_low", "better_high"), math.nan)
    spread = spread_of_difference(a, b, paired=paired, clusters=clusters)
    one = (len(a) == 1 and not no_chance[0]) or (len(b) == 1 and not no_chance[1])
    if spread.total < NO_VARIANCE:
        # Chance has left no trace, as where all trainings agree. That is no certainty: the images leave as much open as for one run each.
        recipes = _compare_answers(a[0].astype(np.float64) - b[0], clusters, margin, level)
    else:
        (low, high), (wide_low, wide_high) = (
            _within(spread.interval(difference, confidence=1 - each)) for each in (LEVEL, level)
        )
        recipes = {"difference_low": low, "difference_high": high, "p": spread.p(difference)}
        recipes |= {"simultaneous_low": wide_low, "simultaneous_high": wide_high}
        recipes |= {
            "p_equal": spread.equality_p(difference, margin=margin),
            "detectable": spread.detectable(level=level),
        }
    row["seed_low"], row["seed_high"] = _within(spread.seed_interval(difference))
    if one:
        several = a if len(a) > 1 else b
        between = float(several.mean(axis=1).var(ddof=1)) * (1 + 1 / len(several))
        following = Spread(((between, len(several) - 1.0),), spread.images, spread.image_freedom)
        next_low, next_high = _within(following.interval(difference)) if following.total else (math.nan, math.nan)
        return row | {
            "method": Method.ONE_AGAINST_SEVERAL.value,
            "mean_low": recipes["difference_low"],
            "mean_high": recipes["difference_high"],
            "p_mean": recipes["p"],
            "next_low": next_low,
            "next_high": next_high,
        }
    row |= recipes | {
        "difference": difference,
        "method": (Method.PAIRED_T if paired else Method.WELCH).value,
        "scope": Scope.RECIPES.value,
    }
    if min(len(a), len(b)) > 1:
        row["p_permutation"] = permutation_p(accuracy_a, accuracy_b, paired=paired, rng=rng)
        row["better"], row["better_low"], row["better_high"] = probability_of_better(accuracy_a, accuracy_b)
    return row


def _compare_answers(
    differences: NDArray[np.float64], clusters: Clusters | None, margin: float, level: float
) -> dict[str, Any]:
    """Compare two trained models by what one scores on each image minus what the other does."""
    row = compare_trained_models(*count_disagreements(differences, clusters), margin=margin, level=level)
    return {name: value.item() if isinstance(value, np.ndarray | np.generic) else value for name, value in row.items()}


def _within(ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], -1.0), min(ends[1], 1.0)
