"""Predictions and metrics of a model on one split."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transferkit.data.checks import check_images, check_labels
from transferkit.errors import InvalidInputError
from transferkit.runs.metrics import compute_metrics

_BATCH_SIZE = 256


class Evaluation(NamedTuple):
    """What a model does on one split.

    Attributes
    ----------
    metrics : dict
        ``accuracy``, ``loss`` (log-loss), ``f1_macro``, ``brier``, ``calibration_error`` and more, see
        `transferkit.runs.metrics.compute_metrics`.
    probabilities : ndarray of float32, shape (n, classes)
        Softmax output, in the order of the images.
    """

    metrics: dict[str, Any]
    probabilities: NDArray[np.float32]


def predict(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities of all images, shape (n, classes); a memory map is read batch by batch."""
    parts = [np.empty((0, model.output_shape[-1]), np.float32)]
    parts += [model.predict_on_batch(images[i : i + _BATCH_SIZE]) for i in range(0, len(images), _BATCH_SIZE)]
    return np.concatenate(parts).astype(np.float32, copy=False)


def timed_predict(model: Any, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    """Return the probabilities and the seconds that they took."""
    start = time.perf_counter()
    probabilities = predict(model, images)
    return probabilities, time.perf_counter() - start


def evaluate(model: Any, split: Any) -> Evaluation:
    """Predict a split and compute its metrics.

    Parameters
    ----------
    model : keras.Model
        A classifier on raw uint8 pixels with softmax output.
    split : Split or tuple
        uint8 images of shape (n, height, width, channels) and int labels of shape (n,), for example ``data.test``.

    Returns
    -------
    Evaluation
        ``metrics`` and ``probabilities``.

    Raises
    ------
    DataError
        If images or labels are not of that kind, or do not fit the model.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist()  # doctest: +SKIP
    >>> tk.evaluate(tk.build_cnn(), data.validation).metrics["accuracy"]  # doctest: +SKIP
    0.1034
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise InvalidInputError(
            f"split must be a pair (images, labels), for example data.test; got {type(split).__name__}."
        )
    images = check_images(split[0], name="images", input_shape=model.input_shape[1:])
    labels = check_labels(split[1], num_classes=int(model.output_shape[-1]), name="labels", length=len(images))
    probabilities = predict(model, images)
    return Evaluation(compute_metrics(labels, probabilities), probabilities)
