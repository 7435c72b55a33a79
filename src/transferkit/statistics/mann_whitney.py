"""How probable it is that a training of one recipe beats one of another, for the test images at hand."""

import numpy as np
from numpy.typing import ArrayLike

from transferkit.statistics.conventions import CONFIDENCE


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
