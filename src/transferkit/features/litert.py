"""Run converted layers with LiteRT: no Keras and no TensorFlow are imported for it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.features.threads import thread_count
from transferkit.progress import quietly

Compute = Callable[[NDArray[Any]], NDArray[np.float32]]
BATCH_SIZE = 64


def litert_engine(converted: bytes) -> Compute:
    """Return a function from images to features that runs converted layers, with as many threads as this process may have."""
    from ai_edge_litert.interpreter import Interpreter

    with quietly():
        interpreter = Interpreter(model_content=converted, num_threads=thread_count())
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        batch = np.zeros((BATCH_SIZE, *images.shape[1:]), images.dtype)
        batch[: len(images)] = images
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        return interpreter.get_tensor(result)[: len(images)]

    return partial(in_batches, compute)


def in_batches(compute: Compute, images: NDArray[Any], *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
    """Return the features of all images, computed in batches."""
    starts = range(0, len(images), batch_size)
    return np.concatenate([compute(np.asarray(images[start : start + batch_size])) for start in starts])
