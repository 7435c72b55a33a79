"""The corrected t test of two recipes over the folds of a cross-validation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from transferkit.errors import InvalidInputError
from transferkit.statistics.conventions import CONFIDENCE, LEVEL
from transferkit.statistics.seeds_and_images import Spread


@dataclass(frozen=True)
class FoldTest:
    """What the folds say of a difference.

    Parameters
    ----------
    difference, low, high : float
        Mean difference, first minus second, with its 95% interval.
    p : float
        Two-sided p of no difference.
    detectable : float
        True difference that such a test finds in 80% of cases.
    folds : int
        Number of differences.
    """

    difference: float
    low: float
    high: float
    p: float
    detectable: float
    folds: int


def corrected_t_test(
    differences: ArrayLike, *, test_share: float, confidence: float = CONFIDENCE, level: float = LEVEL
) -> FoldTest:
    """Return what the folds of a repeated cross-validation say of the difference of two recipes.

    Folds share most of their training images, so their results are not independent, and a plain t test finds differences where there are
    none. The variance of the mean difference is taken as ``(1 / folds + test_share / (1 - test_share))`` times the variance over folds.

    Parameters
    ----------
    differences : array-like of float, shape (folds,)
        First minus second, on the same fold each time, of all repetitions; at least two.
    test_share : float
        Share of the images that each fold holds out, for example 0.2 with five folds.
    confidence : float, default 0.95
        Of the interval.
    level : float, default 0.05
        At which ``detectable`` is found.

    Returns
    -------
    FoldTest
        With ``difference``, ``low``, ``high``, ``p``, ``detectable``.

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
    >>> found = corrected_t_test([0.02, 0.01, 0.03, 0.02, 0.01], test_share=0.2)
    >>> round(found.difference, 3), round(found.p, 3)
    (0.018, 0.033)
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InvalidInputError(
            f"differences must be at least two finite numbers, one a fold; got {differences!r:.80}. Two folds are the fewest."
        )
    if not 0 < test_share < 1:
        raise InvalidInputError(f"test_share must be a fraction between 0 and 1, for example 0.2; got {test_share!r}.")
    count, mean = len(values), float(values.mean())
    variance = float(values.var(ddof=1)) * (1 / count + test_share / (1 - test_share))
    spread = Spread(((variance, count - 1.0),), 0.0, 1.0)
    low, high = spread.interval(mean, confidence=confidence)
    return FoldTest(mean, low, high, spread.p(mean), spread.detectable(level=level), count)
