"""The exact optimum of a softmax layer on fixed features: multinomial logistic regression by L-BFGS."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.runs.metrics import compute_metrics
from transferkit.training.network import Network

# Inverse strengths of the L2 penalty on standardised features, from strong to weak: validation chooses among them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_WITHOUT_VALIDATION = 1e-2
_STEPS = 2_000
_BLOCK = 4_096


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted softmax layer.

    Parameters
    ----------
    kernel, bias : ndarray of float32, shapes (features, classes) and (classes,)
        For the features as they are.
    history : list of dict
        One row for each strength that was tried, as a run's epochs.
    chosen : int
        The row that counts, from 1.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    history: list[dict[str, Any]]
    chosen: int


def count_trials(data: Dataset) -> int:
    """Return how many strengths will be tried."""
    return len(STRENGTHS) if len(data.validation.labels) else 1


def describe_penalty(trials: int) -> str:
    """Return the penalty in words, as a report shows it."""
    if trials == 1:
        return f"L2 (C {_WITHOUT_VALIDATION:g})"
    return f"L2 (C chosen on validation among {', '.join(f'{strength:g}' for strength in STRENGTHS)})"


def softmax_layer(model: Any) -> Any:
    """Return the softmax layer of a model of which all but that layer (and dropout) is frozen.

    Raises
    ------
    InvalidInputError
        If the model is not of that kind.
    """
    try:
        prefix = find_prefix(model)
    except NoPrefixError as error:
        raise InvalidInputError(f"head='logistic' needs a frozen backbone: {error}.") from None
    layer = _single_dense(prefix)
    if layer is None:
        raise InvalidInputError(
            f"head='logistic' needs one trainable layer, a Dense softmax on a vector of features; {model.name!r} trains "
            f"more than that after {prefix.last_layer!r}."
        )
    return layer


def _single_dense(prefix: Prefix) -> Any:
    kinds = [step.operation for step in prefix.rest if not isinstance(step.operation, keras.layers.Dropout)]
    if not prefix.gives_vectors or len(kinds) != 1 or not isinstance(kinds[0], keras.layers.Dense):
        return None
    dense = kinds[0]
    return dense if dense.use_bias and dense.activation is keras.activations.softmax else None


def total_trials(tuning_trials: int, history: Sequence[Mapping[str, Any]]) -> int:
    """Return how many settings were tried before a run: the caller's number, times the penalties that a probe chose from."""
    return tuning_trials * max(1, sum("strength" in row for row in history))


def fit_probe(network: Network, data: Dataset, *, first_epoch: int) -> Probe:
    """Fit the softmax layer for each strength of the penalty and keep the one with the best validation log-loss.

    Parameters
    ----------
    network : Network
        Gives the features.
    data : Dataset
        Without a validation split the strength is fixed beforehand.
    first_epoch : int
        Number of the first row of the history.
    """
    features, labels = network.features(data.train.images), data.train.labels
    classes = np.unique(labels)
    if len(classes) < data.num_classes:
        raise InvalidInputError(f"head='logistic' needs images of every class; only {len(classes)} classes have any.")
    validation = network.features(data.validation.images) if len(data.validation.labels) else None
    standardised, mean, deviation = _standardise(features)
    history: list[dict[str, Any]] = []
    fitted = []
    for strength in STRENGTHS if validation is not None else (_WITHOUT_VALIDATION,):
        start = time.perf_counter()
        kernel, bias = _fit(standardised, labels, strength, data.num_classes)
        kernel = kernel / deviation[:, None]
        bias = bias - mean @ kernel
        fitted.append((kernel.astype(np.float32), bias.astype(np.float32)))
        row = {"epoch": first_epoch + len(history), "phase": "logistic", "strength": strength}
        row |= _scores("", features, labels, *fitted[-1])
        if validation is not None:
            row |= _scores("val_", validation, data.validation.labels, *fitted[-1])
        history.append(row | {"seconds": time.perf_counter() - start, "validation_seconds": 0.0})
    losses = [row.get("val_loss", row["loss"]) for row in history]
    best = int(np.argmin(losses))
    return Probe(*fitted[best], history, first_epoch + best)


def _standardise(features: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return features of mean 0 and standard deviation 1, with both; read in blocks, kept in memory once, in float32."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import gen_batches

    blocks = list(gen_batches(len(features), _BLOCK))
    scaler = StandardScaler()
    for block in blocks:
        scaler.partial_fit(features[block])
    mean, deviation = scaler.mean_, np.sqrt(scaler.var_)
    deviation[deviation < 1e-6 * (1.0 + np.abs(mean))] = np.inf  # a constant feature gets no weight
    standardised = np.empty(features.shape, np.float32)
    for block in blocks:
        standardised[block] = (features[block] - mean) / deviation
    return standardised, mean, deviation


def _fit(
    features: NDArray[Any], labels: NDArray[Any], strength: float, classes: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=_STEPS).fit(features, labels)
    kernel, bias = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if classes == 2:  # scikit-learn keeps the difference of the two columns
        return np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
    return kernel, bias


def _scores(
    prefix: str, features: NDArray[Any], labels: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any]
) -> dict[str, float]:
    from scipy.special import softmax

    metrics = compute_metrics(labels, softmax(features @ kernel + bias, axis=1).astype(np.float32))
    return {f"{prefix}loss": metrics["loss"], f"{prefix}accuracy": metrics["accuracy"]}
