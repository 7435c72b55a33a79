"""Two trained models' accuracies on the same images: Tango's interval, and the test of equality within a margin."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.conventions import CONFIDENCE

_HALVINGS: Final = 50
_TINY: Final = 1e-300


def difference_interval(
    only_first: ArrayLike, only_second: ArrayLike, count: ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval for the difference of two accuracies on the same images.

    Parameters
    ----------
    only_first, only_second : array-like of float
        How many images only one of the models answers correctly.
    count : array-like of float
        Number of images.
    confidence : float, default 0.95
        Coverage.

    Returns
    -------
    tuple of ndarray of float64
        Lower and upper ends; never of no width, also where the models never disagree.

    References
    ----------
    .. [1] Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
       Statistics in Medicine 17, 891-908: all differences that the score test does not reject.

    Examples
    --------
    >>> low, high = difference_interval(120, 80, 10_000)
    >>> round(float(low), 4), round(float(high), 4)
    (0.0012, 0.0068)
    """
    from scipy.stats import norm

    first, second, count = _as_floats(only_first, only_second, count)
    z = float(norm.ppf(0.5 + confidence / 2))
    return -_upper_end(second, first, count, z), _upper_end(first, second, count, z)


def equality_p(
    only_first: ArrayLike, only_second: ArrayLike, count: ArrayLike, *, margin: float
) -> NDArray[np.float64]:
    """Return the p of the test that the difference of two accuracies on the same images lies within the margin.

    Parameters
    ----------
    only_first, only_second : array-like of float
        How many images only one of the models answers correctly.
    count : array-like of float
        Number of images.
    margin : float
        Differences up to this fraction count as practically none.

    Returns
    -------
    ndarray of float64
        The larger p of two one-sided score tests; below 0.05 exactly where the 90% `difference_interval` lies within the margin.

    References
    ----------
    .. [1] Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15; for paired proportions Tango (1998), as above.

    Examples
    --------
    >>> round(float(equality_p(60, 55, 10_000, margin=0.005)), 6)
    4.4e-05
    """
    from scipy.special import ndtr

    first, second, count = _as_floats(only_first, only_second, count)
    reached = np.full(first.shape, margin)
    return np.maximum(ndtr(_score(first, second, count, reached)), ndtr(_score(second, first, count, reached)))


def _as_floats(*values: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    return np.broadcast_arrays(*(np.asarray(value, np.float64) for value in values))


def _upper_end(
    first: NDArray[np.float64], second: NDArray[np.float64], count: NDArray[np.float64], z: float
) -> NDArray[np.float64]:
    """Return the largest difference that is not rejected, by bisection: the score falls as the difference grows."""
    low, high = (first - second) / count, np.ones(first.shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = _score(first, second, count, middle) > -z
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return (low + high) / 2


def _score(
    first: NDArray[np.float64], second: NDArray[np.float64], count: NDArray[np.float64], difference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many standard errors the counts lie above a true difference."""
    # The most likely share of images that only the second answers correctly, if this is the difference.
    linear = (2 * count - first + second) * difference - first - second
    root = np.sqrt(np.maximum(linear**2 + 8 * count * second * difference * (1 - difference), 0.0))
    share = (root - linear) / (4 * count)
    variance = count * (2 * share + difference * (1 - difference))
    return (first - second - count * difference) / np.sqrt(np.maximum(variance, _TINY))
