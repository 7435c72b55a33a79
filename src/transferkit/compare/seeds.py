"""Several trainings of two recipes on the same test images, compared: arrays in and numbers out."""

from math import comb
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.compare.paired import CONFIDENCE, POWER
from transferkit.runs.spread import NO_VARIANCE, Spread, images_part, residual_variance, spread_of_mean

LEVEL: Final = 1 - CONFIDENCE
_ROUNDING: Final = NO_VARIANCE**0.5


def spread_of_difference(first: ArrayLike, second: ArrayLike, *, paired: bool = False) -> Spread:
    """Return where the variance of a difference of two means comes from.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds, images)
        As in `transferkit.runs.spread.spread_of_mean`; the images are the same ones. One of the two may have a single seed: it
        is then taken to vary between seeds as the other does.
    paired : bool, default False
        Whether the seeds belong together one by one (each pair trained on the same split or subset).

    Returns
    -------
    Spread
        Its seed parts are those of Welch's test, or of the paired one.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if paired:
        return spread_of_mean(a - b)
    residuals = [residual_variance(scores) if len(scores) > 1 else None for scores in (a, b)]
    known = next(value for value in residuals if value is not None)
    residual = sum(
        (known if value is None else value) / len(scores) for value, scores in zip(residuals, (a, b), strict=True)
    )
    images, image_freedom = images_part(a.mean(axis=0) - b.mean(axis=0), residual)
    variances = [scores.mean(axis=1).var(ddof=1) if len(scores) > 1 else None for scores in (a, b)]
    if None in variances:
        several = a if len(a) > 1 else b
        shared = float(several.mean(axis=1).var(ddof=1)) * (1 / len(a) + 1 / len(b))
        return Spread(((shared, len(several) - 1),), images, image_freedom)
    parts = tuple(
        (float(variance) / len(scores), len(scores) - 1)
        for variance, scores in zip(variances, (a, b), strict=True)
        if variance is not None
    )
    return Spread(parts, images, image_freedom)


def t_test_p(difference: float, variance: float, freedom: float) -> float:
    """Return the two-sided p of Student's t for an estimate of this variance; 1 if there is neither difference nor variance."""
    from scipy.stats import t

    if variance < NO_VARIANCE:
        return 1.0 if abs(difference) < _ROUNDING else 0.0
    return float(2 * t.sf(abs(difference) / variance**0.5, freedom))


def detectable_by_t(variance: float, freedom: float, *, level: float = LEVEL) -> float:
    """Return the true difference that a two-sided t test of this variance finds in 80% of cases.

    References
    ----------
    .. [1] Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2; by the noncentral t distribution.

    Examples
    --------
    >>> round(detectable_by_t(2 / 5, 8), 2)  # two recipes, five seeds each, in standard deviations
    2.02
    """
    from scipy.special import nctdtrinc
    from scipy.stats import t

    # The shift at which 80% of noncentral t lie above the limit; those beyond the other limit are too few to count.
    return float(nctdtrinc(freedom, 1 - POWER, t.ppf(1 - level / 2, freedom))) * variance**0.5


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


def probability_of_better(
    first: ArrayLike, second: ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Return how probable it is that a training of the first kind beats one of the second, with its interval.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds,)
        One score a training, larger is better; a tie counts half.
    confidence : float, default 0.95
        Coverage.

    Returns
    -------
    tuple of float
        Estimate (Mann & Whitney's U over the number of pairs), lower and upper end. Bouthillier et al. (2021) call a
        difference meaningful if the lower end is above 0.5 and the estimate 0.75 or more.

    References
    ----------
    .. [1] Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
       Statistics in Medicine 25, 559-573, method 5: of some width also where every pair agrees.

    Examples
    --------
    >>> better, low, high = probability_of_better([0.91, 0.92, 0.93], [0.81, 0.82, 0.83])
    >>> better, round(low, 2), round(high, 2)
    (1.0, 0.5, 1.0)
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    estimate = float((np.sign(a[:, None] - b) + 1).mean() / 2)
    z = float(norm.ppf(0.5 + confidence / 2))
    typical = (len(a) + len(b)) / 2 - 1

    def beyond(true: float) -> float:
        spread = 1 + typical * ((1 - true) / (2 - true) + true / (1 + true))
        return float((estimate - true) ** 2 - z**2 * true * (1 - true) * spread / (len(a) * len(b)))

    # At 0 and at 1 the equation holds trivially, so the search stops just short of them.
    low = 0.0 if estimate == 0 else float(brentq(beyond, 0.0, min(estimate, 1 - 1e-9)))
    high = 1.0 if estimate == 1 else float(brentq(beyond, max(estimate, 1e-9), 1.0))
    return estimate, low, high
