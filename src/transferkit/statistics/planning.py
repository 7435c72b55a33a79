"""Planning a comparison before anything is trained: how many seeds and test images for which difference."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from transferkit.errors import InvalidInputError
from transferkit.statistics.conventions import LEVEL
from transferkit.statistics.mcnemar import smallest_detectable
from transferkit.statistics.seeds_and_images import Spread

_SHOWN_SEEDS: Final = (1, 2, 3, 5, 10, 20)
_SHOWN_IMAGES: Final = (100, 300, 1_000, 3_000, 10_000)
_SURE: Final = 1 - 1e-6


@dataclass(frozen=True)
class ComparisonPlan:
    """What a comparison of two recipes will be able to tell apart.

    Parameters
    ----------
    difference : float
        True difference in accuracy, a fraction, that is found with probability `power`; 1 if none can be.
    test_images : int
        Number of test images.
    seeds : int
        Trainings of each recipe. With one, two trained models are compared, and nothing is said of the recipes.
    power : float
        How often the difference is found.
    disagreement : float
        Share of the images that exactly one of two trained models, one of each recipe, answers correctly.
    seed_disagreement : float
        The same for two trainings of one recipe.
    seed_sd : float
        Standard deviation of the accuracy over seeds.
    pairs : int
        How many pairs are tested, and so adjusted for (Holm).
    paired : bool
        Whether the recipes share training images of their own for each seed.
    """

    difference: float
    test_images: int
    seeds: int
    power: float
    disagreement: float
    seed_disagreement: float
    seed_sd: float
    pairs: int
    paired: bool


def detectable_difference(plan: ComparisonPlan) -> float:
    """Return the true difference that such a comparison finds with the plan's power.

    Notes
    -----
    With several seeds the variance of the difference has a part of the seeds, ``2 seed_sd^2 / seeds``, and one of the images. To the second
    adds what the recipes answer differently, not what seeds of one recipe do, which averages out:
    ``(disagreement - seed_disagreement) / test_images``. Each has its own quantile, as in the tests themselves. `seed_sd` is that of a large
    test set: on few images two trainings differ by chance alone, with a variance of ``seed_disagreement / test_images``.

    Examples
    --------
    >>> plan = ComparisonPlan(0.0, 10_000, 5, 0.8, 0.06, 0.04, 0.003, pairs=1, paired=False)
    >>> round(detectable_difference(plan), 4)
    0.0073
    """
    level = LEVEL / plan.pairs
    if plan.seeds == 1:
        disagreements = plan.disagreement * plan.test_images
        return float(smallest_detectable(disagreements, plan.test_images, level=level, power=plan.power))
    freedom = (1 if plan.paired else 2) * (plan.seeds - 1.0)
    images = max(plan.disagreement - plan.seed_disagreement, 0.0) / plan.test_images
    seeds = max(2 * plan.seed_sd**2, plan.seed_disagreement / plan.test_images) / plan.seeds
    spread = Spread(((seeds, freedom),), images, max(plan.test_images - 1.0, 1.0))
    return min(spread.detectable(level=level, power=plan.power), 1.0)


def complete_plan(**given: Any) -> ComparisonPlan:
    """Return the plan with the one thing filled in that is None.

    Parameters
    ----------
    **given
        The fields of a `ComparisonPlan`, exactly one of them None. Found is the smallest difference, number of test images or of seeds that
        does; the largest power, number of pairs, disagreement or deviation.

    Raises
    ------
    InvalidInputError
        If not exactly one is None, a number is out of its range, or nothing within reason would do.
    """
    given = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    unknown = [name for name, value in given.items() if value is None]
    if len(unknown) != 1:
        raise InvalidInputError(
            f"leave out exactly one of difference, test_images and seeds, or set another to None: that is what is asked for; got "
            f"None for {', '.join(unknown) or 'nothing'}."
        )
    (asked,) = unknown
    for name, value in given.items():
        if name not in (asked, "paired"):
            _check(name, value)
    if asked != "disagreement" and given["seed_disagreement"] > given["disagreement"]:
        raise InvalidInputError(
            f"seed_disagreement={given['seed_disagreement']!r} must be at most disagreement={given['disagreement']!r}: two recipes disagree at "
            "least as much as two trainings of one."
        )
    least = given["seed_disagreement"] if asked == "disagreement" else _RANGES[asked].least
    plan = ComparisonPlan(**given | {asked: least})
    if asked == "difference":
        return replace(plan, difference=detectable_difference(plan))
    if asked in ("test_images", "seeds"):
        return _smallest_number(plan, asked)
    return _largest(plan, asked)


@dataclass(frozen=True)
class _Range:
    """From where to where something can be."""

    holds: Callable[[Any], bool]
    says: str
    least: Any
    most: Any


def _is_whole(value: Any) -> bool:
    return bool(value == int(value))


_RANGES: Final[dict[str, _Range]] = {
    "difference": _Range(lambda value: 0 < value < 1, "a fraction, for example 0.005 for half a point", 0.0, 1.0),
    "test_images": _Range(lambda v: v >= 2 and _is_whole(v), "a whole number of at least 2", 2, 100_000_000),
    "seeds": _Range(lambda v: v >= 1 and _is_whole(v), "a whole number of at least 1", 2, 1_000),
    "power": _Range(lambda value: 0.5 <= value < 1, "from 0.5 to below 1, for example 0.8", 0.5, _SURE),
    "disagreement": _Range(lambda value: 0 < value <= 1, "a fraction, for example 0.06", 1e-9, 1.0),
    "seed_disagreement": _Range(lambda value: 0 <= value <= 1, "a fraction, for example 0.04", 0.0, 1.0),
    "seed_sd": _Range(lambda value: 0 <= value < 1, "a fraction, for example 0.003 for 0.3 points", 0.0, 0.5),
    "pairs": _Range(lambda v: v >= 1 and _is_whole(v), "a whole number of at least 1", 1, 1_000_000),
}


def _check(name: str, value: object) -> None:
    if isinstance(value, bool | str) or not isinstance(value, int | float) or not _RANGES[name].holds(value):
        raise InvalidInputError(f"{name} must be {_RANGES[name].says}; got {value!r}.")


def _finds(plan: ComparisonPlan) -> bool:
    return detectable_difference(plan) <= plan.difference


def _with(plan: ComparisonPlan, name: str, value: Any) -> ComparisonPlan:
    return replace(plan, **{name: value})


def _smallest_number(plan: ComparisonPlan, name: str) -> ComparisonPlan:
    """Fill in the smallest number with which the plan's difference is found, by bisection: more never find less."""
    low, high = _RANGES[name].least, _RANGES[name].most
    if not _finds(_with(plan, name, high)):
        left = 100 * detectable_difference(_with(plan, name, high))
        rest = "the test images: take more of them" if name == "seeds" else "the seeds: take more of them"
        raise InvalidInputError(
            f"no number of {name.replace('_', ' ')} finds a difference of {100 * plan.difference:g} points: {high:,} would find "
            f"{left:.2g} points. The rest comes from {rest}, or look for a larger difference."
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _finds(_with(plan, name, middle)) else (middle + 1, high)
    return _with(plan, name, low)


def _largest(plan: ComparisonPlan, name: str) -> ComparisonPlan:
    """Fill in the largest power, number of pairs, disagreement or deviation with which the plan's difference is found."""
    low, high = _RANGES[name].least, _RANGES[name].most
    if not _finds(_with(plan, name, low)):
        raise InvalidInputError(
            f"a difference of {100 * plan.difference:g} points is not found whatever the {name.replace('_', ' ')} (from {low:g} on): "
            "take more seeds or test images, or look for a larger difference."
        )
    whole = name == "pairs"
    while high - low > (1 if whole else 1e-7):
        middle = (low + high) // 2 if whole else (low + high) / 2
        low, high = (middle, high) if _finds(_with(plan, name, middle)) else (low, middle)
    return _with(plan, name, low)


def detectable_around(plan: ComparisonPlan) -> list[tuple[int, int, float]]:
    """Return numbers of test images and of seeds around those of the plan, and the difference that each finds."""
    return [
        (images, seeds, detectable_difference(replace(plan, test_images=images, seeds=seeds)))
        for images in sorted({*_SHOWN_IMAGES, plan.test_images})
        for seeds in sorted({*_SHOWN_SEEDS, plan.seeds})
    ]
