"""What each test image adds to a metric: one number an image, whose mean is the metric and whose scatter is its uncertainty."""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Metric(StrEnum):
    """Metrics that can be compared."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced_accuracy"
    F1_MACRO = "f1_macro"
    LOSS = "loss"
    BRIER = "brier"

    @property
    def smaller_is_better(self) -> bool:
        """Whether it is a loss."""
        return self in (Metric.LOSS, Metric.BRIER)


def score_images(
    metric: str, labels: NDArray[np.int64], probabilities: NDArray[np.floating[Any]], *, clip: float
) -> NDArray[np.float64]:
    """Return what each image adds to a metric.

    Parameters
    ----------
    metric : {"accuracy", "balanced_accuracy", "f1_macro", "loss", "brier"}
        Which one.
    labels : ndarray of int64, shape (n,)
        True classes.
    probabilities : ndarray of float, shape (n, classes)
        Rows with sum 1.
    clip : float
        Probabilities below count as this in the log-loss.

    Returns
    -------
    ndarray of float64, shape (n,)
        Its mean is the metric. Where the metric is no mean over images, as macro F1, its linear approximation (the influence function;
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 21.3).

    Examples
    --------
    >>> labels, probabilities = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> score_images("f1_macro", labels, probabilities, clip=1e-7).mean().round(4).item()
    0.6667
    """
    chosen = Metric(metric)
    rows = np.arange(len(labels))
    exact = np.asarray(probabilities, np.float64)
    exact = exact / exact.sum(axis=1, keepdims=True)
    if chosen is Metric.LOSS:
        clipped = np.maximum(exact, clip)
        loss: NDArray[np.float64] = np.log(clipped.sum(axis=1)) - np.log(clipped[rows, labels])
        return loss
    if chosen is Metric.BRIER:
        exact[rows, labels] -= 1
        brier: NDArray[np.float64] = np.square(exact).sum(axis=1)
        return brier
    called = exact.argmax(axis=1)
    right = (called == labels).astype(np.float64)
    if chosen is Metric.ACCURACY:
        return right
    classes = exact.shape[1]
    sizes, calls = (np.bincount(values, minlength=classes) for values in (labels, called))
    hits = np.bincount(labels, weights=right, minlength=classes)
    if chosen is Metric.BALANCED_ACCURACY:
        present = (sizes > 0).sum()
        recall = np.divide(hits, sizes, out=np.zeros(classes), where=sizes > 0)
        # The class sizes are drawn with the images.
        balanced: NDArray[np.float64] = (right - recall[labels]) * (len(labels) / (present * sizes[labels]))
        return balanced + recall.sum() / present
    either = sizes + calls
    occurring = (either > 0).sum()
    f1 = np.divide(2 * hits, either, out=np.zeros(classes), where=either > 0)
    share = np.divide(1.0, either, out=np.zeros(classes), where=either > 0)
    influence = 2 * right * share[labels] - f1[labels] * share[labels] - f1[called] * share[called]
    macro: NDArray[np.float64] = influence * (len(labels) / occurring) + f1.sum() / occurring
    return macro
