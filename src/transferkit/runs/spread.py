"""How far a mean accuracy over several trainings is to be trusted.

Two things move it: other seeds, and other test images. More seeds make only the first part smaller, so both are estimated,
and an interval counts both (Miller 2024, arXiv:2411.00640; Bouthillier et al. 2021, arXiv:2103.03098).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.runs.metrics import wilson_interval

NO_VARIANCE: Final = 1e-24
"""A variance below is rounding and nothing else."""


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
    if total <= NO_VARIANCE:
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
    images, freedom = images_part(scores.mean(axis=0), residual_variance(scores) / seeds)
    return Spread(((float(scores.mean(axis=1).var(ddof=1)) / seeds, seeds - 1),), images, freedom)


def residual_variance(scores: NDArray[np.float64]) -> float:
    """Return the mean square that neither the seed nor the image explains."""
    seeds, images = scores.shape
    if images < 2:
        return 0.0
    centred = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    return float(np.square(centred).sum()) / ((seeds - 1) * (images - 1))


def images_part(by_image: NDArray[np.float64], residual: float) -> tuple[float, float]:
    """Return the variance that the test images give to a mean, and its degrees of freedom.

    Parameters
    ----------
    by_image : ndarray of float, shape (images,)
        Mean score on each image over the seeds, or a difference of two such means.
    residual : float
        What of its variance comes from the seeds.
    """
    count = len(by_image)
    if count < 2:
        return 0.0, 1.0
    return max(float(by_image.var(ddof=1)) - residual, 0.0) / count, count - 1.0


def interval(centre: float, variance: float, freedom: float, *, confidence: float = 0.95) -> tuple[float, float]:
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


def accuracy_interval(correct: ArrayLike) -> tuple[float, float]:
    """Return the 95% interval of the test accuracy of one training, or of the mean of several.

    Parameters
    ----------
    correct : array-like of bool or float, shape (seeds, images)
        Which test images each training answers correctly; or scores from 0 to 1.

    Returns
    -------
    tuple of float
        Lower and upper end: Wilson's for one training; Student's t for other seeds and other test images together for several.

    Examples
    --------
    >>> low, high = accuracy_interval([[True] * 90 + [False] * 10])
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    scores = np.asarray(correct, np.float64)
    mean, count = float(scores.mean()), scores.shape[1]
    low, high = wilson_interval(round(mean * count), count)
    if len(scores) > 1:
        spread = spread_of_mean(scores)
        if spread.total > NO_VARIANCE:  # else chance has left no trace, as where all are right; that is no certainty
            low, high = interval(mean, spread.total, spread.freedom(with_images=True))
    return max(low, 0.0), min(high, 1.0)


def decimals_for(test_size: int) -> int:
    """Return how many decimals of a percentage the number of test images can carry."""
    return 2 if test_size >= 5000 else 1
