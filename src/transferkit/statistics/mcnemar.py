"""McNemar's exact test of two trained models, and the smallest difference that it finds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.conventions import LEVEL, POWER


def mcnemar_p(only_first: ArrayLike, only_second: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : array-like of float
        How many images only the first, and only the second model answers correctly. Counts need not be whole: see
        `transferkit.statistics.trained_models.count_disagreements`.

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
    from scipy.special import betainc

    first, second = np.asarray(only_first, np.float64), np.asarray(only_second, np.float64)
    fewer, more = np.minimum(first, second), np.maximum(first, second)
    # The binomial distribution function at one half; the incomplete beta function continues it between whole counts.
    return np.where(more > 0, np.minimum(1.0, 2.0 * betainc(np.maximum(more, 0.5), fewer + 1.0, 0.5)), 1.0)


def smallest_detectable(
    disagreements: ArrayLike, count: ArrayLike, *, level: float = LEVEL, power: float = POWER
) -> NDArray[np.float64]:
    """Return the true difference in accuracy that McNemar's test finds in 80% of cases.

    Parameters
    ----------
    disagreements : array-like of float
        How many images exactly one of the two models answers correctly. None counts as one.
    count : array-like of float
        Number of test images.
    level : float, default 0.05
        Of the two-sided test.
    power : float, default 0.8
        In how many cases it is found.

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

    images = np.asarray(count, np.float64)
    share = np.maximum(np.asarray(disagreements, np.float64), 1.0) / images
    z_level, z_power = norm.ppf(1 - level / 2), norm.ppf(power)
    # Connor's formula for n, solved for the difference d: n d^2 = (z_level sqrt(share) + z_power sqrt(share - d^2))^2.
    detectable = (z_level + z_power) * np.sqrt(share / images)
    for _ in range(20):
        within = np.sqrt(np.maximum(share - detectable**2, 0.0))
        detectable = (z_level * np.sqrt(share) + z_power * within) / np.sqrt(images)
    # Disagreements, all one way, whose p, 2 / 2^fewest, is below the level.
    fewest = int(np.floor(1 - np.log2(level))) + 1
    least = np.where(images >= fewest, beta.ppf(power, fewest, np.maximum(images - fewest, 0.0) + 1), 1.0)
    return np.clip(detectable, least, 1.0)
