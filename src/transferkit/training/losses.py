"""What a loss is: plain cross-entropy or not, of class indices or of rows."""

from typing import Any

import keras
import numpy as np

_ROWS = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.CategoricalGeneralizedCrossEntropy,
    keras.losses.CategoricalHinge,
    keras.losses.KLDivergence,
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.SquaredHinge,
    keras.losses.Hinge,
    keras.losses.CosineSimilarity,
    keras.losses.Poisson,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.Dice,
    keras.losses.Tversky,
)

_ACCURACY = ("accuracy", "acc")
_OF_ROWS = {
    keras.metrics.SparseCategoricalAccuracy: keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy: keras.metrics.TopKCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy: keras.metrics.CategoricalCrossentropy,
}


def is_sparse_crossentropy(loss: Any) -> bool:
    """Whether a loss is plain cross-entropy of probabilities and integer labels."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return not loss.from_logits and loss.ignore_class is None
    return loss in ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)


def is_crossentropy(loss: Any) -> bool:
    """Whether a loss is cross-entropy of probabilities, of integer labels or of rows, so that its targets may be mixed."""
    if isinstance(loss, keras.losses.CategoricalCrossentropy):
        return not loss.from_logits
    known = ("categorical_crossentropy", keras.losses.categorical_crossentropy)
    return is_sparse_crossentropy(loss) or loss in known


def name_of_loss(loss: Any) -> str:
    """Return what a record and an error call a loss."""
    loss = getattr(loss, "func", loss)  # of functools.partial
    return str(loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__)


def metrics_of_rows(metrics: Any) -> list[Any]:
    """Return Keras's metrics of class indices as those of one-hot rows, under their names; accuracy alone if there are only others."""
    found: list[Any] = []
    for metric in keras.tree.flatten(metrics):
        if metric in _ACCURACY:
            found.append(metric)
            continue
        known = keras.metrics.get(metric) if isinstance(metric, str) else metric
        if (kind := _OF_ROWS.get(type(known))) is not None:
            config = known.get_config()
            config.pop("ignore_class", None)
            found.append(kind(**config))
    return found or [_ACCURACY[0]]


def wants_one_hot(loss: Any, num_classes: int) -> bool:
    """Whether a loss compares rows of probabilities, so that labels must be one-hot.

    Keras's own are known. One of the user's gets class indices, unless it cannot take them and takes rows.
    """
    found = _resolve(loss)
    if isinstance(found, keras.losses.SparseCategoricalCrossentropy) or found is None:
        return False
    function = getattr(found, "fn", found)
    if isinstance(found, _ROWS) or function in _functions():
        return True
    if getattr(type(found), "__module__", "").startswith("keras.") and not hasattr(found, "fn"):
        return False
    indices = (
        np.arange(num_classes + 1) % num_classes
    )  # one more than there are classes, so that nothing fits by chance
    predicted = np.full((len(indices), num_classes), 1.0 / num_classes, np.float32)
    return not _takes(found, indices, predicted) and _takes(
        found, np.eye(num_classes, dtype=np.float32)[indices], predicted
    )


def _resolve(loss: Any) -> Any:
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, dict) and len(loss) == 1:
        loss = next(iter(loss.values()))
    return keras.losses.get(loss) if isinstance(loss, str | dict) else loss


def _functions() -> set[Any]:
    return {getattr(kind(), "fn", None) for kind in _ROWS} - {None}


def _takes(loss: Any, targets: Any, predicted: Any) -> bool:
    try:
        value = keras.ops.convert_to_numpy(
            loss(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(predicted))
        )
    except Exception:  # noqa: BLE001 - a user's function raises what it likes
        return False
    return np.size(value) in (1, len(predicted))
