"""From runs to the comparison table: plain numbers first, formatted cells second."""

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from transferkit.compare.model_runs import ModelRuns
from transferkit.compare.texts import texts_in
from transferkit.runs.run import Run
from transferkit.runs.spread import accuracy_interval, decimals_for, interval

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

SETTINGS: Final = ("learning_rate", "batch_size", "optimizer")
"""What else of a recipe is pointed out where runs that have it differ in it; it has no column."""


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


def build_table(models: Sequence[ModelRuns], baseline: str | None) -> "pd.DataFrame":
    """Return one row a model with plain numbers: fractions from 0 to 1, seconds, counts; NaN where unknown.

    Parameters
    ----------
    models : sequence of ModelRuns
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


def _results(model: ModelRuns, reference: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": model.status,
        "seeds": len(model.completed),
        "unfinished": len(model.runs) - len(model.completed),
    }
    if model.completed:
        row |= _accuracy(model)
        row |= {
            "difference": row["accuracy"] - reference,
            "loss": model.mean("loss"),
            "f1_macro": model.mean("f1_macro"),
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
        )
        row |= dict.fromkeys(names, math.nan)
    runs = model.completed or model.runs[:1]
    for name in ("parameters", "trainable_parameters", "train_seconds", "images_per_second", "overfit_gap"):
        row[name] = _mean([getattr(run, name) for run in runs])
    return row


def _accuracy(model: ModelRuns) -> dict[str, float]:
    """Return accuracy with its interval, and what comes from the seeds alone where there are several."""
    low, high = accuracy_interval(model.correct)
    row = {"accuracy": model.mean("accuracy"), "accuracy_low": low, "accuracy_high": high}
    row |= dict.fromkeys(("accuracy_sd", "seed_low", "seed_high"), math.nan)
    if len(model.completed) > 1:
        count = len(model.completed)
        seed_low, seed_high = interval(row["accuracy"], model.accuracies.var(ddof=1) / count, count - 1)
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
    return [name for name in SETTINGS if len({repr(run.recipe[name]) for run in runs if name in run.recipe}) > 1]


def format_duration(seconds: float, texts: dict[str, str]) -> str:
    """Return a duration in words.

    Examples
    --------
    >>> format_duration(250, texts_in("en"))
    '4 min 10 s'
    """
    if round(seconds, 1) < 60:
        return texts["seconds"].format(seconds=seconds)
    whole = round(seconds)
    if whole < 3600:
        return texts["minutes"].format(minutes=whole // 60, seconds=whole % 60)
    minutes = round(seconds / 60)
    return texts["hours"].format(hours=minutes // 60, minutes=minutes % 60)


def format_points(fraction: float, decimals: int) -> str:
    """Return a signed difference in percentage points.

    Examples
    --------
    >>> format_points(-0.0331, 2)
    '−3.31'
    """
    text = f"{100 * fraction:+.{decimals}f}"
    if not float(text):
        text = text.lstrip("+-")  # neither +0.00 nor -0.00
    return text.replace("-", "−")


def format_cells(
    models: Sequence[ModelRuns], table: "pd.DataFrame", baseline: str | None, language: str
) -> list[list[str]]:
    """Return the printed table: the heading first, then one row a model.

    Parameters
    ----------
    models : sequence of ModelRuns
        The models of the table, in its order.
    table : DataFrame
        What `build_table` returned.
    baseline : str or None
        The model marked as baseline.
    language : {"en", "ko"}
        Language of the heading and units.

    Returns
    -------
    list of list of str
        Cells; conditions in which all models agree are left out, and what concerns seeds if each has one.
    """
    texts = texts_in(language)
    decimals = decimals_for(max(len(run.test_labels) for model in models for run in model.runs))
    seeds = SEEDS if any(len(model.runs) > 1 for model in models) else ()
    columns = [RESULTS[0], *seeds, *RESULTS[1:], *differing_conditions([model.example for model in models])]
    if len(models) == 1:
        columns.remove("difference")
    heading = [texts["column_name"], *(texts[f"column_{name}"] for name in columns)]
    rows = [heading]
    for model, row in zip(models, table.to_dict(orient="records"), strict=True):
        values = {str(name): value for name, value in row.items()}
        cells = [_format_cell(name, values, model.name == baseline, texts, decimals) for name in columns]
        rows.append([model.name, *cells])
    return rows


def _format_cell(name: str, row: dict[str, Any], is_baseline: bool, texts: dict[str, str], decimals: int) -> str:
    if name == "accuracy":
        if row["status"] != "completed":
            return texts["not_comparable"].format(reason=texts[row["status"]])
        low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
        return f"{row[name]:.{decimals}%} [{low:.{decimals}f}, {high:.{decimals}f}]"
    if name == "seeds":
        total = row["seeds"] + row["unfinished"]
        return texts["seeds_of"].format(seeds=row["seeds"], total=total) if row["unfinished"] else str(row["seeds"])
    if name == "seed_interval":
        low, high = 100 * row["seed_low"], 100 * row["seed_high"]
        return "–" if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"
    value = row[name]
    if name == "difference" and is_baseline:
        return texts["baseline"]
    if name == "augment":
        return str(value) or texts["none"]
    if name == "labels_per_class" and _is_missing(value):
        return texts["all"]
    if _is_missing(value):
        return "–"
    return _FORMATS[name](value, texts, decimals)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


_Format = Callable[[Any, dict[str, str], int], str]
_COUNT: Final[_Format] = lambda value, _texts, _decimals: f"{int(value):,}"
_FORMATS: Final[dict[str, _Format]] = {
    "accuracy_sd": lambda value, _, decimals: f"{100 * value:.{decimals}f}",
    "difference": lambda value, _, decimals: format_points(value, decimals),
    "loss": lambda value, *_: f"{value:.4f}",
    "f1_macro": lambda value, *_: f"{value:.4f}",
    "parameters": _COUNT,
    "trainable_parameters": _COUNT,
    "train_seconds": lambda value, texts, _: format_duration(value, texts),
    "images_per_second": lambda value, *_: f"{value:,.0f}",
    "overfit_gap": lambda value, _, decimals: format_points(value, decimals),
    "train_size": _COUNT,
    "validation_size": _COUNT,
    "labels_per_class": _COUNT,
    "image_size": lambda value, *_: f"{int(value)} px",
    "epochs": _COUNT,
    "tuning_trials": _COUNT,
    "selection": lambda value, texts, _: texts[f"selected_{value}"],
}


def align_text(rows: Sequence[Sequence[str]]) -> str:
    """Return the cells as lines of plain text, the first column left and the others right aligned.

    Examples
    --------
    >>> print(align_text([["Model", "Loss"], ["cnn", "0.31"]]))
    Model  Loss
    cnn    0.31
    """
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = (
            cell + " " * (width - _width(cell)) if place == 0 else " " * (width - _width(cell)) + cell
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes; Hangul takes two each."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else not unicodedata.combining(sign) for sign in text)
