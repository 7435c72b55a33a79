"""The bootstrap over test images: loss, Brier score and macro F1 of several models on the same resamples."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.statistics.clusters import Clusters

METRICS: Final = ("loss", "brier", "f1_macro")
RESAMPLES: Final = 1_000
_CHUNK_NUMBERS: Final = 10_000_000
_NUMBERS_AT_ONCE: Final = 20_000_000

Scores = dict[str, NDArray[np.floating[Any]]]
Probabilities = NDArray[np.floating[Any]]


def score_resamples(
    groups: Sequence[Sequence[Probabilities]],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    clip: float,
    clusters: Clusters | None = None,
) -> Scores:
    """Return the mean of each metric over the trainings of each model on each resample, shape (models, resamples).

    All are scored on the same resamples, which is what makes their differences paired. Computed in float32.

    Parameters
    ----------
    groups : sequence of sequence of ndarray, shape (images, classes)
        The test probabilities of each model, training by training.
    labels : ndarray of int64, shape (images,)
        True classes.
    rng : numpy.random.Generator
        Draws the resamples.
    clip : float
        Probabilities below count as this in the log-loss.
    clusters : ndarray of int64, shape (images,), optional
        Which images are equal; they are drawn together.
    """
    trainings = [probabilities for group in groups for probabilities in group]
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]])
    count, classes = trainings[0].shape
    # Few wide products instead of many narrow ones: a narrow one reads all weights for little work.
    block = max(1, _NUMBERS_AT_ONCE // (count * (2 + 2 * classes)))
    drawn = [
        {name: np.concatenate([part[name] for part in parts]) for name in METRICS}
        for weights in draw_resamples(count, RESAMPLES, rng, clusters)
        for parts in [
            [
                _score(trainings[start : start + block], labels, weights, clip)
                for start in range(0, len(trainings), block)
            ]
        ]
    ]
    return {
        name: np.add.reduceat(np.concatenate([scores[name] for scores in drawn], axis=1), starts)
        / np.array(sizes)[:, None]
        for name in METRICS
    }


def _score(
    trainings: Sequence[Probabilities], labels: NDArray[np.int64], weights: NDArray[np.float32], clip: float
) -> Scores:
    """Return each metric of each training under each row of weights, shape (trainings, rows)."""
    classes = trainings[0].shape[1]
    parts = [_parts(probabilities, labels, clip) for probabilities in trainings]
    sums = weights @ np.concatenate(parts, axis=1)
    sums = sums.reshape(len(weights), len(trainings), 2 + 2 * classes).swapaxes(0, 1)
    total = weights.sum(axis=1)
    hits = sums[..., 2 : 2 + classes]
    truth = _one_hot(labels, classes)
    sizes = weights @ truth + sums[..., 2 + classes :]
    f1 = np.divide(2 * hits, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    # A class that is neither among the images nor predicted has no F1.
    occurring = np.stack([(truth.sum(axis=0) + part[:, 2 + classes :].sum(axis=0)) > 0 for part in parts])
    macro = (f1 * occurring[:, None, :]).sum(axis=-1) / occurring.sum(axis=-1)[:, None]
    return {"loss": sums[..., 0] / total, "brier": sums[..., 1] / total, "f1_macro": macro}


def _parts(probabilities: Probabilities, labels: NDArray[np.int64], clip: float) -> NDArray[np.float32]:
    """Return what each image adds: log-loss, Brier score, a hit of its class, a prediction of a class."""
    count, classes = probabilities.shape
    rows = np.arange(count)
    exact = probabilities / probabilities.sum(axis=1, keepdims=True)
    clipped = np.maximum(exact, np.float32(clip))
    called = _one_hot(exact.argmax(axis=1), classes)
    parts = np.empty((count, 2 + 2 * classes), np.float32)
    parts[:, 0] = np.log(clipped.sum(axis=1)) - np.log(clipped[rows, labels])
    exact[rows, labels] -= 1
    parts[:, 1] = np.square(exact).sum(axis=1)
    parts[:, 2 : 2 + classes] = called * _one_hot(labels, classes)
    parts[:, 2 + classes :] = called
    return parts


def _one_hot(values: NDArray[np.integer[Any]], classes: int) -> NDArray[np.float32]:
    return np.eye(classes, dtype=np.float32)[values]


def draw_resamples(
    count: int, resamples: int, rng: np.random.Generator, clusters: Clusters | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield bootstrap resamples in blocks of shape (some, count): how often each item was drawn; a cluster is drawn as one."""
    units = count if clusters is None else int(clusters.max()) + 1
    block = max(1, min(resamples, _CHUNK_NUMBERS // count))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = np.empty((size, count), np.float32)
        for row in drawn:
            times = np.bincount(rng.integers(0, units, units), minlength=units)
            row[:] = times if clusters is None else times[clusters]
        yield drawn
