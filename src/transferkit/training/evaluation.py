"""Predictions and metrics of a model on one split."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.data.checks import check_images, check_labels
from transferkit.errors import InvalidInputError, RunError
from transferkit.features.cache import pieces_of
from transferkit.features.engine import convert_model
from transferkit.features.litert import Compute
from transferkit.models.keras_internals import is_hub_task
from transferkit.models.outputs import check_answers
from transferkit.models.saving import load_model
from transferkit.runs.metrics import Metrics, compute_metrics, of_both_classes
from transferkit.runs.run import Run, run_of
from transferkit.runs.storage import find_model
from transferkit.training.classifier import is_classifier, predict_classifier
from transferkit.training.network import Engine, Network, choose_network

_BATCH_SIZE = 256
_MANY_IMAGES, _LARGE_MODEL = 5_000, 1_000_000  # from where on LiteRT's conversion, some 10 s, pays


class Evaluation(NamedTuple):
    """What a model does on one split.

    Parameters
    ----------
    metrics : dict
        ``accuracy``, ``loss`` (log-loss), ``f1_macro``, ``brier``, ``calibration_error`` and more, see
        `transferkit.runs.metrics.compute_metrics`.
    probabilities : ndarray of float32, shape (n, classes)
        Softmax output, in the order of the images.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> metrics, probabilities = tk.evaluate(tk.build_cnn(filters=(4, 8)), data.validation)
    >>> round(metrics["accuracy"] - (probabilities.argmax(axis=1) == data.validation.labels).mean().item(), 6)
    0.0
    """

    metrics: Metrics
    probabilities: NDArray[np.float32]


class Predictor:
    """Predict images with a model as it is now.

    A frozen part is computed once for each image and kept; a large model without one runs many images through LiteRT.

    Parameters
    ----------
    model : keras.Model
        A classifier on raw uint8 pixels with softmax output.
    images : ndarray of uint8, shape (n, height, width, channels)
        Images of the kind that will be predicted.
    expected : int
        How many there will be.
    engine : {"auto", "litert", "keras", "plain"}
        What computes.
    network : Network, optional
        What of the model to run, where that is known.
    """

    def __init__(
        self,
        model: Any,
        images: NDArray[np.uint8],
        *,
        expected: int,
        engine: Engine = "auto",
        network: Network | None = None,
    ) -> None:
        self._classes = int(model.output_shape[-1])
        self._network = network or choose_network(model, images, engine=engine, expected=expected)
        self._compute: Compute | None = None
        if (
            self._network.cache is None
            and engine in ("auto", "litert")
            and expected >= _MANY_IMAGES
            and _is_large(model)
        ):
            self._compute = convert_model(model, images[:_BATCH_SIZE])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of all images, shape (n, classes); a memory map is read batch by batch."""
        if not len(images):
            return np.empty((0, self._classes), np.float32)
        if self._compute is not None:
            return np.concatenate([self._compute(piece) for piece in pieces_of(images)])
        return self._network.predict(images, batch_size=_BATCH_SIZE)


def _is_large(model: Any) -> bool:
    return int(model.count_params()) >= _LARGE_MODEL


def evaluate(model: Any, split: Any) -> Evaluation:
    """Predict a split and compute its metrics.

    Parameters
    ----------
    model : keras.Model, scikit-learn classifier, Run or path-like
        A network on raw uint8 pixels with softmax output or, for two classes, one sigmoid output; a fitted classifier on raw images such
        as `build_baseline`'s; a run with its model, or the folder of a saved one.
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
    InvalidInputError
        If `split` is no pair, or a classifier is not fitted.
    RunError
        If the run has no model, or one that was trained further since.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> evaluation = tk.evaluate(tk.build_cnn(), data.validation)
    >>> evaluation.probabilities.shape
    (100, 10)
    >>> evaluation.metrics["accuracy"]  # a network that was not trained
    0...
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise InvalidInputError(
            f"split must be a pair (images, labels), for example data.test; got {type(split).__name__}."
        )
    if isinstance(model, str | os.PathLike):
        model = load_model(Path(model))
    model = run_of(model)
    if isinstance(model, Run):
        model = model_of_run(model)
    if is_classifier(model):
        return _evaluate_classifier(model, *split)
    check_network(model)
    images = check_images(split[0], name="images", input_shape=model.input_shape[1:])
    classes = max(2, int(model.output_shape[-1]))  # one sigmoid output is of two
    labels = check_labels(split[1], num_classes=classes, name="labels", length=len(images))
    probabilities = of_both_classes(Predictor(model, images, expected=len(images))(images))
    return Evaluation(compute_metrics(labels, probabilities), probabilities)


def model_of_run(run: Run) -> Any:
    """Return the model that made a run's predictions, loaded from its folder if it is not in memory or was trained further.

    Raises
    ------
    RunError
        If there is none.
    """
    found = find_model(run, RunError)
    return load_model(found) if isinstance(found, Path) else found


def check_network(model: Any) -> None:
    """Raise unless a model maps one image to probabilities, as far as its structure tells.

    Raises
    ------
    InvalidInputError
        If it is no keras.Model, is not built, has several inputs or outputs, or does not end in probabilities.
    """
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"model must be a keras.Model; got {type(model).__name__}.")
    if not getattr(model, "inputs", None) or not hasattr(model, "input_shape"):
        raise InvalidInputError(
            f"the model {model.name!r} is no built functional or sequential model. Build it with keras.Model(inputs, outputs), or "
            "begin the Sequential with an Input."
        )
    if not isinstance(model.input_shape, tuple) or not isinstance(model.output_shape, tuple):
        raise InvalidInputError(f"the model {model.name!r} must have one input and one output.")
    if is_hub_task(model) and getattr(model, "preprocessor", None) is not None:
        raise InvalidInputError(
            f"{model.name!r} of KerasHub prepares images outside of its network, so what is saved or exported would not. Set its "
            "preprocessor to None and give it images as its network takes them, or use build_transfer_model('hub:<preset>')."
        )
    check_answers(model)


def _evaluate_classifier(classifier: Any, images: Any, labels: Any) -> Evaluation:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(classifier)
    except NotFittedError:
        raise InvalidInputError(
            f"{type(classifier).__name__} is not fitted. Train it first: train(model, data)."
        ) from None
    if np.asarray(classifier.classes_).dtype.kind not in "iu":
        raise InvalidInputError(
            f"{type(classifier).__name__} was fitted on {list(classifier.classes_)[:3]}... instead of class indices. Fit it on "
            "np.unique(labels, return_inverse=True)[1]; predict takes it as it is."
        )
    pixels = check_images(images, name="images")
    truth = check_labels(labels, num_classes=None, name="labels", length=len(pixels))
    # A class without training images is unknown to the classifier, and may have test images all the same.
    num_classes = int(max(np.max(classifier.classes_), truth.max())) + 1
    probabilities = predict_classifier(classifier, pixels, num_classes)
    return Evaluation(compute_metrics(truth, probabilities), probabilities)
