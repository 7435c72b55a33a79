"""The corrected t test of two recipes over the folds of a cross-validation."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from transferkit.errors import InvalidInputError
from transferkit.statistics.conventions import LEVEL
from transferkit.statistics.seeds_and_images import Spread
from transferkit.statistics.verdicts import Method, Scope


def spread_over_folds(differences: ArrayLike, *, test_share: float) -> Spread:
    """Return the variance of the mean difference of two recipes over the folds of a repeated cross-validation.

    Folds share most of their training images, so their results are not independent, and a plain t test finds differences where there are
    none. The variance of the mean is taken as ``(1 / folds + test_share / (1 - test_share))`` times the variance over folds.

    Parameters
    ----------
    differences : array-like of float, shape (folds,)
        First minus second, on the same fold each time, of all repetitions; at least two.
    test_share : float
        Share of the images that each fold holds out, for example 0.2 with five folds.

    Raises
    ------
    InvalidInputError
        If there are fewer than two folds, a difference is not finite, or `test_share` is not between 0 and 1.

    References
    ----------
    .. [1] Nadeau & Bengio (2003), "Inference for the generalization error", Machine Learning 52, 239-281, section 3.
    .. [2] Bouckaert & Frank (2004), "Evaluating the replicability of significance tests for comparing learning algorithms", PAKDD: the same
       for repeated cross-validation.

    Examples
    --------
    >>> spread = spread_over_folds([0.02, 0.01, 0.03, 0.02, 0.01], test_share=0.2)
    >>> round(spread.p(0.018), 3)
    0.033
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InvalidInputError(
            f"differences must be at least two finite numbers, one a fold; got {differences!r:.80}. Two folds are the fewest."
        )
    if not 0 < test_share < 1:
        raise InvalidInputError(f"test_share must be a fraction between 0 and 1, for example 0.2; got {test_share!r}.")
    count = len(values)
    variance = float(values.var(ddof=1)) * (1 / count + test_share / (1 - test_share))
    return Spread(((variance, count - 1.0),), 0.0, 1.0)


def compare_folds(differences: ArrayLike, *, test_share: float, margin: float, level: float = LEVEL) -> dict[str, Any]:
    """Return the columns of `transferkit.Comparison` about accuracy, for the accuracies of two recipes on the same folds.

    Parameters
    ----------
    differences, test_share
        As in `spread_over_folds`.
    margin, level
        As in `transferkit.statistics.accuracy_tests.compare_trained_models`.
    """
    spread = spread_over_folds(differences, test_share=test_share)
    difference = float(np.asarray(differences, np.float64).mean())
    low, high = spread.interval(difference)
    wide_low, wide_high = spread.interval(difference, confidence=1 - level)
    about_seeds = ("seed_low", "seed_high", "p_permutation", "better", "better_low", "better_high", "only_a", "only_b")
    return dict.fromkeys(about_seeds, math.nan) | {
        "method": Method.CORRECTED_T.value,
        "scope": Scope.RECIPES.value,
        "difference": difference,
        "difference_low": max(low, -1.0),
        "difference_high": min(high, 1.0),
        "simultaneous_low": max(wide_low, -1.0),
        "simultaneous_high": min(wide_high, 1.0),
        "p": spread.p(difference),
        "p_equal": spread.equality_p(difference, margin=margin),
        "detectable": spread.detectable(level=level),
    }
