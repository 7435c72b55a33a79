"""The vocabulary of verdicts and methods, and the rule that takes a verdict from tests."""

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.statistics.conventions import LEVEL


class Verdict(StrEnum):
    """What may be said of two models; tables hold the values as plain text."""

    A_BETTER = "a better"
    B_BETTER = "b better"
    BETTER = "better"
    """Of an arm against the baseline of a label curve."""
    WORSE = "worse"
    EQUAL = "practically equal"
    UNDECIDED = "undecided"
    TOO_FEW_SEEDS = "too few seeds"


class Method(StrEnum):
    """How a difference was tested."""

    MCNEMAR = "mcnemar"
    """One run each: the answers of two trained models to the same images."""
    ONE_AGAINST_SEVERAL = "one run against seeds"
    """One trained model against the mean of several trained ones, on the same images."""
    WELCH = "welch"
    PAIRED_T = "paired t"
    CORRECTED_T = "corrected t"
    """Folds of a cross-validation, Nadeau and Bengio's correction."""
    TOO_FEW_SEEDS = "too few seeds"


class Scope(StrEnum):
    """What a verdict is about."""

    MODELS = "models"
    """The trained models at hand; other seeds may say otherwise."""
    RECIPES = "recipes"
    """The recipes: what other seeds and other test images would change is counted."""


_OPPOSITES: Final = ((Verdict.A_BETTER, Verdict.B_BETTER), (Verdict.BETTER, Verdict.WORSE))


def turn_verdict(verdict: str) -> str:
    """Return the verdict on the same pair named the other way round."""
    opposite = {one.value: other.value for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
    return opposite.get(verdict, verdict)


def decide(
    p: ArrayLike, difference: ArrayLike, p_equal: ArrayLike | None = None, *, smaller_is_better: bool = False
) -> NDArray[np.object_]:
    """Return the verdict on each difference a minus b.

    Parameters
    ----------
    p : array-like of float, shape (tests,)
        Of the tests of a difference, adjusted for all of them. NaN means not tested.
    difference : array-like of float, shape (tests,)
        Estimates.
    p_equal : array-like of float, shape (tests,), optional
        Of the tests of practical equality, adjusted as well. Nothing is called equal if None.
    smaller_is_better : bool, default False
        Whether `difference` is one of losses.

    Returns
    -------
    ndarray of str, shape (tests,)
        Values of `Verdict`, by `p` first.
    """
    ahead = np.asarray(difference, np.float64) * (-1 if smaller_is_better else 1) > 0
    better = np.where(ahead, Verdict.A_BETTER.value, Verdict.B_BETTER.value)
    equal = np.zeros(ahead.shape, bool) if p_equal is None else np.asarray(p_equal, np.float64) < LEVEL
    rest = np.where(equal, Verdict.EQUAL.value, Verdict.UNDECIDED.value)
    return np.where(np.asarray(p, np.float64) < LEVEL, better, rest).astype(object)
