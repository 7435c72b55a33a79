"""Multinomial logistic regression on kept features, and the softmax layer that takes its weights."""

import time
from dataclasses import dataclass
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.runs.metrics import compute_metrics
from transferkit.runs.records import EpochRecord
from transferkit.training.network import Engine, Network, choose_network, count_dead

# Inverse strengths of the L2 penalty on standardised features, from strong to weak: validation chooses among them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_WITHOUT_VALIDATION = 1e-2
_STEPS = 2_000
_BLOCK = 4_096
_LARGE_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Fitted:
    """How a softmax layer was fitted.

    Parameters
    ----------
    network : Network
        Gave the features.
    engine : {"auto", "litert", "keras"}
        What the network was asked to compute with.
    dead : list of int, optional
        See `count_dead`.
    history : list of EpochRecord
        One row for each strength of the penalty.
    chosen : int
        The row that counts, from 1.
    """

    network: Network
    engine: Engine
    dead: list[int] | None
    history: list[EpochRecord]
    chosen: int

    @property
    def seconds(self) -> float:
        """The time of all fits, without that of the features."""
        return sum(row["seconds"] for row in self.history)


def count_trials(data: Dataset) -> int:
    """Return how many strengths of the penalty are tried."""
    return len(STRENGTHS) if len(data.validation.labels) else 1


def penalty_in_words(trials: int) -> str:
    """Say how the penalty was chosen among so many."""
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
    return _frozen_and_softmax(model)[1]


def _frozen_and_softmax(model: Any) -> tuple[Prefix, Any]:
    try:
        prefix = find_prefix(model)
    except NoPrefixError as error:
        raise InvalidInputError(f"a logistic head needs a frozen backbone: {error}.") from None
    layer = _single_dense(prefix)
    if layer is None:
        raise InvalidInputError(
            f"a logistic head needs one trainable layer, a Dense softmax on a vector of features; {model.name!r} trains "
            f"more than that after {prefix.last_layer!r}."
        )
    return prefix, layer


def _single_dense(prefix: Prefix) -> Any:
    kinds = [step.operation for step in prefix.rest if not isinstance(step.operation, keras.layers.Dropout)]
    if not prefix.gives_vectors or len(kinds) != 1 or not isinstance(kinds[0], keras.layers.Dense):
        return None
    dense = kinds[0]
    return dense if dense.use_bias and dense.activation is keras.activations.softmax else None


def fit_softmax(model: Any, data: Dataset, *, engine: Engine, class_weight: NDArray[np.float32] | None) -> Fitted:
    """Give the softmax layer on a frozen backbone its exact optimum, on kept features.

    Raises
    ------
    InvalidInputError
        If the model is not of that kind, or a class has no training image.
    """
    prefix, layer = _frozen_and_softmax(model)
    engine = "keras" if engine == "plain" else engine
    images = sum(len(split.labels) for split in data)
    network = choose_network(model, data.train.images, engine=engine, expected=images, prefix=prefix)
    dead = count_dead(network, data)
    weights, history, chosen = _fit_strengths(network, data, class_weight)
    layer.set_weights(weights)
    return Fitted(network, engine, dead, history, chosen)


def _fit_strengths(
    network: Network, data: Dataset, class_weight: NDArray[np.float32] | None
) -> tuple[list[NDArray[np.float32]], list[EpochRecord], int]:
    """Fit for each strength of the penalty; return kernel and bias of the best validation log-loss, the rows, and which counts."""
    features, labels = network.features(data.train.images), data.train.labels
    classes = np.unique(labels)
    if len(classes) < data.num_classes:
        raise InvalidInputError(f"a logistic head needs images of every class; only {len(classes)} classes have any.")
    validation = network.features(data.validation.images) if len(data.validation.labels) else None
    standardised, mean, deviation = _standardise(features)
    history: list[EpochRecord] = []
    fitted: list[list[NDArray[np.float32]]] = []
    losses: list[Any] = []
    for strength in STRENGTHS if validation is not None else (_WITHOUT_VALIDATION,):
        start = time.perf_counter()
        kernel, bias = _fit(standardised, labels, strength, data.num_classes, class_weight)
        kernel = kernel / deviation[:, None]
        bias = bias - mean @ kernel
        fitted.append([kernel.astype(np.float32), bias.astype(np.float32)])
        scores = _scores("", features, labels, *fitted[-1])
        if validation is not None:
            scores |= _scores("val_", validation, data.validation.labels, *fitted[-1])
        losses.append(scores.get("val_loss", scores["loss"]))
        row = {"epoch": 1 + len(history), "phase": "logistic", "strength": strength, **scores}
        row |= {"seconds": time.perf_counter() - start, "validation_seconds": 0.0}
        history.append(cast("EpochRecord", row))
    best = int(np.argmin(losses))
    return fitted[best], history, 1 + best


def _standardise(features: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return features of mean 0 and standard deviation 1, with both; read in blocks, kept once, in float32."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import gen_batches

    blocks = list(gen_batches(len(features), _BLOCK))
    scaler = StandardScaler()
    for block in blocks:
        scaler.partial_fit(features[block])
    mean, deviation = scaler.mean_, np.sqrt(scaler.var_)
    deviation[deviation < 1e-6 * (1.0 + np.abs(mean))] = np.inf  # a constant feature gets no weight
    large = features.nbytes > _LARGE_BYTES  # on disk then: scikit-learn reads a memory map in place
    standardised = files.temporary_array(features.shape, np.float32) if large else np.empty(features.shape, np.float32)
    for block in blocks:
        standardised[block] = (features[block] - mean) / deviation
    return standardised, mean, deviation


def _fit(
    features: NDArray[Any],
    labels: NDArray[Any],
    strength: float,
    classes: int,
    class_weight: NDArray[np.float32] | None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.linear_model import LogisticRegression

    weights = None if class_weight is None else dict(enumerate(class_weight.tolist()))
    model = LogisticRegression(C=strength, max_iter=_STEPS, class_weight=weights).fit(features, labels)
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
