"""The exact optimum of a softmax layer on a frozen backbone: multinomial logistic regression by L-BFGS."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from transferkit import files
from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.runs.metrics import compute_metrics
from transferkit.runs.records import EpochRecord, PhaseRecord, ProbeRecord, Recipe
from transferkit.runs.run import Run
from transferkit.training.class_weights import describe_class_weight, weights_of_classes
from transferkit.training.compiled import unchanged_on_error
from transferkit.training.contract import Outcome
from transferkit.training.description import count_parameters, describe_model
from transferkit.training.identity import identify_network
from transferkit.training.keeping import keep
from transferkit.training.network import Engine, Network, choose_network
from transferkit.training.options import HeadOptions, HeadRecipe, takes
from transferkit.training.record import check_data
from transferkit.training.steps import check_trainable, count_dead, predictor_for, seconds_for_test

# Inverse strengths of the L2 penalty on standardised features, from strong to weak: validation chooses among them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_WITHOUT_VALIDATION = 1e-2
_STEPS = 2_000
_BLOCK = 4_096
_LARGE_BYTES = 1 << 30


@takes(HeadRecipe)
def fit_head(model: Any, data: Dataset, **options: Unpack[HeadOptions]) -> Run:
    """Fit the softmax layer on a frozen backbone exactly, instead of in gradient steps, and record everything about it.

    Multinomial logistic regression by L-BFGS (scikit-learn) on the features of the frozen layers, with the L2 penalty that has
    the best validation log-loss. The history has one row for each penalty tried; each counts as a setting tried. Up to
    1 GB the features of all training images are in memory, above that on disk.

    Parameters
    ----------
    model : keras.Model
        A compiled classifier on raw uint8 pixels that trains one softmax layer on a vector of features and nothing else, as
        `build_transfer_model` makes it.
    data : Dataset
        Images, or features from `load_features`. Its training split is fitted, its validation split chooses the penalty, its test split is measured. Without a
        validation split the penalty is fixed beforehand.
    seed : int, default 0
        Chooses the training images on which the training accuracy is measured; nothing else is random.
    name : str, optional
        What tables and plots call the run; the model's name if None.
    class_weight : "balanced" or dict, optional
        How much each class counts in the fit; see `train`. The choice of the penalty is not weighted.
    engine : {"auto", "litert", "keras", "plain"}, default "auto"
        What computes the frozen layers; see `train`. ``"plain"`` means Keras here.
    folder, save_as, tuning_trials, overwrite, verbose
        See `train`.

    Returns
    -------
    Run
        With the phase ``"logistic"``. The model's softmax layer has the weights found.

    Raises
    ------
    InvalidInputError
        If the model trains anything else, or a class has no training image.
    DataError
        If the images or classes do not fit the model.
    RunError
        If `folder` holds a finished run of that name that is another training.

    Examples
    --------
    >>> import keras
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> trained = tk.build_cnn(preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(trained.inputs, trained.get_layer("pool").output)
    >>> run = tk.fit_head(tk.build_transfer_model(backbone, freeze=True), data, verbose=False)
    >>> run.history_frame()["strength"].tolist()
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    recipe = HeadRecipe(**options)
    check_trainable(model, check_data(data), engine=recipe.engine)
    softmax_layer(model)  # raises if there is none that could be fitted
    return keep(LogisticHead(model, data, recipe), recipe)


class LogisticHead:
    """One fit of a softmax layer, from the features to its outcome."""

    def __init__(self, model: Any, data: Dataset, recipe: HeadRecipe) -> None:
        self.model, self.data, self._recipe = model, data, recipe
        self.name = recipe.name or model.name
        trials = len(STRENGTHS) if len(data.validation.labels) else 1
        self.recipe: Recipe = {
            "head": "logistic",
            "epochs": trials,
            "optimizer": "L-BFGS",
            "augment": [],
            "penalty": _penalty_in_words(trials),
            **describe_class_weight(recipe.class_weight, data),
        }
        self.identity = identify_network(
            model, data, recipe=self.recipe, settings={}, callbacks=(), seed=recipe.seed, compiled=False
        )

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that gives the model back as it was if an exception ends it."""
        return unchanged_on_error(self.model)

    def probe(self) -> ProbeRecord | None:
        """Return None: the loss that a logistic regression minimises is no code of the model's."""
        return None

    def take_up(self, finished: Run) -> bool:
        """Give the model the weights of a finished run."""
        if finished.weights_file is None:
            return False
        self.model.load_weights(finished.weights_file)
        return True

    def fit(self, checkpoint: Path | None) -> Outcome:  # noqa: ARG002 - it takes seconds
        """Fit the layer and give it the weights found."""
        model, data, start = self.model, self.data, time.perf_counter()
        expected = len(data.train.labels) + len(data.validation.labels) + len(data.test.labels)
        engine: Engine = "keras" if self._recipe.engine == "plain" else self._recipe.engine
        network = choose_network(model, data.train.images, engine=engine, expected=expected)
        dead = count_dead(network, data)
        fitted = _fit_strengths(network, data, weights_of_classes(self._recipe.class_weight, data))
        softmax_layer(model).set_weights([fitted.kernel, fitted.bias])
        seconds = time.perf_counter() - start
        phase: PhaseRecord = {
            "name": "logistic",
            "epochs": len(fitted.history),
            "trainable_parameters": count_parameters(model.trainable_weights),
            "engine": network.engine,
            "seconds": seconds,
            "preparation_seconds": seconds - sum(row["seconds"] for row in fitted.history),
            "validation_seconds": 0.0,
            "images": len(fitted.history) * len(data.train.labels),
            "images_per_second": len(fitted.history) * len(data.train.labels) / seconds,
        }
        if network.cache is not None:
            phase = {**phase, "features_computed": network.cache.computed}
        validates = len(data.validation.labels) > 0
        return Outcome(
            status="completed",
            history=fitted.history,
            phases=[phase],
            model_info=describe_model(model, engine=network.engine, dead=dead),
            predict=predictor_for(model, data, self._recipe.seed, engine=engine, network=network),
            selection="validation" if validates else "last",
            selected_epoch=fitted.chosen,
            trials=len(fitted.history),
            test_seconds=lambda: seconds_for_test(model, data),
        )

    def interrupted(self) -> Outcome:
        """Return nothing but that it was interrupted."""
        info = describe_model(self.model, engine="plain", dead=None)
        return Outcome("interrupted", [], [], info, None, "none")


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A fitted softmax layer, for the features as they are, with one row of history for each strength and the one that counts."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    history: list[EpochRecord]
    chosen: int


def _penalty_in_words(trials: int) -> str:
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
        raise InvalidInputError(f"a logistic head needs a frozen backbone: {error}.") from None
    layer = _single_dense(prefix)
    if layer is None:
        raise InvalidInputError(
            f"a logistic head needs one trainable layer, a Dense softmax on a vector of features; {model.name!r} trains "
            f"more than that after {prefix.last_layer!r}."
        )
    return layer


def _single_dense(prefix: Prefix) -> Any:
    kinds = [step.operation for step in prefix.rest if not isinstance(step.operation, keras.layers.Dropout)]
    if not prefix.gives_vectors or len(kinds) != 1 or not isinstance(kinds[0], keras.layers.Dense):
        return None
    dense = kinds[0]
    return dense if dense.use_bias and dense.activation is keras.activations.softmax else None


def _fit_strengths(network: Network, data: Dataset, class_weight: NDArray[np.float32] | None) -> _Fitted:
    """Fit the softmax layer for each strength of the penalty and keep the one with the best validation log-loss."""
    features, labels = network.features(data.train.images), data.train.labels
    classes = np.unique(labels)
    if len(classes) < data.num_classes:
        raise InvalidInputError(f"a logistic head needs images of every class; only {len(classes)} classes have any.")
    validation = network.features(data.validation.images) if len(data.validation.labels) else None
    standardised, mean, deviation = _standardise(features)
    history: list[EpochRecord] = []
    fitted, losses = [], []
    for strength in STRENGTHS if validation is not None else (_WITHOUT_VALIDATION,):
        start = time.perf_counter()
        kernel, bias = _fit(standardised, labels, strength, data.num_classes, class_weight)
        kernel = kernel / deviation[:, None]
        bias = bias - mean @ kernel
        fitted.append((kernel.astype(np.float32), bias.astype(np.float32)))
        scores = _scores("", features, labels, *fitted[-1])
        if validation is not None:
            scores |= _scores("val_", validation, data.validation.labels, *fitted[-1])
        losses.append(scores.get("val_loss", scores["loss"]))
        row = {"epoch": 1 + len(history), "phase": "logistic", "strength": strength, **scores}
        row |= {"seconds": time.perf_counter() - start, "validation_seconds": 0.0}
        history.append(cast("EpochRecord", row))
    best = int(np.argmin(losses))
    return _Fitted(*fitted[best], history, 1 + best)


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
