"""The key of a training: a hash of everything that determines its result."""

import hashlib
import json
from typing import Any

import numpy as np

from transferkit import files
from transferkit.models.freezing import leaves


def model_digest(model: Any) -> str:
    """Return one SHA-256 over the layers (without names and seeds), what trains, and all weights."""
    layers = [
        [type(layer).__name__, layer.trainable, _without(layer.get_config(), ("name", "seed"))]
        for layer in leaves(model)
    ]
    weights = files.sha256_arrays(*(np.asarray(array) for array in model.get_weights()))
    return _digest([layers, weights])


def training_key(model: Any, *, fingerprint: str, recipe: dict[str, Any], seed: int) -> str:
    """Return the SHA-256 of model, data, recipe and seed."""
    return _digest([model_digest(model), fingerprint, recipe, seed])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(entry, names) for key, entry in value.items() if key not in names}
    if isinstance(value, list | tuple):
        return [_without(entry, names) for entry in value]
    return value
