"""What a record says of the recipe and of the model."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, cast

from transferkit.data.dataset import Dataset
from transferkit.models.devices import images_an_epoch
from transferkit.models.freezing import leaves
from transferkit.models.keras_internals import inner_optimizer, overrides, rate_of
from transferkit.models.weights import weights_provenance
from transferkit.runs.records import ModelRecord, Provenance, Recipe
from transferkit.runs.storage import weights_digest
from transferkit.training.batchnorm import STATISTICS_IMAGES, has_batchnorm
from transferkit.training.class_weights import describe_class_weight
from transferkit.training.logistic import count_trials, penalty_in_words
from transferkit.training.losses import is_sparse_crossentropy, name_of_loss
from transferkit.training.options import BodyPhase, ExactHeadPhase, Phase, Steps


def describe_recipe(model: Any, steps: Steps, views: Mapping[Phase, int | None], data: Dataset) -> Recipe:
    """Return everything that determines the result besides model, data and seed, as far as plain values can say it."""
    optimizer = inner_optimizer(model.optimizer)
    final, rate = steps.phases[-1], rate_of(optimizer)
    adapts = not isinstance(final, BodyPhase) or final.batch_norm
    callbacks = [type(callback).__name__ for callback in steps.callbacks]
    recipe: Recipe = {
        "epochs": sum(phase.epochs for phase in steps.phases),
        "batch_size": cast("int", steps.batch_size),
        "optimizer": type(optimizer).__name__,
        "learning_rate": _rate_in_words(rate if final.learning_rate is None else final.learning_rate),
        "weight_decay": getattr(optimizer, "weight_decay", None),
        "schedule": final.schedule,
        "warmup_epochs": final.warmup_epochs,
        "augment": list(steps.augmentations),
        "label_smoothing": steps.label_smoothing,
        "batchnorm_images": STATISTICS_IMAGES if has_batchnorm(model) and adapts else None,
        "phases": [phase.describe(views=views[phase]) for phase in steps.phases],
    }
    if not is_sparse_crossentropy(model.loss):
        recipe = {**recipe, "loss": name_of_loss(model.loss)}
    recipe = {**recipe, **describe_class_weight(steps.class_weight, data)}
    if steps.early_stopping is not None:
        recipe = {**recipe, "early_stopping": steps.early_stopping}
    if steps.average_weights is not None:
        recipe = {**recipe, "average_weights": float(steps.average_weights)}
    if steps.matmul_precision != "float32":
        recipe = {**recipe, "matmul_precision": steps.matmul_precision}
    if isinstance(final, BodyPhase) and final.layer_decay is not None:
        recipe = {**recipe, "layer_decay": final.layer_decay}
    if isinstance(steps.phases[0], ExactHeadPhase):
        recipe = {**recipe, "head": "logistic", "penalty": penalty_in_words(count_trials(data))}
    images = len(data.train.labels)
    if (left_out := images - images_an_epoch(images, recipe["batch_size"], model)) > 0:
        recipe = {**recipe, "left_out_of_an_epoch": left_out}
    return {**recipe, "callbacks": callbacks} if callbacks else recipe


def _rate_in_words(rate: Any) -> float | str:
    return "schedule of the optimiser" if callable(rate) else rate


def describe_model(model: Any, *, engine: str, dead: list[int] | None) -> ModelRecord:
    """Return sizes, where the weights came from, what computed the frozen layers, and how many features are dead."""
    provenance, own = weights_provenance(model), overrides(model)
    record: ModelRecord = {
        "name": model.name,
        "parameters": int(model.count_params()),
        "trainable_parameters": count_parameters(model.trainable_weights),
        "layers": sum(1 for _ in leaves(model)),
        "provenance": None if provenance is None else cast("Provenance", asdict(provenance)),
        "engine": engine,
        "dead_features": dead,
        "weights_sha256": weights_digest(model),
    }
    for backbone in (layer for layer in model.layers if layer.name == "backbone" and provenance is not None):
        record = {**record, "trainable_backbone_parameters": count_parameters(backbone.trainable_weights)}
    return {**record, "own_code": own} if own else record


def count_parameters(variables: Iterable[Any]) -> int:
    """Return how many numbers the variables hold."""
    return int(sum(math.prod(variable.shape) for variable in variables))
