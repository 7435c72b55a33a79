"""Runs to and from what other tools use: pandas tables out, a Keras ``History`` in."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.runs.metrics import check_probabilities, log_loss
from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

SplitName = Literal["test", "validation"]

_ACCURACIES: Final = ("acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")
_SAME_LOSS = 1e-5  # relative; Keras averages float32 batches, so the same images do not give the very same number


def history_frame(run: Run) -> "pd.DataFrame":
    """Return the history of a run as a table; see `transferkit.Run.history_frame`."""
    import pandas as pd

    columns = list(dict.fromkeys(name for row in run.history for name in row)) or ["epoch", "phase"]
    return pd.DataFrame(run.history, columns=columns)


def predictions_frame(run: Run, split: SplitName = "test") -> "pd.DataFrame":
    """Return what a run says of each image as a table; see `transferkit.Run.predictions_frame`."""
    import pandas as pd

    if split not in get_args(SplitName):
        raise UnknownNameError("split", split, get_args(SplitName))
    probabilities: NDArray[np.float32] = getattr(run, f"{split}_probabilities")
    labels: NDArray[np.int64] = getattr(run, f"{split}_labels")
    if not len(probabilities):
        raise RunError(f"run {run.name!r} has no {split} predictions ({run.status}), so there is nothing to list.")
    predicted = probabilities.argmax(axis=1)
    rows, classes = np.arange(len(labels)), pd.Index(run.class_names)
    return pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(labels, classes),
            "predicted": pd.Categorical.from_codes(predicted, classes),
            "right": predicted == labels,
            "probability": probabilities[rows, predicted],
            "label_probability": probabilities[rows, labels],
        },
        index=pd.RangeIndex(len(labels), name="image"),
    )


def run_from_history(
    history: Any,
    *,
    name: str,
    data: Dataset,
    test_probabilities: ArrayLike,
    validation_probabilities: ArrayLike | None = None,
    seed: int = 0,
    selection: str = "last",
    selected_epoch: int | None = None,
    train_seconds: float | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Run:
    """Make a run of a training by somebody's own ``fit``; see `transferkit.Run.from_history`."""
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be the Dataset that the model was trained on; got {type(data).__name__}. Make one with "
            "Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    rows = _read_history(history)
    test = _check_predictions(test_probabilities, data, "test")
    validation = np.empty((0, data.num_classes), np.float32)
    if validation_probabilities is not None:
        validation = _check_predictions(validation_probabilities, data, "validation")
    epochs = [row["epoch"] for row in rows]
    if selected_epoch is None and selection == "last":
        selected_epoch = max(epochs)
    if selected_epoch is not None and selected_epoch not in epochs:
        raise InvalidInputError(
            f"selected_epoch must be one of the history's epochs, {epochs}; got {selected_epoch!r}."
        )
    if train_seconds is not None and not 0 < train_seconds < math.inf:
        raise InvalidInputError(f"train_seconds must be a finite number above 0; got {train_seconds!r}.")
    _refuse_test_as_validation(rows, log_loss(data.test.labels, test), selection=selection, name=name)
    model = getattr(history, "model", None)
    model_info = _describe_model(model)
    facts = {"name": "train", "epochs": len(rows), "seconds": train_seconds}
    facts["trainable_parameters"] = model_info.get("trainable_parameters")
    seen = len(rows) * len(data.train.labels)
    if train_seconds is not None:
        facts |= {"images": seen, "images_per_second": seen / train_seconds}
    return Run(
        name=name,
        class_names=data.class_names,
        test_probabilities=test,
        test_labels=data.test.labels,
        validation_probabilities=validation,
        validation_labels=data.validation.labels,
        dataset=data.describe(),
        history=rows,
        phases=[facts],
        recipe=_describe_optimizer(model) | dict(recipe or {}),
        model_info=model_info,
        seed=check_seed(seed),
        selection=selection,
        selected_epoch=selected_epoch,
    )


