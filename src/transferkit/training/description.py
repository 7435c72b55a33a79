"""What a record says of the recipe and of the model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from transferkit.models.compiling import fresh_optimizer
from transferkit.models.freezing import leaves
from transferkit.models.weights import weights_provenance
from transferkit.runs.storage import weights_digest
from transferkit.training.batchnorm import STATISTICS_IMAGES, has_batchnorm
from transferkit.training.options import Phase, Settings
from transferkit.training.probe import describe_penalty


def describe_recipe(model: Any, phases: Sequence[Phase], settings: Settings) -> dict[str, Any]:
    """Return everything that determines the result besides model, data and seed."""
    if phases[-1].name == "logistic":
        penalty = describe_penalty(phases[-1].epochs)
        return {"epochs": phases[-1].epochs, "optimizer": "L-BFGS", "augment": [], "penalty": penalty}
    optimizer = fresh_optimizer(model.optimizer)
    config = optimizer.get_config()
    final = phases[-1]
    own = config["learning_rate"] if isinstance(config["learning_rate"], float) else "schedule of the optimiser"
    return {
        "epochs": sum(phase.epochs for phase in phases),
        "batch_size": settings.batch_size,
        "optimizer": type(optimizer).__name__,
        "learning_rate": own if final.learning_rate is None else final.learning_rate,
        "weight_decay": config.get("weight_decay"),
        "schedule": final.schedule,
        "warmup_epochs": final.warmup_epochs,
        "augment": list(settings.augmentations),
        "label_smoothing": settings.label_smoothing,
        "batchnorm_images": STATISTICS_IMAGES if has_batchnorm(model) else None,
        "phases": [phase.describe() for phase in phases],
    }


def describe_callbacks(settings: Settings) -> dict[str, Any]:
    """Return the classes of the caller's own callbacks, if there are any."""
    names = [type(callback).__name__ for callback in settings.callbacks]
    return {"callbacks": names} if names else {}


def describe_model(model: Any, *, engine: str, dead: list[int] | None) -> dict[str, Any]:
    """Return sizes, where the weights came from, what computed the frozen layers, and how many features are dead."""
    provenance = weights_provenance(model)
    return {
        "name": model.name,
        "parameters": int(model.count_params()),
        "trainable_parameters": count_parameters(model.trainable_weights),
        "layers": sum(1 for _ in leaves(model)),
        "provenance": None if provenance is None else asdict(provenance),
        "engine": engine,
        "dead_features": dead,
        "weights_sha256": weights_digest(model),
    }


def count_parameters(variables: Iterable[Any]) -> int:
    """Return how many numbers the variables hold."""
    return int(sum(math.prod(variable.shape) for variable in variables))
