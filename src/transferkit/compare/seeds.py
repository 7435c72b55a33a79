"""Several trainings of one recipe on the same test images: the statistics, arrays in and numbers out.

Two things move a mean accuracy: other seeds, and other test images. More seeds make only the first part smaller, so both are
estimated, and an interval counts both (Miller 2024, arXiv:2411.00640; Bouthillier et al. 2021, arXiv:2103.03098).
"""

from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.compare.paired import CONFIDENCE, POWER

LEVEL: Final = 1 - CONFIDENCE
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, or of a difference of means, in the parts that it has.

    Parameters
    ----------
    parts : tuple of (float, float)
        Variance and degrees of freedom of each part that comes from seeds.
    images : float
        The variance that comes from the test images.
    image_freedom : float
        Its degrees of freedom.
    """

    parts: tuple[tuple[float, float], ...]
    images: float
    image_freedom: float

    @property
    def seeds(self) -> float:
        """The variance that comes from the seeds."""
        return sum(variance for variance, _ in self.parts)

    @property
    def total(self) -> float:
        """Both together."""
        return self.seeds + self.images

    def freedom(self, *, with_images: bool) -> float:
        """Return the degrees of freedom of the sum of the parts (Satterthwaite 1946, Biometrics Bulletin 2, 110-114)."""
        parts = [*self.parts, (self.images, self.image_freedom)] if with_images else list(self.parts)
        return _satterthwaite(parts)


def _satterthwaite(parts: list[tuple[float, float]]) -> float:
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return min(freedom for _, freedom in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts if variance > 0)


def spread_of_mean(values: ArrayLike) -> Spread:
    """Return where the variance of a mean over seeds and images comes from.

    Parameters
    ----------
    values : array-like of float, shape (seeds, images)
        What each training scores on each image, for example 1 for a right answer and 0 for a wrong one; at least two seeds.

    Returns
    -------
    Spread
        The two-way random model: what neither seeds nor images explain is counted once, with the seeds.

    References
    ----------
    .. [1] Cornfield & Tukey (1956), "Average values of mean squares in factorials", Annals of Mathematical Statistics 27.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spread = spread_of_mean(rng.random((5, 1000)) < 0.9)
    >>> spread.seeds < 1e-4
    True
    """
    scores = np.asarray(values, np.float64)
    seeds = scores.shape[0]
    images, freedom = _images_part(scores.mean(axis=0), _residual(scores) / seeds)
    return Spread(((float(scores.mean(axis=1).var(ddof=1)) / seeds, seeds - 1),), images, freedom)


def spread_of_difference(first: ArrayLike, second: ArrayLike, *, paired: bool = False) -> Spread:
    """Return where the variance of a difference of two means comes from.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds, images)
        As in `spread_of_mean`; the images are the same ones. One of the two may have a single seed: it is then taken to vary
        between seeds as the other does.
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
    residuals = [_residual(scores) if len(scores) > 1 else None for scores in (a, b)]
    known = next(value for value in residuals if value is not None)
    residual = sum(
        (known if value is None else value) / len(scores) for value, scores in zip(residuals, (a, b), strict=True)
    )
    images, image_freedom = _images_part(a.mean(axis=0) - b.mean(axis=0), residual)
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


def _residual(scores: NDArray[np.float64]) -> float:
    """Return the mean square that neither the seed nor the image explains."""
    seeds, images = scores.shape
    if images < 2:
        return 0.0
    centred = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    return float(np.square(centred).sum()) / ((seeds - 1) * (images - 1))


def _images_part(by_image: NDArray[np.float64], residual: float) -> tuple[float, float]:
    count = len(by_image)
    if count < 2:
        return 0.0, 1.0
    return max(float(by_image.var(ddof=1)) - residual, 0.0) / count, count - 1.0


def interval(centre: float, variance: float, freedom: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval around an estimate of this variance.

    Examples
    --------
    >>> low, high = interval(0.9, 0.0001, 2)
    >>> round(low, 3), round(high, 3)
    (0.857, 0.943)
    """
    from scipy.stats import t

    reach = float(t.ppf(0.5 + confidence / 2, freedom)) * variance**0.5
    return centre - reach, centre + reach


def t_test_p(difference: float, variance: float, freedom: float) -> float:
    """Return the two-sided p of Student's t for an estimate of this variance; 1 if there is neither difference nor variance."""
    from scipy.stats import t

    if variance < _ROUNDING**2:
        return 1.0 if abs(difference) < _ROUNDING else 0.0
    return float(2 * t.sf(abs(difference) / variance**0.5, freedom))


def detectable_by_t(variance: float, freedom: float, *, level: float = LEVEL) -> float:
    """Return the true difference that a two-sided t test of this variance finds in about 80% of cases.

    References
    ----------
    .. [1] Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2.

    Examples
    --------
    >>> round(detectable_by_t(2 / 5, 8), 2)  # two recipes, five seeds each, in standard deviations
    2.02
    """
    from scipy.stats import t

    return float(t.ppf(1 - level / 2, freedom) + t.ppf(POWER, freedom)) * variance**0.5


def permutation_p(first: ArrayLike, second: ArrayLike, *, paired: bool = False) -> float:
    """Return the two-sided p of the exact permutation test, NaN if so few values could never reach 0.05.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds,)
        One score a training.
    paired : bool, default False
        Whether signs of differences are permuted, not memberships.

    Returns
    -------
    float
        NaN for three seeds each, whose smallest p is 0.10. Above 10,000 permutations as many are drawn, with seed 0.

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
        rng=np.random.default_rng(0),
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
        difference meaningful from 0.75 on.

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
