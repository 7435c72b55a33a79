"""The backend's fused BatchNorm kernel while a model trains, where it has one.

Keras 3 composes BatchNorm of elementary operations, each of which passes over the feature maps again; in TensorFlow on a CPU that
is the largest part of a MobileNet's training step. Its fused kernel gives the same numbers to rounding; see ``benchmarks/``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from transferkit.backends import chosen_backend
from transferkit.models.freezing import leaves


@contextmanager
def fused_batchnorm(model: Any) -> Iterator[None]:
    """Let the model's BatchNorm layers use the fused kernel in training mode, and be plain Keras layers again afterwards."""
    fused = [(layer, chosen_backend().fused_batchnorm(layer)) for layer in leaves(model) if _can_fuse(layer)]
    layers = [layer for layer, call in fused if call is not None]
    for layer, call in fused:
        if call is not None:  # not a subclass: the model, its summary and its file must stay those of plain Keras
            object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _can_fuse(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype == "float32"
        and not layer.synchronized
        and not layer.renorm
    )
