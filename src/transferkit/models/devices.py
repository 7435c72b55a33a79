"""Several devices of one machine that share each batch: ``tf.distribute`` on TensorFlow, ``keras.distribution`` on JAX."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.backends import chosen_backend


def even(count: int, model: Any) -> int:
    """Return the most images, of so many, that divide among the devices of a model."""
    return count - count % chosen_backend().replicas(model)


def predict_batch(model: Any, inputs: NDArray[Any]) -> NDArray[Any]:
    """Return what a model gives for one batch, on however many devices.

    JAX refuses a batch that does not divide among its devices, and a mirrored TensorFlow model answers once on each of them.
    """
    missing = -len(inputs) % chosen_backend().replicas(model)
    padded = np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]) if missing else inputs
    return np.asarray(model.predict_on_batch(padded))[: len(inputs)]
