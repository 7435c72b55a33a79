"""Temperature scaling: one number, fitted on the validation images, that makes confidences honest and changes no answer.

Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML, section 4.2. arXiv:1706.04599
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.errors import InvalidInputError, RunError, warn
from transferkit.runs.metrics import LOG_LOSS_CLIP, check_pair, check_probabilities
from transferkit.runs.run import Run, derived_key

TEMPERATURE_RANGE: Final = (0.05, 20.0)
"""Where the temperature is looked for; an optimum outside tells of too few errors, or of probabilities without meaning."""

_TOLERANCE = 1e-9  # of the temperature's logarithm
_AT_THE_END = 1e-3
_FLAT = 1e-6  # of the loss


def fit_temperature(validation_labels: ArrayLike, validation_probabilities: ArrayLike) -> float:
    """Find the temperature with the best log-loss on validation images.

    Parameters
    ----------
    validation_labels : array-like of int, shape (n,)
        True class indices of images that the model was not trained on, and that are not the test images.
    validation_probabilities : array-like of float, shape (n, classes)
        Softmax output on them. Values below 1e-7 count as 1e-7, as in `log_loss`.

    Returns
    -------
    float
        From 0.05 to 20. Above 1 the model was too sure of itself, below 1 not sure enough; 1 if no other is better.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above.

    Warns
    -----
    TransferKitWarning
        If the best one lies at an end of that range: the lower if hardly an image is answered wrongly, the upper if the
        probabilities have nothing to do with the labels.

    See Also
    --------
    calibrate : Fits and applies it to a run.
    apply_temperature : Applies it to probabilities.

    Examples
    --------
    Nine of ten answers are right, so 90% would be honest:

    >>> surely = np.tile([0.99, 0.01], (10, 1))
    >>> temperature = fit_temperature([0] * 9 + [1], surely)
    >>> apply_temperature(surely[:1], temperature).round(3)
    array([[0.9, 0.1]], dtype=float32)
    """
    from scipy.optimize import minimize_scalar

    labels, probabilities = check_pair(validation_labels, validation_probabilities)
    logits = _logits(probabilities)

    def loss(log_temperature: float) -> float:
        return _mean_loss(labels, logits, np.exp(log_temperature))

    low, high = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": _TOLERANCE})
    if not found.fun < loss(0.0):
        return 1.0
    # Where all images are answered rightly, a whole range of low temperatures has a loss of 0.
    if found.x - low < _AT_THE_END or loss(low) <= found.fun + _FLAT:
        warn(
            f"the lowest temperature allowed, {TEMPERATURE_RANGE[0]}, suits the {len(labels)} validation images best: too few "
            "of them are answered wrongly to place it. Use more of them."
        )
    elif high - found.x < _AT_THE_END:
        warn(
            f"the highest temperature allowed, {TEMPERATURE_RANGE[1]}, suits the {len(labels)} validation images best: how sure "
            "the model is says next to nothing about whether it is right."
        )
    return float(np.exp(found.x))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float32]:
    """Divide the logarithms of probabilities by a temperature; the most probable class of each row stays the same.

    Parameters
    ----------
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1. Values below 1e-7 count as 1e-7.
    temperature : float
        Above 0: above 1 evens the probabilities out, below 1 sharpens them, 1 leaves them as they are.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        ``softmax(log(probabilities) / temperature)``.

    Raises
    ------
    InvalidInputError
        If the probabilities are not what is described above, or the temperature is not a finite number above 0.

    Examples
    --------
    >>> apply_temperature([[0.8, 0.2]], 2.0).round(3)
    array([[0.667, 0.333]], dtype=float32)
    """
    from scipy.special import softmax

    if not 0 < temperature < np.inf:
        raise InvalidInputError(f"temperature must be a finite number above 0; got {temperature!r}.")
    checked = check_probabilities(probabilities)
    if not len(checked):
        return np.empty(checked.shape, np.float32)
    tempered = softmax(_logits(checked) / temperature, axis=1).astype(np.float32)
    return _keep_answers(tempered, checked.argmax(axis=1))


def _keep_answers(tempered: NDArray[np.float32], answers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Lift the former answer over what rounding to float32 has made equal to it."""
    moved = np.flatnonzero(tempered.argmax(axis=1) != answers)
    tempered[moved, answers[moved]] = np.nextafter(tempered[moved].max(axis=1), np.float32(2))
    return tempered


def _logits(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), LOG_LOSS_CLIP))


def _mean_loss(labels: NDArray[np.int64], logits: NDArray[np.float64], temperature: float) -> float:
    from scipy.special import log_softmax

    log_probabilities = log_softmax(logits / temperature, axis=1)
    return -float(log_probabilities[np.arange(len(labels)), labels].mean())


def calibrate(run: Run, *, name: str | None = None) -> Run:
    """Return a run whose probabilities are tempered with the temperature that suits its validation images best.

    Accuracy, F1 and every single answer stay the same; log-loss, Brier score and calibration error usually fall. The test
    images have no part in it.

    Parameters
    ----------
    run : Run
        A completed run with validation predictions. It stays as it is.
    name : str, optional
        What the new run is called; ``"<name>, calibrated"`` if None.

    Returns
    -------
    Run
        With tempered test and validation probabilities and the temperature in ``recipe["temperature"]``. It has no `model`,
        since the model's own output is not tempered: `apply_temperature` does that for new images.

    Raises
    ------
    RunError
        If the run has no validation or no test predictions.
    InvalidInputError
        If its predictions are not probabilities.

    Warns
    -----
    TransferKitWarning
        If the best temperature lies at an end of its range; see `fit_temperature`.

    References
    ----------
    .. [1] Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML, section 4.2. arXiv:1706.04599

    Examples
    --------
    >>> surely = np.tile([0.99, 0.01], (10, 1))
    >>> labels = np.array([0] * 9 + [1])
    >>> run = Run(
    ...     name="net",
    ...     class_names=("cat", "dog"),
    ...     test_probabilities=surely,
    ...     test_labels=labels,
    ...     validation_probabilities=surely,
    ...     validation_labels=labels,
    ...     seed=0,
    ... )
    >>> calibrated = calibrate(run)
    >>> round(run.metrics["calibration_error"], 3), round(calibrated.metrics["calibration_error"], 3)
    (0.09, 0.0)
    """
    _ = run.test_predictions  # raises if there are none
    if not len(run.validation_probabilities) and run.dataset.get("folds"):
        raise RunError(
            f"run {run.name!r} was cross-validated, and keeps no validation predictions, on which a temperature is fitted. Calibrate a run "
            "of train."
        )
    if not len(run.validation_probabilities):
        raise RunError(
            f"run {run.name!r} has no validation predictions, and a temperature is never fitted on the test images. Train "
            "with a validation split, for example load_fashion_mnist(validation=10_000), or give validation_probabilities= to Run.from_history."
        )
    fitted = fit_temperature(run.validation_labels, run.validation_probabilities)
    temperature = fitted * float(run.recipe.get("temperature", 1.0))
    return replace(
        run,
        name=f"{run.name}, calibrated" if name is None else name,
        test_probabilities=apply_temperature(run.test_probabilities, fitted),
        validation_probabilities=apply_temperature(run.validation_probabilities, fitted),
        recipe=run.recipe | {"temperature": temperature},
        key=derived_key(run, "temperature"),
        model=None,
        path=None,
    )
