"""Loss, Brier score and macro F1 of every run on the same resamples of the test images."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.paired import draw_resamples
from transferkit.runs.metrics import LOG_LOSS_CLIP
from transferkit.runs.run import Run

METRICS: Final = ("loss", "brier", "f1_macro")
RESAMPLES: Final = 1_000

Scores = dict[str, NDArray[np.float64]]


def score_once(runs: Sequence[Run]) -> Scores:
    """Return each metric of each run on the test images themselves, shape (runs,)."""
    ones = np.ones((1, len(runs[0].test_labels)))
    return {name: values[:, 0] for name, values in _score(runs, ones).items()}


def score_resamples(groups: Sequence[Sequence[Run]], rng: np.random.Generator) -> Scores:
    """Return the mean of each metric over the runs of each group on each resample, shape (groups, resamples).

    All runs are scored on the same resamples, which is what makes their differences paired.
    """
    runs = [run for group in groups for run in group]
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]])
    drawn = [_score(runs, weights) for weights in draw_resamples(len(runs[0].test_labels), RESAMPLES, rng)]
    return {
        name: np.add.reduceat(np.concatenate([scores[name] for scores in drawn], axis=1), starts)
        / np.array(sizes)[:, None]
        for name in METRICS
    }


def _score(runs: Sequence[Run], weights: NDArray[Any]) -> Scores:
    """Return each metric of each run under each row of weights, shape (runs, rows)."""
    labels = runs[0].test_labels
    classes = len(runs[0].class_names)
    truth = weights @ _one_hot(labels, classes).astype(weights.dtype)
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in METRICS}
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
