"""The comparison's table: one row a model, plain numbers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from transferkit.compare.compared_model import ComparedModel
from transferkit.runs.run import Run
from transferkit.statistics.intervals import accuracy_interval
from transferkit.statistics.seeds_and_images import spread_of_mean

if TYPE_CHECKING:
    import pandas as pd

RESULTS: Final = (
    "accuracy",
    "difference",
    "loss",
    "f1_macro",
    "parameters",
    "trainable_parameters",
    "train_seconds",
    "images_per_second",
    "overfit_gap",
)
"""What is always printed."""

SEEDS: Final = ("seeds", "accuracy_sd", "seed_interval")
"""What is printed only where a model was trained with more than one seed."""

CONDITIONS: Final = (
    "train_size",
    "validation_size",
    "labels_per_class",
    "image_size",
    "epochs",
    "augment",
    "tuning_trials",
    "selection",
)
"""What is printed only where the runs differ in it."""

SETTINGS: Final = (
    "learning_rate",
    "schedule",
    "batch_size",
    "optimizer",
    "loss",
    "label_smoothing",
    "class_weight",
    "average_weights",
    "early_stopping",
    "layer_decay",
    "temperature",
    "test_time_augment",
)
"""What else of a recipe is pointed out where runs that have it differ in it; it has no column."""

_ABSENT: Final = dict.fromkeys(
    ("loss", "class_weight", "average_weights", "early_stopping", "layer_decay", "test_time_augment")
)
"""What a recipe of stepwise training leaves out where it is as usual: plain cross-entropy, for instance."""


def count_epochs(run: Run) -> int | None:
    """Return how many epochs were trained, by the history or else the recipe."""
    if run.history:
        return len(run.history)
    value = run.recipe.get("epochs")
    return int(value) if isinstance(value, int | float) else None


def list_augmentations(run: Run) -> str:
    """Return the names of the augmentations, separated by commas; empty if there are none."""
    value = run.recipe.get("augment") or ()
    return value if isinstance(value, str) else ", ".join(str(item) for item in value)


def build_table(models: Sequence[ComparedModel], baseline: str | None) -> "pd.DataFrame":
    """Return one row a model with plain numbers: fractions from 0 to 1, seconds, counts; NaN where unknown.

    Parameters
    ----------
    models : sequence of ComparedModel
        Models whose runs `check_fair` let pass.
    baseline : str or None
        The model from which differences are taken.

    Returns
    -------
    DataFrame
        Indexed by name. Results are means over the completed runs of a model.
    """
    import pandas as pd

    reference = next((model.mean("accuracy") for model in models if model.name == baseline), math.nan)
    rows = [_results(model, reference) | _conditions(model.example) for model in models]
    return pd.DataFrame(rows, index=pd.Index([model.name for model in models], name="name"))


def _results(model: ComparedModel, reference: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": model.status,
        "seeds": len(model.completed),
        "unfinished": len(model.runs) - len(model.completed),
        "added_seeds": len(model.added_seeds),
    }
    if model.completed:
        row |= _accuracy(model)
        row |= {
            "difference": row["accuracy"] - reference,
            "loss": model.mean("loss"),
            "f1_macro": model.mean("f1_macro"),
            "balanced_accuracy": float(model.scores("balanced_accuracy").mean()),
        }
    else:
        names = (
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "accuracy_sd",
            "seed_low",
            "seed_high",
            "difference",
            "loss",
            "f1_macro",
            "balanced_accuracy",
        )
        row |= dict.fromkeys(names, math.nan)
    runs = model.completed or model.runs[:1]
    for name in ("parameters", "trainable_parameters", "train_seconds", "images_per_second", "overfit_gap"):
        row[name] = _mean([getattr(run, name) for run in runs])
    return row


def _accuracy(model: ComparedModel) -> dict[str, float]:
    """Return accuracy with its interval, and what comes from the seeds alone where there are several."""
    low, high = accuracy_interval(model.correct, model.clusters)
    row = {"accuracy": model.mean("accuracy"), "accuracy_low": low, "accuracy_high": high}
    row |= dict.fromkeys(("accuracy_sd", "seed_low", "seed_high"), math.nan)
    if len(model.completed) > 1:
        seed_low, seed_high = spread_of_mean(model.correct).seed_interval(row["accuracy"])
        row["seed_low"], row["seed_high"] = max(seed_low, 0.0), min(seed_high, 1.0)
        row["accuracy_sd"] = float(model.accuracies.std(ddof=1))
    return row


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _conditions(run: Run) -> dict[str, Any]:
    return {
        "train_size": run.dataset.get("train_size"),
        "validation_size": run.dataset.get("validation_size"),
        "labels_per_class": run.dataset.get("labels_per_class"),
        "image_size": _image_size(run),
        "epochs": count_epochs(run),
        "augment": list_augmentations(run),
        "tuning_trials": run.tuning_trials,
        "selection": run.selection,
    }


def _image_size(run: Run) -> int | None:
    size = run.provenance.get("image_size")
    return size if isinstance(size, int) else None


def differing_conditions(runs: Sequence[Run]) -> list[str]:
    """Return the names of the conditions in which the runs are not all alike."""
    rows = [_conditions(run) for run in runs]
    values = {name: {row[name] for row in rows} for name in CONDITIONS}
    values["image_size"].discard(None)  # only backbones resize: a network of another kind is no difference in it
    return [name for name in CONDITIONS if len(values[name]) > 1]


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """Return in which settings of stepwise training the runs that have them are not all alike."""
    recipes = [_ABSENT | run.recipe if "batch_size" in run.recipe else run.recipe for run in runs]
    # A temperature is fitted to each run, so only whether one was says something; False and 0 are as good as None.
    values = [recipe | {"temperature": "temperature" in run.recipe} for recipe, run in zip(recipes, runs, strict=True)]
    return [name for name in SETTINGS if len({repr(value[name] or None) for value in values if name in value}) > 1]
