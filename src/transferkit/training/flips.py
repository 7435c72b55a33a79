"""Predictions averaged over each image and its mirror image."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, InvalidInputError, RunError
from transferkit.features.cache import pieces_of
from transferkit.features.loading import FeatureDataset
from transferkit.models.compiling import recompile
from transferkit.models.weights import weights_provenance
from transferkit.runs.run import Run, derived_key
from transferkit.training.classifier import is_classifier, predict_classifier
from transferkit.training.evaluation import Predictor, model_of_run
from transferkit.training.record import check_data

_WIDTH = 2  # the axis of images


def average_flips(run: Run, data: Dataset, *, name: str | None = None) -> Run:
    """Return a run whose probabilities are averaged over each image and its mirror image.

    Test-time augmentation in its smallest form: it trains nothing, costs one more prediction of each image, and usually answers a
    few images in a thousand better. It is for images that keep their class when they are mirrored, and for networks that have seen
    mirrored ones: ``augment="flip"``.

    Parameters
    ----------
    run : Run
        A completed run with its model, or one that was loaded from a folder with weights. It stays as it is.
    data : Dataset
        The images that it was trained on; the test and validation images are predicted once more.
    name : str, optional
        What the new run is called; ``"<name>, flips averaged"`` if None.

    Returns
    -------
    Run
        With averaged test and validation probabilities, ``"flip"`` in ``recipe["test_time_augment"]`` and twice the
        `test_seconds`. Its `model` is a Keras model that averages by itself, with the layers of the run's: it can be saved, exported
        and asked for new images. The accuracy on training images is not computed anew, so it has none.

    Raises
    ------
    RunError
        If the run has no test predictions or no model, is averaged already, or its model was trained further since.
    DataError
        If the test or validation images are not those of the run.
    InvalidInputError
        If `data` is no dataset of images.

    See Also
    --------
    predict : With ``flips=True`` it averages the answers for new images in the same way.
    calibrate : Improves the probabilities and changes no answer.

    Notes
    -----
    Validation tells whether it helps, and like everything that was tried there it counts in `tuning_trials`.

    References
    ----------
    .. [1] Krizhevsky et al. (2012), "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS, section 4.1.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=1, augment="flip", verbose=False)
    >>> averaged = tk.average_flips(run, data)
    >>> averaged.name, averaged.recipe["test_time_augment"]
    ('course_cnn, flips averaged', 'flip')
    >>> (averaged.model.predict(data.test.images, verbose=0).argmax(axis=1) == averaged.test_predictions).mean().item()
    1.0
    """
    _ = run.test_predictions  # raises if there are none
    if isinstance(check_data(data), FeatureDataset):
        raise InvalidInputError(
            "data are features, which cannot be mirrored; give the images that they were computed from."
        )
    if "test_time_augment" in run.recipe:
        raise RunError(f"run {run.name!r} is averaged over flips already.")
    model = model_of_run(run)
    splits = {"test": data.test, "validation": data.validation}
    for split, (images, labels) in splits.items():
        own = getattr(run, f"{split}_labels")
        if len(getattr(run, f"{split}_probabilities")) and not np.array_equal(labels, own):
            raise DataError(
                f"the {len(images)} {split} images are not those of run {run.name!r}. Give the data it was trained on."
            )
    recorded = run.dataset.get("test_fingerprint")
    if recorded and recorded != data.fingerprints["test"]:
        raise DataError(f"the test images are not those of run {run.name!r}. Give the data it was trained on.")
    predict = _predictor(model, data)
    averaged = {}
    for split, (images, _) in splits.items():
        found = getattr(run, f"{split}_probabilities")
        if len(found):
            averaged[f"{split}_probabilities"] = (found + _predict_mirrored(predict, images)) / 2
    return replace(
        run,
        name=f"{run.name}, flips averaged" if name is None else name,
        **averaged,
        recipe=run.recipe | {"test_time_augment": "flip"},
        train_accuracy=None,
        test_seconds=None if run.test_seconds is None else 2 * run.test_seconds,
        key=derived_key(run, "flips averaged"),
        model=None if is_classifier(model) else _averaging(model),
        path=None,
    )


def _predictor(model: Any, data: Dataset) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    if is_classifier(model):
        return partial(predict_classifier, model, num_classes=data.num_classes)
    return Predictor(model, data.test.images, expected=len(data.test.labels) + len(data.validation.labels))


def _predict_mirrored(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    mirrored = (np.ascontiguousarray(np.flip(piece, axis=_WIDTH)) for piece in pieces_of(images))
    return np.concatenate([predict(piece) for piece in mirrored])


def _averaging(model: Any) -> keras.Model:
    """Return a model that averages the answers of `model`, with its layers, over an image and its mirror image."""
    given = model.inputs[0] if getattr(model, "inputs", None) else None
    inputs = keras.Input(model.input_shape[1:], dtype="uint8" if given is None else given.dtype, name="images")
    answers = [model(inputs), model(keras.ops.flip(inputs, axis=_WIDTH))]
    averaging = keras.Model(inputs, keras.layers.Average(name="average")(answers), name=f"{model.name}_flips_averaged")
    averaging.provenance = weights_provenance(model)
    if model.compiled and model.optimizer is not None:
        recompile(averaging, like=model)
    return averaging
