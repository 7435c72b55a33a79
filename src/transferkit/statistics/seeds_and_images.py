"""Seeds and test images as two sources of chance, counted together.

More seeds make only the first part smaller, so both are estimated and both are counted (Miller 2024, arXiv:2411.00640; Bouthillier et
al. 2021, arXiv:2103.03098). A few seeds tell little of their own variance, so each part keeps its own quantile: the half-width of an
interval is sqrt(t\N{SUPERSCRIPT TWO} V_seeds + z\N{SUPERSCRIPT TWO} V_images) (Howe 1974, "Approximate confidence limits on the mean of X + Y where X and Y are two tabled
independent random variables", JASA 69, 789-794; Graybill & Wang 1980, JASA 75, 869-873). Pooling the degrees of freedom instead
(Satterthwaite) lets seeds that agree by luck feign certainty: see the page on statistics in the documentation.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.clusters import Clusters, score_clusters
from transferkit.statistics.conventions import CONFIDENCE, LEVEL, NO_VARIANCE, POWER

_ROUNDING: Final = NO_VARIANCE**0.5
_ENOUGH_SEEDS: Final = 5
_LEAST_LOG_P: Final = math.log(1e-100)


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, or of a difference of means, in the two parts that it has.

    Parameters
    ----------
    seed_parts : tuple of (float, float)
        Variance and degrees of freedom of each part that comes from seeds; none where it is known to be 0.
    images : float
        The variance that comes from the test images.
    image_freedom : float
        Its degrees of freedom.
    """

    seed_parts: tuple[tuple[float, float], ...]
    images: float
    image_freedom: float

    @property
    def seeds(self) -> float:
        """The variance that comes from the seeds."""
        return sum(variance for variance, _ in self.seed_parts)

    @property
    def _parts(self) -> tuple[tuple[float, float], ...]:
        return tuple(part for part in (*self.seed_parts, (self.images, self.image_freedom)) if part[0] > 0)

    @property
    def total(self) -> float:
        """Both together."""
        return self.seeds + self.images

    def interval(self, centre: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the interval around an estimate that counts other seeds and other images.

        Examples
        --------
        >>> low, high = Spread(((0.0001, 2),), images=0.0001, image_freedom=9999).interval(0.9)
        >>> round(low, 3), round(high, 3)
        (0.853, 0.947)
        """
        reach = self._reach(1 - confidence)
        return centre - reach, centre + reach

    def seed_interval(self, centre: float, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return Student's t interval that counts other seeds alone."""
        return Spread(self.seed_parts, 0.0, 1.0).interval(centre, confidence=confidence)

    def _reach(self, level: float) -> float:
        return sum(_t_above(level / 2, freedom) ** 2 * variance for variance, freedom in self._parts) ** 0.5

    def p(self, difference: float) -> float:
        """Return the two-sided p of no difference: the level at which `interval` just reaches 0.

        1 if there is neither difference nor variance.
        """
        from scipy.optimize import brentq
        from scipy.special import stdtr

        size = abs(difference)
        if self.total < NO_VARIANCE:
            return 1.0 if size < _ROUNDING else 0.0
        if len(self._parts) == 1:
            ((variance, freedom),) = self._parts
            return float(2 * stdtr(min(freedom, 1e10), -size / variance**0.5))
        if self._reach(math.exp(_LEAST_LOG_P)) < size:
            return 0.0
        found = brentq(lambda log_p: self._reach(math.exp(log_p)) - size, _LEAST_LOG_P, 0.0, xtol=1e-10)
        return math.exp(float(found))

    def equality_p(self, difference: float, *, margin: float) -> float:
        """Return the p of the test that the true difference lies within the margin: two one-sided tests (Schuirmann 1987)."""
        if self.total < NO_VARIANCE:
            return 0.0 if abs(difference) < margin else 1.0
        inside = margin - abs(difference)
        one_sided = self.p(inside) / 2
        return one_sided if inside > 0 else 1 - one_sided

    def detectable(self, *, level: float = LEVEL, power: float = POWER) -> float:
        """Return the true difference that a two-sided test finds in 80% of cases.

        References
        ----------
        .. [1] Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2; by the noncentral t distribution. The parts
           are joined as in the interval.

        Examples
        --------
        >>> two_recipes_five_seeds_each = Spread(((2 / 5, 8),), images=0.0, image_freedom=1)
        >>> round(two_recipes_five_seeds_each.detectable(), 2)  # in standard deviations
        2.02
        """
        shifts = ((_detectable_shift(freedom, level, power), variance) for variance, freedom in self._parts)
        return sum(shift**2 * variance for shift, variance in shifts) ** 0.5


def _t_above(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t that is exceeded with this probability, at most 0.5."""
    from scipy.special import betaincinv, ndtri

    if freedom > 1e6:
        return float(-ndtri(probability))
    share = float(betaincinv(freedom / 2, 0.5, 2 * probability))  # exact also far out, where stdtrit fails
    return math.sqrt(freedom * (1 - share) / share)


def _detectable_shift(freedom: float, level: float, power: float) -> float:
    """Return the shift at which so many noncentral t lie above the limit; those beyond the other limit are too few to count."""
    from scipy.special import nctdtrinc, ndtri

    limit = _t_above(level / 2, freedom)
    return float(limit + ndtri(power) if freedom > 1000 else nctdtrinc(freedom, 1 - power, limit))


def spread_of_mean(values: ArrayLike, clusters: Clusters | None = None) -> Spread:
    """Return where the variance of a mean over seeds and images comes from.

    Parameters
    ----------
    values : array-like of float, shape (seeds, images)
        What each training scores on each image, for example 1 for a right answer and 0 for a wrong one; at least two seeds.
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal.

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
    scores = score_clusters(np.asarray(values, np.float64), clusters)
    seeds = len(scores)
    images, freedom = _images_part(scores.mean(axis=0), _residual_variance(scores) / seeds)
    return Spread(((_seed_variance(scores), seeds - 1.0),), images, freedom)


def spread_of_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    paired: bool = False,
    clusters: Clusters | None = None,
) -> Spread:
    """Return where the variance of a difference of two means comes from.

    Parameters
    ----------
    first, second : array-like of float, shape (seeds, images)
        As in `spread_of_mean`; the images are the same ones. A single row stands for what has no chance in it: its variance over seeds
        is 0.
    paired : bool, default False
        Whether the seeds belong together one by one (each pair trained on the same split or subset).
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal.

    Returns
    -------
    Spread
        Its seed part is that of Welch's test, or of the paired one. With fewer than five seeds on a side, and not as many on the other, each
        side is a part with its own quantile: Welch's test then finds 5 to 10 times as many false differences as stated at the strict levels
        that Holm's adjustment asks for.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if paired:
        return spread_of_mean(a - b, clusters)
    a, b = score_clusters(a, clusters), score_clusters(b, clusters)
    residual = sum(_residual_variance(scores) / len(scores) for scores in (a, b) if len(scores) > 1)
    images, image_freedom = _images_part(a.mean(axis=0) - b.mean(axis=0), residual)
    parts = [(_seed_variance(scores), len(scores) - 1.0) for scores in (a, b) if len(scores) > 1]
    if len({len(a), len(b)}) == 1 or min(len(a), len(b)) >= _ENOUGH_SEEDS:
        parts = [(sum(variance for variance, _ in parts), _welch_freedom(parts))] if parts else []
    return Spread(tuple(parts), images, image_freedom)


def _seed_variance(scores: NDArray[np.float64]) -> float:
    return float(scores.mean(axis=1).var(ddof=1)) / len(scores)


def _welch_freedom(parts: list[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite 1946, Biometrics Bulletin 2, 110-114)."""
    total = sum(variance for variance, _ in parts)
    if total <= NO_VARIANCE:
        return min(freedom for _, freedom in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts if variance > 0)


def _residual_variance(scores: NDArray[np.float64]) -> float:
    """Return the mean square that neither the seed nor the image explains."""
    seeds, images = scores.shape
    if images < 2:
        return 0.0
    centred = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    return float(np.square(centred).sum()) / ((seeds - 1) * (images - 1))


def _images_part(by_image: NDArray[np.float64], residual: float) -> tuple[float, float]:
    """Return the variance that the test images give to a mean, less what seeds give to it, and its degrees of freedom."""
    count = len(by_image)
    if count < 2:
        return 0.0, 1.0
    return max(float(by_image.var(ddof=1)) - residual, 0.0) / count, count - 1.0
