"""Two trained models on the same test images: the paired statistics, arrays in and numbers out.

They compare the trained models, not the recipes that made them: another seed moves the accuracy besides (Dietterich 1998,
doi:10.1162/089976698300017197).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE: Final = 0.95
POWER: Final = 0.8
_CHUNK_NUMBERS: Final = 10_000_000
_HALVINGS: Final = 50
_TINY: Final = 1e-300


def mcnemar_p(only_first: ArrayLike, only_second: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : array-like of int
        How many images only the first, and only the second model answers correctly.

    Returns
    -------
    ndarray of float64
        How probable a split at least as uneven is if each disagreement were a fair coin's toss.

    References
    ----------
    .. [1] McNemar (1947), Psychometrika 12. Exact binomial form: Agresti, "Categorical Data Analysis", section 10.1.

    Examples
    --------
    >>> float(mcnemar_p(8, 2))
    0.109375
    """
    from scipy.stats import binom

    first, second = np.asarray(only_first, np.int64), np.asarray(only_second, np.int64)
    return np.minimum(1.0, 2.0 * binom.cdf(np.minimum(first, second), first + second, 0.5))


def difference_interval(
    only_first: ArrayLike, only_second: ArrayLike, count: int, *, confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval for the difference of two accuracies on the same images.

    Parameters
    ----------
    only_first, only_second : array-like of int
        How many images only one of the models answers correctly.
    count : int
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

    first, second = np.broadcast_arrays(np.asarray(only_first, np.float64), np.asarray(only_second, np.float64))
    z = float(norm.ppf(0.5 + confidence / 2))
    return -_upper_end(second, first, count, z), _upper_end(first, second, count, z)


def _upper_end(first: NDArray[np.float64], second: NDArray[np.float64], count: int, z: float) -> NDArray[np.float64]:
    """Return the largest difference that is not rejected, by bisection: the score falls as the difference grows."""
    low, high = (first - second) / count, np.ones(first.shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = _score(first, second, count, middle) > -z
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return (low + high) / 2


def _score(
    first: NDArray[np.float64], second: NDArray[np.float64], count: int, difference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many standard errors the counts lie above a true difference."""
    # The most likely share of images that only the second answers correctly, if this is the difference.
    linear = (2 * count - first + second) * difference - first - second
    root = np.sqrt(np.maximum(linear**2 + 8 * count * second * difference * (1 - difference), 0.0))
    share = (root - linear) / (4 * count)
    variance = count * (2 * share + difference * (1 - difference))
    return (first - second - count * difference) / np.sqrt(np.maximum(variance, _TINY))


def smallest_detectable(disagreements: ArrayLike, count: int, *, level: float = 1 - CONFIDENCE) -> NDArray[np.float64]:
    """Return the true difference in accuracy that a test of this size finds in 80% of cases.

    Parameters
    ----------
    disagreements : array-like of int
        How many images exactly one of the two models answers correctly. None counts as one.
    count : int
        Number of test images.
    level : float, default 0.05
        Of the two-sided test.

    Returns
    -------
    ndarray of float64
        A fraction, 0 to 1.

    Notes
    -----
    Connor's approximation, but never less than what makes the exact test's fewest disagreements likely: with five or fewer
    McNemar's p cannot be below 0.05.

    References
    ----------
    .. [1] Connor (1987), "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43.
    .. [2] Card et al. (2020), "With little power comes great responsibility", EMNLP. arXiv:2010.06595

    Examples
    --------
    >>> round(float(smallest_detectable(500, 10_000)), 4)
    0.0063
    >>> round(float(smallest_detectable(0, 100)), 4)
    0.0779
    """
    from scipy.stats import beta, norm

    share = np.maximum(np.asarray(disagreements, np.float64), 1.0) / count
    z_level, z_power = norm.ppf(1 - level / 2), norm.ppf(POWER)
    # Connor's formula for n, solved for the difference d: n d^2 = (z_level sqrt(share) + z_power sqrt(share - d^2))^2.
    detectable = (z_level + z_power) * np.sqrt(share / count)
    for _ in range(20):
        within = np.sqrt(np.maximum(share - detectable**2, 0.0))
        detectable = (z_level * np.sqrt(share) + z_power * within) / np.sqrt(count)
    fewest = (
        int(np.floor(1 - np.log2(level))) + 1
    )  # disagreements, all one way, whose p, 2 / 2^fewest, is below the level
    least = float(beta.ppf(POWER, fewest, count - fewest + 1)) if fewest <= count else 1.0
    return np.clip(detectable, least, 1.0)


def adjust_holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p values that hold for all tests together.

    Parameters
    ----------
    p_values : array-like of float, shape (tests,)
        Of the single tests.

    Returns
    -------
    ndarray of float64, shape (tests,)
        Adjusted: a false alarm anywhere is as rare as the level says.

    References
    ----------
    .. [1] Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> adjust_holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def draw_resamples(count: int, resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Yield bootstrap resamples of `count` items in blocks of shape (some, count): how often each item was drawn."""
    block = max(1, min(resamples, _CHUNK_NUMBERS // count))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = np.empty((size, count), np.float32)
        for row in drawn:
            row[:] = np.bincount(rng.integers(0, count, count), minlength=count)
        yield drawn
