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
_NUMBERS_AT_ONCE: Final = 20_000_000

Scores = dict[str, NDArray[np.floating[Any]]]


def score_resamples(groups: Sequence[Sequence[Run]], rng: np.random.Generator) -> Scores:
    """Return the mean of each metric over the runs of each group on each resample, shape (groups, resamples).

    All runs are scored on the same resamples, which is what makes their differences paired. Computed in float32.
    """
    runs = [run for group in groups for run in group]
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]])
    count, classes = len(runs[0].test_labels), len(runs[0].class_names)
    # Few wide products instead of many narrow ones: a narrow one reads all weights for little work.
    block = max(1, _NUMBERS_AT_ONCE // (count * (2 + 2 * classes)))
    drawn = [
        {name: np.concatenate([part[name] for part in parts]) for name in METRICS}
        for weights in draw_resamples(count, RESAMPLES, rng)
        for parts in [[_score(runs[start : start + block], weights) for start in range(0, len(runs), block)]]
    ]
    return {
        name: np.add.reduceat(np.concatenate([scores[name] for scores in drawn], axis=1), starts)
        / np.array(sizes)[:, None]
        for name in METRICS
    }


def _score(runs: Sequence[Run], weights: NDArray[np.float32]) -> Scores:
    """Return each metric of each run under each row of weights, shape (runs, rows)."""
    labels = runs[0].test_labels
    classes = len(runs[0].class_names)
    sums = weights @ np.concatenate([_parts(run) for run in runs], axis=1)
    sums = sums.reshape(len(weights), len(runs), 2 + 2 * classes).swapaxes(0, 1)
    hits = sums[..., 2 : 2 + classes]
    sizes = weights @ _one_hot(labels, classes) + sums[..., 2 + classes :]
    f1 = np.divide(2 * hits, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return {"loss": sums[..., 0] / len(labels), "brier": sums[..., 1] / len(labels), "f1_macro": f1.mean(axis=-1)}


def _parts(run: Run) -> NDArray[np.float32]:
    """Return what each image adds: log-loss, Brier score, a hit of its class, a prediction of a class."""
    labels, classes = run.test_labels, len(run.class_names)
    rows = np.arange(len(labels))
    exact = run.test_probabilities / run.test_probabilities.sum(axis=1, keepdims=True)
    clipped = np.maximum(exact, np.float32(LOG_LOSS_CLIP))
    called = _one_hot(exact.argmax(axis=1), classes)
    parts = np.empty((len(labels), 2 + 2 * classes), np.float32)
    parts[:, 0] = np.log(clipped.sum(axis=1)) - np.log(clipped[rows, labels])
    exact[rows, labels] -= 1
    parts[:, 1] = np.square(exact).sum(axis=1)
    parts[:, 2 : 2 + classes] = called * _one_hot(labels, classes)
    parts[:, 2 + classes :] = called
    return parts


def _one_hot(values: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[values]
