"""How long a network takes to predict on this machine, measured once an hour: the same network has one time, whatever trained it."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from transferkit import files
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, StorageError
from transferkit.features.loading import FeatureDataset
from transferkit.models.devices import predict_batch
from transferkit.training.environment import describe_environment

_TIMED_IMAGES, _TIMED_BATCH = 96, 32  # as many as Keras predicts at once
_KEPT_SECONDS = 3600


def seconds_for_test(model: Any, data: Dataset, *, network: str | None) -> float:
    """Return how long Keras takes for all test images, from the median rate of some batches.

    Parameters
    ----------
    network : str, optional
        What tells this network from others; without it, nothing is kept.
    """
    if network is None:
        return _seconds_of_image(model, data) * len(data.test.labels)
    facts = [network, data.image_shape, describe_environment()]
    name = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
    return _kept(name, lambda: _seconds_of_image(model, data)) * len(data.test.labels)


def _seconds_of_image(model: Any, data: Dataset) -> float:
    images = data.test.images[:_TIMED_IMAGES]
    if isinstance(data, FeatureDataset):  # the time is that of any images
        images = np.random.default_rng(0).integers(0, 256, (len(images), *data.image_shape), np.uint8)
    size = min(_TIMED_BATCH, len(images))
    predict_batch(model, images[:size])
    seconds = []
    for first in range(0, len(images) - size + 1, size):  # a shorter one would be compiled anew
        batch = images[first : first + size]
        start = time.perf_counter()
        predict_batch(model, batch)
        seconds.append((time.perf_counter() - start) / len(batch))
    return float(np.median(seconds))


def _kept(name: str, measure: Callable[[], float]) -> float:
    path = files.cache_home() / "seconds" / f"{name}.json"
    with suppress(OSError, DataError, KeyError, TypeError):  # none, or damaged
        record = files.read_sealed_json(path)
        if 0 <= time.time() - record["measured"] < _KEPT_SECONDS:
            return float(record["seconds"])
    seconds = measure()
    with suppress(OSError, StorageError):  # a disk that is full or read-only costs a measurement each time
        files.write_sealed_json(path, {"seconds": seconds, "measured": time.time()})
    return seconds