def _read_history(history: Any) -> list[dict[str, Any]]:
    """Return one row an epoch of a ``keras.callbacks.History``, its ``.history``, or a table of these columns."""
    if hasattr(history, "columns"):  # a table; pandas need not be imported to see that
        history = {name: list(history[name]) for name in history.columns}
    columns = history if isinstance(history, Mapping) else getattr(history, "history", None)
    if not isinstance(columns, Mapping):
        raise InvalidInputError(
            f"history must be what model.fit(...) returns, its .history, or a table of it; got {type(history).__name__}."
        )
    lengths = {str(name): _length(values) for name, values in columns.items()}
    if not lengths or not min(lengths.values()):
        raise InvalidInputError(
            f"history must hold at least one epoch; got the columns {lengths}. Was the model fitted?"
        )
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(
            f"all columns of history must be equally long, one value an epoch; got {lengths}. "
            "Keep the columns of one call of fit."
        )
    count = min(lengths.values())
    logged = columns.get("epoch", getattr(history, "epoch", None))  # keras.callbacks.CSVLogger has it as a column
    numbers = [int(_number(epoch, "epoch")) + 1 for epoch in (range(count) if logged is None else logged)]
    if len(numbers) != count:
        raise InvalidInputError(
            f"history.epoch must have one number for each of the {count} epochs; got {len(numbers)}."
        )
    rows: list[dict[str, Any]] = [{"epoch": number, "phase": "train"} for number in numbers]
    read = {
        str(name): [_number(value, name) for value in values] for name, values in columns.items() if name != "epoch"
    }
    for name, values in standard_columns(read).items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def _length(values: Any) -> int:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise InvalidInputError(f"a column of history must be a list with one number an epoch; got {values!r:.80}.")
    return len(values)


def _number(value: Any, name: object) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidInputError(f"history's column {name!r} must hold numbers; got {value!r:.80}.") from None


def standard_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns under the names that plots and tables look for; one that is called so itself goes before another."""
    renamed = {_standard_name(name): values for name, values in columns.items()}
    return renamed | {name: columns[name] for name in renamed if name in columns}


def _standard_name(name: str) -> str:
    """Return the name under which plots and tables look for a column."""
    prefix = "val_" if name.startswith("val_") else ""
    rest = name.removeprefix("val_")
    return f"{prefix}accuracy" if rest in _ACCURACIES else "learning_rate" if name == "lr" else name


def _check_predictions(probabilities: ArrayLike, data: Dataset, split: SplitName) -> NDArray[np.float32]:
    what = f"{split}_probabilities"
    checked = check_probabilities(probabilities, what=what)
    expected = (len(getattr(data, split).labels), data.num_classes)
    if checked.shape != expected:
        raise InvalidInputError(
            f"{what} must have shape {expected}, one row for each {split} image of {data.name!r} in order, one column for "
            f"each class; got {checked.shape}. Give model.predict(data.{split}.images)."
        )
    return checked.astype(np.float32)


def _refuse_test_as_validation(rows: list[dict[str, Any]], test_loss: float, *, selection: str, name: str) -> None:
    """Refuse a choice "by validation" whose validation images were the test images."""
    if selection != "validation":
        return
    same = [row["epoch"] for row in rows if math.isclose(row.get("val_loss", math.nan), test_loss, rel_tol=_SAME_LOSS)]
    if same:
        raise InvalidInputError(
            f"{name!r}: val_loss of epoch {same[0]} is the loss on the test images, {test_loss:.6g}, so the validation data of "
            "that fit were the test images. Fit again with validation_data=data.validation, or say selection='test'."
        )


def _describe_model(model: Any) -> dict[str, Any]:
    """Return the facts that a built Keras model gives of itself; nothing if it is none."""
    try:
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_weights)
        return {
            "name": str(model.name),
            "parameters": int(model.count_params()),
            "trainable_parameters": int(trainable),
        }
    except (AttributeError, TypeError, ValueError):
        return {}


def _describe_optimizer(model: Any) -> dict[str, Any]:
    optimizer = getattr(model, "optimizer", None)
    return {} if optimizer is None else {"optimizer": type(optimizer).__name__}
