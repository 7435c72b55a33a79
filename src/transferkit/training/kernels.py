"""The backend's faster kernels while a model trains, where it has some.

Keras 3 composes BatchNorm of elementary operations, each of which passes over the feature maps again; in TensorFlow on a CPU that
is the largest part of a MobileNet's training step. The fused kernel gives the same numbers to rounding. Convolutions in bfloat16, where
they are asked for, are matrix products if they can be: TensorFlow's own are slow on small maps. See ``benchmarks/``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from transferkit.backends import MatmulPrecision, chosen_backend
from transferkit.models.freezing import leaves


@contextmanager
def fast_kernels(model: Any, matmul_precision: MatmulPrecision = "float32") -> Iterator[None]:
    """Let the model's layers use the backend's faster kernels, and be plain Keras layers again afterwards.

    Parameters
    ----------
    model : keras.Model
        Built.
    matmul_precision : {"float32", "bfloat16"}, default "float32"
        What convolutions round their factors and results to.
    """
    backend = chosen_backend()
    lent: list[tuple[Any, str]] = []
    for layer in leaves(model):
        kernel: Callable[..., Any] | None = None
        if _is_batchnorm(layer):
            name, kernel = "call", backend.fused_batchnorm(layer)
        elif _is_convolution(layer):
            name, kernel = "convolution_op", backend.convolution(layer, matmul_precision)
        if kernel is not None:
            # Not a subclass: the model, its summary and its file must stay those of plain Keras.
            object.__setattr__(layer, name, kernel)
            lent.append((layer, name))
    try:
        with backend.multiplying(matmul_precision):
            yield
    finally:
        for layer, name in lent:
            object.__delattr__(layer, name)


def _is_batchnorm(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype == "float32"
        and not layer.synchronized
        and not layer.renorm
    )


def _is_convolution(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.built
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and layer.compute_dtype == "float32"
    )
