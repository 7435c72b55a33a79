"""The key of a training: a hash of everything that determines its result."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from transferkit import files
from transferkit.models.freezing import leaves
from transferkit.models.structure import layer_structure


def model_digest(model: Any) -> str:
    """Return one SHA-256 over the layers (without names and seeds), what trains, and all weights."""
    structures = [(layer.trainable, *layer_structure(layer)) for layer in leaves(model)]
    layers = [[kind, trainable, config] for trainable, kind, config in structures]
    weights = files.sha256_arrays(*(np.asarray(array) for array in model.get_weights()))
    return _digest([layers, weights])


def training_key(model: Any, *, fingerprint: str, recipe: dict[str, Any], seed: int) -> str:
    """Return the SHA-256 of model, data, recipe and seed."""
    return _digest([model_digest(model), fingerprint, recipe, seed])


def classifier_key(structure: Mapping[str, Any], *, fingerprint: str, seed: int) -> str:
    """Return the SHA-256 of a scikit-learn classifier's class and parameters, data and seed."""
    return _digest([structure, fingerprint, seed])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
