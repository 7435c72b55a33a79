"""Intervals for an accuracy: of one training, or of the mean of several."""

import numpy as np
from numpy.typing import ArrayLike

from transferkit.errors import InvalidInputError
from transferkit.statistics.clusters import Clusters, count_independent, score_clusters
from transferkit.statistics.conventions import CONFIDENCE, NO_VARIANCE
from transferkit.statistics.seeds_and_images import Spread, spread_of_mean


def wilson_interval(correct: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for an accuracy: what the test images at hand leave open about it.

    Parameters
    ----------
    correct, total : int
        Number of right predictions, and of all.
    confidence : float, default 0.95
        How often such an interval holds the true accuracy.

    Returns
    -------
    tuple of float
        Lower and upper end, within 0 and 1 (also at 0% and 100%).

    Raises
    ------
    InvalidInputError
        If `correct` is not from 0 to `total`, `total` is below 1, or `confidence` is not between 0 and 1.

    References
    ----------
    .. [1] Wilson (1927), Journal of the American Statistical Association 22(158), 209-212.

    Examples
    --------
    >>> low, high = wilson_interval(9130, 10_000)
    >>> round(low, 4), round(high, 4)
    (0.9073, 0.9184)
    """
    from scipy.stats import binomtest

    if total < 1 or not 0 <= correct <= total:
        raise InvalidInputError(f"correct must go from 0 to total, total from 1; got {correct} and {total}.")
    if not 0 < confidence < 1:
        raise InvalidInputError(f"confidence must lie between 0 and 1; got {confidence!r}. The usual one is 0.95.")
    interval = binomtest(int(correct), int(total)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_interval(correct: ArrayLike, clusters: Clusters | None = None) -> tuple[float, float]:
    """Return the 95% interval of the test accuracy of one training, or of the mean of several.

    Parameters
    ----------
    correct : array-like of bool or float, shape (seeds, images)
        Which test images each training answers correctly; or scores from 0 to 1.
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal.

    Returns
    -------
    tuple of float
        Lower and upper end: Wilson's for one training; for several one that counts other seeds (Student's t) and other test images
        (Wilson's, for as many images as leave their variance), joined end by end. Equal images count as one draw.

    References
    ----------
    .. [1] Korn & Graubard (1998), "Confidence intervals for proportions with small expected number of positive counts estimated from
       survey data", Survey Methodology 24: the effective number of images.
    .. [2] Zou & Donner (2008), "Construction of confidence limits about effect measures", Statistics in Medicine 27: joining ends.

    Examples
    --------
    >>> low, high = accuracy_interval([[True] * 90 + [False] * 10])
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    scores = np.asarray(correct, np.float64)
    mean, count = float(scores.mean()), scores.shape[1]
    if len(scores) == 1 and clusters is None:
        return wilson_interval(round(mean * count), count)
    independent = count_independent(count, clusters)
    if len(scores) == 1:
        units = score_clusters(scores, clusters)[0]
        spread = Spread((), float(units.var(ddof=1)) / len(units) if len(units) > 1 else 0.0, count)
    else:
        spread = spread_of_mean(scores, clusters)
    if spread.total <= NO_VARIANCE:  # chance has left no trace, as where all are right; that is no certainty
        return _wilson_ends(mean, independent)
    low, high = mean, mean
    if spread.images > NO_VARIANCE:
        low, high = _wilson_ends(mean, mean * (1 - mean) / spread.images)
    below, above = spread.seed_interval(mean) if spread.seeds > 0 else (mean, mean)
    low = mean - ((mean - low) ** 2 + (mean - below) ** 2) ** 0.5
    high = mean + ((high - mean) ** 2 + (above - mean) ** 2) ** 0.5
    return max(low, 0.0), min(high, 1.0)


def _wilson_ends(mean: float, count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's interval of a share of images, whose number need not be whole."""
    from scipy.stats import norm

    each = float(norm.ppf(0.5 + confidence / 2)) ** 2 / count
    centre, reach = mean + each / 2, (each * mean * (1 - mean) + each**2 / 4) ** 0.5
    return max((centre - reach) / (1 + each), 0.0), min((centre + reach) / (1 + each), 1.0)


def decimals_for(test_size: int) -> int:
    """Return how many decimals of a percentage the number of test images can carry."""
    return 2 if test_size >= 5000 else 1
