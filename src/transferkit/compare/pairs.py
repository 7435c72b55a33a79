"""Every pair of runs put to the tests, all pairs at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.paired import (
    CONFIDENCE,
    adjust_holm,
    difference_interval,
    draw_resamples,
    mcnemar_p,
    smallest_detectable,
)
from transferkit.runs.metrics import LOG_LOSS_CLIP
from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

LEVEL: Final = 1 - CONFIDENCE
RESAMPLES: Final = 1_000
_PAIRS_AT_ONCE: Final = 2_000


def test_pairs(runs: Sequence[Run], *, margin: float, seed: int) -> "pd.DataFrame":
    """Return one row for each pair of completed runs, the later run against the earlier one.

    Parameters
    ----------
    runs : sequence of Run
        Runs that `check_fair` let pass.
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

    completed = [run for run in runs if run.status == "completed"]
    first, second = np.triu_indices(len(completed), 1)
    columns: dict[str, Any] = {"a": [completed[i].name for i in second], "b": [completed[i].name for i in first]}
    if len(completed) < 2:
        return pd.DataFrame(columns)
    count = len(completed[0].test_labels)
    columns |= _test_accuracy(completed, second, first)
    columns |= _bootstrap(completed, second, first, np.random.default_rng(seed))
    table = pd.DataFrame(columns)
    table["detectable"] = smallest_detectable(table["only_a"] + table["only_b"], count)
    table["verdict"] = [
        _decide(p, low, high, difference, margin)
        for p, low, high, difference in zip(
            table["p_holm"], table.pop("inner_low"), table.pop("inner_high"), table["difference"], strict=True
        )
    ]
    return table


def _decide(p: float, low: float, high: float, difference: float, margin: float) -> str:
    if p < LEVEL:
        return "a better" if difference > 0 else "b better"
    # Two one-sided tests at 5% each: the 90% interval within the margin (Schuirmann 1987).
    return "practically equal" if -margin < low and high < margin else "undecided"


def _test_accuracy(runs: list[Run], a: NDArray[np.int64], b: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    correct = np.stack([run.test_probabilities.argmax(axis=1) == run.test_labels for run in runs])
    count = correct.shape[1]
    right = correct.astype(np.float64)
    only = np.rint(right @ (1 - right).T).astype(np.int64)
    only_a, only_b = only[a, b], only[b, a]
    low, high = difference_interval(only_a, only_b, count)
    inner_low, inner_high = difference_interval(only_a, only_b, count, confidence=1 - 2 * LEVEL)
    p = mcnemar_p(only_a, only_b)
    return {
        "difference": (only_a - only_b) / count,
        "difference_low": low,
        "difference_high": high,
        "only_a": only_a,
        "only_b": only_b,
        "p": p,
        "p_holm": adjust_holm(p),
        "inner_low": inner_low,
        "inner_high": inner_high,
    }


def _bootstrap(
    runs: list[Run], a: NDArray[np.int64], b: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Return differences of loss, Brier score and macro F1 with their paired percentile intervals."""
    count = len(runs[0].test_labels)
    observed = _scores(runs, np.ones((1, count)))
    drawn = [_scores(runs, weights) for weights in draw_resamples(count, RESAMPLES, rng)]
    columns = {}
    for name, once in observed.items():
        resampled = np.concatenate([scores[name] for scores in drawn], axis=1)
        columns[f"{name}_difference"] = once[a, 0] - once[b, 0]
        ends = [np.empty((2, 0))]
        for start in range(0, len(a), _PAIRS_AT_ONCE):
            chosen = slice(start, start + _PAIRS_AT_ONCE)
            ends.append(np.quantile(resampled[a[chosen]] - resampled[b[chosen]], [LEVEL / 2, 1 - LEVEL / 2], axis=1))
        columns[f"{name}_low"], columns[f"{name}_high"] = np.concatenate(ends, axis=1)
    return columns


def _scores(runs: list[Run], weights: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return each metric of each run on each resample, shape (runs, resamples); the paired part is the shared weights."""
    labels = runs[0].test_labels
    classes = len(runs[0].class_names)
    truth = weights @ _one_hot(labels, classes).astype(weights.dtype)
    found: dict[str, list[NDArray[Any]]] = {"loss": [], "brier": [], "f1_macro": []}
    for run in runs:
        sums = weights @ _parts(run).astype(weights.dtype)
        found["loss"].append(sums[:, 0] / len(labels))
        found["brier"].append(sums[:, 1] / len(labels))
        hits, sizes = sums[:, 2 : 2 + classes], truth + sums[:, 2 + classes :]
        f1 = np.divide(2 * hits, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        found["f1_macro"].append(f1.mean(axis=1))
    return {name: np.stack(values) for name, values in found.items()}


def _parts(run: Run) -> NDArray[np.float64]:
    """Return what each image adds: log-loss, Brier score, a hit of its class, a prediction of a class."""
    labels, classes = run.test_labels, len(run.class_names)
    rows = np.arange(len(labels))
    exact = run.test_probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    clipped = np.maximum(exact, LOG_LOSS_CLIP)
    loss = np.log(clipped.sum(axis=1)) - np.log(clipped[rows, labels])
    called = _one_hot(exact.argmax(axis=1), classes)
    exact[rows, labels] -= 1
    hits = called * _one_hot(labels, classes)
    return np.column_stack([loss, np.square(exact).sum(axis=1), hits, called])


def _one_hot(values: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[values]
