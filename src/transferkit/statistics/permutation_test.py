"""The permutation test of two recipes' seeds, for the test images at hand."""

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.conventions import LEVEL


def permutation_p(
    first: ArrayLike, second: ArrayLike, *, paired: bool = False, rng: np.random.Generator | None = None
) -> float:
    """Return the two-sided p of the exact permutation test, NaN if so few values could never reach 0.05.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds,)
        One score a training.
    paired : bool, default False
        Whether signs of differences are permuted, not memberships.
    rng : numpy.random.Generator, optional
        Draws permutations where there are more than 10,000; one with seed 0 if None.

    Returns
    -------
    float
        NaN for three seeds each, whose smallest p is 0.10. Above 10,000 permutations as many are drawn.

    References
    ----------
    .. [1] Fisher (1935), "The Design of Experiments", section 21; scipy.stats.permutation_test.

    Examples
    --------
    >>> permutation_p([0.91, 0.92, 0.93], [0.81, 0.82, 0.83])
    nan
    >>> round(permutation_p([0.91, 0.92, 0.93, 0.94], [0.81, 0.82, 0.83, 0.84]), 4)
    0.0286
    """
    from scipy.stats import permutation_test

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    arrangements = 2 ** len(a) if paired else comb(len(a) + len(b), len(a))
    if 2 / arrangements > LEVEL:
        return float("nan")
    result = permutation_test(
        (a, b),
        _mean_difference,
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=10_000,
        rng=np.random.default_rng(0) if rng is None else rng,
    )
    return float(result.pvalue)


def _mean_difference(first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = first.mean(axis=axis) - second.mean(axis=axis)
    return difference
