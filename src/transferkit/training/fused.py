"""TensorFlow's fused BatchNorm kernel while a model trains.

Keras 3 composes BatchNorm of elementary operations, each of which passes over the feature maps again; on a CPU that is the
largest part of a MobileNet's training step. The fused kernel gives the same numbers to rounding; see ``benchmarks/``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from transferkit.models.freezing import leaves


@contextmanager
def fused_batchnorm(model: Any) -> Iterator[None]:
    """Let the model's BatchNorm layers use the fused kernel in training mode, and be plain Keras layers again afterwards."""
    layers = [layer for layer in leaves(model) if _can_fuse(layer)]
    for layer in layers:
        # Not a subclass: the model, its summary and its file must stay those of plain Keras.
        object.__setattr__(layer, "call", _fused_call(layer))
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


def _fused_call(layer: Any) -> Any:
    plain = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable) or mask is not None:
            return plain(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels),
            tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels),
            epsilon=layer.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= (count - 1) / count  # the kernel divides by n - 1, Keras by n
        keep = layer.momentum
        layer.moving_mean.assign(layer.moving_mean * keep + mean * (1 - keep))
        layer.moving_variance.assign(layer.moving_variance * keep + variance * (1 - keep))
        return outputs

    return call
