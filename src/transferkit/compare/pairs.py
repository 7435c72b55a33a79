"""Every pair of models put to the tests, all pairs at once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.arms import Arm, are_paired
from transferkit.compare.paired import (
    CONFIDENCE,
    adjust_holm,
    difference_interval,
    mcnemar_p,
    smallest_detectable,
)
from transferkit.compare.resampling import METRICS, Scores, score_once, score_resamples
from transferkit.compare.seeds import (
    detectable_by_t,
    interval,
    permutation_p,
    probability_of_better,
    spread_of_difference,
    t_test_p,
)

if TYPE_CHECKING:
    import pandas as pd

LEVEL: Final = 1 - CONFIDENCE
INNER: Final = 1 - 2 * LEVEL
"""Two one-sided tests at 5% each are this interval within the margin (Schuirmann 1987)."""

_PAIRS_AT_ONCE: Final = 2_000
_Places = NDArray[np.int64]


def test_pairs(arms: Sequence[Arm], *, margin: float, seed: int) -> "pd.DataFrame":
    """Return one row for each pair of models with completed runs, the later one against the earlier one.

    Parameters
    ----------
    arms : sequence of Arm
        Models whose runs `check_fair` let pass.
    margin : float
        Differences in accuracy up to this fraction count as practically none.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        The columns that `transferkit.Comparison` describes under ``tests``.
    """
    import pandas as pd

    completed = [arm for arm in arms if arm.completed]
    b, a = np.triu_indices(len(completed), 1)
    names = pd.DataFrame({"a": [completed[i].name for i in a], "b": [completed[i].name for i in b]})
    if len(completed) < 2:
        return names
    resampled = score_resamples([arm.completed for arm in completed], np.random.default_rng(seed))
    several = np.array([len(arm.completed) > 1 for arm in completed])
    of_runs, of_recipes = (np.flatnonzero(chosen) for chosen in (~(several[a] | several[b]), several[a] | several[b]))
    parts = []
    if len(of_runs):
        columns = _compare_runs(completed, resampled, a[of_runs], b[of_runs])
        parts.append(pd.DataFrame(columns, index=of_runs))
    if len(of_recipes):
        rows = _compare_recipes(completed, resampled, a[of_recipes], b[of_recipes])
        parts.append(pd.DataFrame(rows, index=of_recipes))
    table = names.join(pd.concat(parts))
    table["p_holm"] = adjust_holm(table["p"])
    table["verdict"] = [
        _decide(*values, margin=margin)
        for values in zip(
            table["p_holm"], table.pop("inner_low"), table.pop("inner_high"), table["difference"], strict=True
        )
    ]
    return table


def _decide(p: float, low: float, high: float, difference: float, *, margin: float) -> str:
    if p < LEVEL:
        return "a better" if difference > 0 else "b better"
    return "practically equal" if -margin < low and high < margin else "undecided"


def _compare_runs(arms: Sequence[Arm], resampled: Scores, a: _Places, b: _Places) -> dict[str, Any]:
    """Compare two trained models each time: what their answers to the same images say."""
    right = np.stack([arm.correct[0] for arm in arms]).astype(np.float64)
    count = right.shape[1]
    only = np.rint(right @ (1 - right).T).astype(np.int64)
    only_a, only_b = only[a, b], only[b, a]
    low, high = difference_interval(only_a, only_b, count)
    inner_low, inner_high = difference_interval(only_a, only_b, count, confidence=INNER)
    columns = {
        "method": "mcnemar",
        "difference": (only_a - only_b) / count,
        "difference_low": low,
        "difference_high": high,
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar_p(only_a, only_b),
        "detectable": smallest_detectable(only_a + only_b, count),
        "inner_low": inner_low,
        "inner_high": inner_high,
    }
    once = [score_once(arm.completed[:1]) for arm in arms]
    for name in METRICS:
        values = np.concatenate([scores[name] for scores in once])
        columns[f"{name}_difference"] = values[a] - values[b]
        ends = [np.empty((2, 0))]
        for start in range(0, len(a), _PAIRS_AT_ONCE):
            chosen = slice(start, start + _PAIRS_AT_ONCE)
            differences = resampled[name][a[chosen]] - resampled[name][b[chosen]]
            ends.append(np.quantile(differences, [LEVEL / 2, 1 - LEVEL / 2], axis=1))
        columns[f"{name}_low"], columns[f"{name}_high"] = np.concatenate(ends, axis=1)
    return columns


def _compare_recipes(arms: Sequence[Arm], resampled: Scores, a: _Places, b: _Places) -> list[dict[str, Any]]:
    """Compare two recipes each time: what their seeds and the test images together say."""
    once = [score_once(arm.completed) for arm in arms]
    rows = []
    for i, j in zip(a, b, strict=True):
        paired = are_paired(arms[i], arms[j])
        row = _compare_accuracies(arms[i], arms[j], paired=paired)
        for name in METRICS:
            # The images' part is the bootstrap's. It holds what seeds and images do together a second time: a little too wide.
            images = float((resampled[name][i] - resampled[name][j]).var(ddof=1))
            row |= _compare_scores(name, once[i][name], once[j][name], images, len(arms[i].correct[0]), paired=paired)
        rows.append(row)
    return rows


def _compare_accuracies(a: Arm, b: Arm, *, paired: bool) -> dict[str, Any]:
    spread = spread_of_difference(a.correct, b.correct, paired=paired)
    freedom = spread.freedom(with_images=True)
    difference = float(a.accuracies.mean() - b.accuracies.mean())
    low, high = interval(difference, spread.total, freedom)
    inner_low, inner_high = interval(difference, spread.total, freedom, confidence=INNER)
    seed_low, seed_high = interval(difference, spread.seeds, spread.freedom(with_images=False))
    better, better_low, better_high = probability_of_better(a.accuracies, b.accuracies)
    one_run = min(len(a.completed), len(b.completed)) < 2
    return {
        "method": "paired t" if paired else "one run against seeds" if one_run else "welch",
        "difference": difference,
        "difference_low": max(low, -1.0),
        "difference_high": min(high, 1.0),
        "seed_low": seed_low,
        "seed_high": seed_high,
        "only_a": math.nan,
        "only_b": math.nan,
        "p": t_test_p(difference, spread.total, freedom),
        "p_permutation": permutation_p(a.accuracies, b.accuracies, paired=paired),
        "detectable": min(detectable_by_t(spread.total, freedom), 1.0),
        "better": better,
        "better_low": better_low,
        "better_high": better_high,
        "inner_low": inner_low,
        "inner_high": inner_high,
    }


def _compare_scores(
    name: str, first: NDArray[np.float64], second: NDArray[np.float64], images: float, count: int, *, paired: bool
) -> dict[str, float]:
    # One column, so that only the seeds vary; the images' part is given.
    seeds = spread_of_difference(first[:, None], second[:, None], paired=paired)
    spread = replace(seeds, images=images, image_freedom=count - 1.0)
    difference = float(first.mean() - second.mean())
    low, high = interval(difference, spread.total, spread.freedom(with_images=True))
    return {f"{name}_difference": difference, f"{name}_low": low, f"{name}_high": high}
