"""Every pair of models put to the tests, all pairs at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.answers import LEVEL, compare_seeds, compare_single, take_verdicts
from transferkit.compare.model_runs import ModelRuns, are_paired
from transferkit.compare.paired import adjust_holm
from transferkit.compare.resampling import METRICS, Scores, score_resamples
from transferkit.compare.seeds import spread_of_difference
from transferkit.runs.spread import interval

if TYPE_CHECKING:
    import pandas as pd

_PAIRS_AT_ONCE: Final = 2_000
_Places = NDArray[np.int64]


def test_pairs(models: Sequence[ModelRuns], *, margin: float, seed: int) -> "pd.DataFrame":
    """Return one row for each pair of models with completed runs, the later one against the earlier one.

    Parameters
    ----------
    models : sequence of ModelRuns
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

    completed = [model for model in models if model.completed]
    b, a = np.triu_indices(len(completed), 1)
    names = pd.DataFrame({"a": [completed[i].name for i in a], "b": [completed[i].name for i in b]})
    if len(completed) < 2:
        return names
    rng = np.random.default_rng(seed)
    resampled = score_resamples([model.completed for model in completed], rng)
    several = np.array([len(model.completed) > 1 for model in completed])
    of_runs, of_recipes = (np.flatnonzero(chosen) for chosen in (~(several[a] | several[b]), several[a] | several[b]))
    parts, level = [], LEVEL / len(names)  # Holm's adjustment asks this of the pair with the smallest p
    if len(of_runs):
        columns = _compare_runs(completed, resampled, a[of_runs], b[of_runs], level)
        parts.append(pd.DataFrame(columns, index=of_runs))
    if len(of_recipes):
        rows = _compare_recipes(completed, resampled, a[of_recipes], b[of_recipes], level, rng)
        parts.append(pd.DataFrame(rows, index=of_recipes))
    table = names.join(pd.concat(parts))
    table["p_holm"] = adjust_holm(table["p"])
    table["verdict"] = take_verdicts(table, margin=margin)
    return table


def _compare_runs(
    models: Sequence[ModelRuns], resampled: Scores, a: _Places, b: _Places, level: float
) -> dict[str, Any]:
    """Compare two trained models each time: what their answers to the same images say."""
    right = np.stack([model.correct[0] for model in models]).astype(np.float64)
    count = right.shape[1]
    only = np.rint(right @ (1 - right).T).astype(np.int64)
    only_a, only_b = only[a, b], only[b, a]
    columns = compare_single(only_a, only_b, count, level=level)
    for name in METRICS:
        values = np.array([model.mean(name) for model in models])
        columns[f"{name}_difference"] = values[a] - values[b]
        ends = [np.empty((2, 0))]
        for start in range(0, len(a), _PAIRS_AT_ONCE):
            chosen = slice(start, start + _PAIRS_AT_ONCE)
            differences = resampled[name][a[chosen]] - resampled[name][b[chosen]]
            ends.append(np.quantile(differences, [LEVEL / 2, 1 - LEVEL / 2], axis=1))
        columns[f"{name}_low"], columns[f"{name}_high"] = np.concatenate(ends, axis=1)
    return columns


def _compare_recipes(
    models: Sequence[ModelRuns], resampled: Scores, a: _Places, b: _Places, level: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Compare two recipes each time: what their seeds and the test images together say."""
    rows = []
    for i, j in zip(a, b, strict=True):
        paired = are_paired(models[i], models[j])
        row = compare_seeds(models[i].correct, models[j].correct, paired=paired, level=level, rng=rng)
        for name in METRICS:
            # The images' part is the bootstrap's. It holds what seeds and images do together a second time: a little too wide.
            images = float((resampled[name][i] - resampled[name][j]).var(ddof=1))
            row |= _compare_scores(name, models[i], models[j], images, paired=paired)
        rows.append(row)
    return rows


def _compare_scores(name: str, a: ModelRuns, b: ModelRuns, images: float, *, paired: bool) -> dict[str, float]:
    first, second = (np.array([run.metrics[name] for run in model.completed]) for model in (a, b))
    # One column, so that only the seeds vary; the images' part is given.
    seeds = spread_of_difference(first[:, None], second[:, None], paired=paired)
    spread = replace(seeds, images=images, image_freedom=max(a.correct.shape[1] - 1.0, 1.0))
    difference = float(first.mean() - second.mean())
    low, high = interval(difference, spread.total, spread.freedom(with_images=True))
    return {f"{name}_difference": difference, f"{name}_low": low, f"{name}_high": high}
