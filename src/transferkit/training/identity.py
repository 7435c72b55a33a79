"""The key of a training: a hash of everything that determines its result."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras

from transferkit.models.compiling import fresh_optimizer
from transferkit.models.freezing import leaves
from transferkit.models.structure import layer_structure
from transferkit.runs.storage import weights_digest


def model_digest(model: Any) -> str:
    """Return one SHA-256 over the layers (without names and seeds), what trains, and all weights."""
    structures = [(layer.trainable, *layer_structure(layer)) for layer in leaves(model)]
    layers = [[kind, trainable, config] for trainable, kind, config in structures]
    return _digest([layers, weights_digest(model)])


def training_key(model: Any, *, fingerprint: str, recipe: dict[str, Any], seed: int) -> str:
    """Return the SHA-256 of model, data, recipe and seed, and of what is unusual about loss and optimiser."""
    unusual = _unusual(model)
    return _digest([model_digest(model), fingerprint, recipe, seed, *([unusual] if unusual else [])])


def is_sparse_crossentropy(loss: Any) -> bool:
    """Whether a loss is plain cross-entropy of probabilities and integer labels."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return not loss.from_logits and loss.ignore_class is None
    return loss in ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)


def _unusual(model: Any) -> dict[str, Any]:
    """Return the settings of loss and optimiser that a recipe does not tell and that are not the default."""
    optimizer = fresh_optimizer(model.optimizer)
    config = optimizer.get_config()
    try:
        default = type(optimizer)().get_config()
    except TypeError:  # an optimiser of one's own that cannot be made without arguments
        default = {}
    told = ("name", "learning_rate", "weight_decay")
    found = {name: value for name, value in config.items() if name not in told and value != default.get(name)}
    if isinstance(config.get("learning_rate"), Mapping):  # a schedule
        found["learning_rate"] = config["learning_rate"]
    if not is_sparse_crossentropy(model.loss):
        loss = model.loss
        found["loss"] = [type(loss).__name__, loss.get_config()] if hasattr(loss, "get_config") else _name(loss)
    return found


def _name(loss: Any) -> str:
    return (
        loss
        if isinstance(loss, str)
        else f"{getattr(loss, '__module__', '')}.{getattr(loss, '__qualname__', type(loss).__name__)}"
    )


def classifier_key(structure: Mapping[str, Any], *, fingerprint: str, seed: int) -> str:
    """Return the SHA-256 of a scikit-learn classifier's class and parameters, data and seed."""
    return _digest([structure, fingerprint, seed])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
