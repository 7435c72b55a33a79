"""A batch that was left to the machine fits into the memory of its accelerator."""

from dataclasses import replace
from typing import Any

from transferkit.backends import chosen_backend
from transferkit.data.dataset import Dataset
from transferkit.errors import warn
from transferkit.features.loading import FeatureDataset
from transferkit.models.devices import batch_up_to
from transferkit.training.compiled import snapshot
from transferkit.training.identity import probe_network
from transferkit.training.losses import wants_one_hot
from transferkit.training.options import Steps

_SIGNS = ("resource_exhausted", "resourceexhausted", "outofmemory", "out of memory")


def fit_into_memory(model: Any, data: Dataset, steps: Steps) -> Steps:
    """Try one step on an accelerator, and halve the batch, with a warning, if its memory is too small for it.

    The step runs the whole model with the layers of the last phase, which trains most of them; then everything is put back.
    """
    if chosen_backend().accelerator() is None or isinstance(data, FeatureDataset):
        return steps
    batch_size = int(steps.batch_size or 1)
    restore = snapshot(model)
    try:
        steps.phases[-1].prepare(model)
        one_hot = wants_one_hot(model.loss, data.num_classes)
        probe_network(model, data, seed=steps.seed, one_hot=one_hot, images=batch_size)
    except Exception as error:
        half = batch_up_to(batch_size // 2, model)
        if not is_out_of_memory(error) or half == batch_size:
            raise
        warn(f"a step on {batch_size} images does not fit into the accelerator's memory; {half} are taken.")
        return replace(steps, batch_size=half)
    finally:
        restore()
    return steps


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is what a backend raises where an accelerator's memory is used up."""
    text = f"{type(error).__name__} {error}".lower()
    return any(sign in text for sign in _SIGNS)
