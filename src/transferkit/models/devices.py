"""What an accelerator, or several that share each batch, ask of the batches.

Several share a batch by ``tf.distribute`` on TensorFlow and ``keras.distribution`` on JAX.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.backends import chosen_backend


def even(count: int, model: Any) -> int:
    """Return the most images, of so many, that divide among the devices of a model."""
    return count - count % chosen_backend().replicas(model)


def batch_up_to(size: int, model: Any) -> int:
    """Return the largest batch of at most so many images that divides among the devices of a model, of one image each at least."""
    return max(even(size, model), chosen_backend().replicas(model))


def images_an_epoch(count: int, batch_size: int, model: Any) -> int:
    """Return how many of the training images an epoch takes.

    All that divide among the devices; on an accelerator whole batches alone, since a shorter one would be another program to compile.
    """
    if count >= batch_size and chosen_backend().accelerator() is not None:
        return count - count % batch_size
    return even(count, model)


def size_of_looks(count: int, model: Any) -> int:
    """Return the batch size for images that are not trained on: on an accelerator one without a shorter last batch, if there is one."""
    size = even(256, model)
    if count <= size or chosen_backend().accelerator() is None:
        return size
    whole = (fit for fit in range(2 * size, size // 2, -1) if count % fit == 0 and even(fit, model) == fit)
    return next(whole, size)


def predict_batch(model: Any, inputs: NDArray[Any], *, size: int | None = None) -> NDArray[Any]:
    """Return what a model gives for one batch of several of `size`, on however many devices.

    An accelerator would compile another program for the last, shorter one. JAX refuses a batch that does not divide among its
    devices, and a mirrored TensorFlow model answers once on each of them.
    """
    backend = chosen_backend()
    whole = backend.replicas(model) if size is None or backend.accelerator() is None else size
    missing = -len(inputs) % whole
    padded = np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]) if missing else inputs
    return np.asarray(model.predict_on_batch(padded))[: len(inputs)]
