"""Runs to and from what other tools use: pandas tables out, what Keras's ``fit`` returns in."""

import math
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.data.description import DatasetRecord
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, warn
from transferkit.files import as_path
from transferkit.runs.metrics import LOG_LOSS_CLIP, accuracy, as_array, check_probabilities, log_loss, of_both_classes
from transferkit.runs.records import EpochRecord, ModelRecord, PhaseRecord, Recipe, Selection

if TYPE_CHECKING:
    import pandas as pd

SplitName = Literal["test", "validation"]

_ACCURACIES: Final = ("acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")
_SCALARS: Final = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
_SAME_LOSS: Final = (
    1e-5  # relative; Keras averages float32 batches, so the same images do not give the very same number
)
_SAME_UNFLOORED_LOSS: Final = 2e-3
_SAME_ACCURACY: Final = 1e-6


class OwnFit(TypedDict):
    """The arguments of a `transferkit.Run` that somebody's own ``fit`` gives."""

    name: str
    class_names: tuple[str, ...]
    test_probabilities: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    validation_probabilities: NDArray[np.float32]
    validation_labels: NDArray[np.int64]
    dataset: DatasetRecord
    history: list[EpochRecord]
    phases: list[PhaseRecord]
    recipe: Recipe
    model_info: ModelRecord
    seed: int
    selection: Selection
    selected_epoch: int | None


def history_frame(history: Sequence[EpochRecord]) -> "pd.DataFrame":
    """Return a history as a table; see `transferkit.Run.history_frame`."""
    import pandas as pd

    columns = list(dict.fromkeys(name for row in history for name in row)) or ["epoch", "phase"]
    return pd.DataFrame(history, columns=columns)


def predictions_frame(
    class_names: Sequence[str],
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    files: Sequence[str] | None = None,
) -> "pd.DataFrame":
    """Return what a model says of each image as a table; see `transferkit.Run.predictions_frame`."""
    import pandas as pd

    predicted = probabilities.argmax(axis=1)
    rows, classes = np.arange(len(labels)), pd.Index(class_names)
    names = {} if files is None else {"file": list(files)}
    return pd.DataFrame(
        names
        | {
            "label": pd.Categorical.from_codes(labels, classes),
            "predicted": pd.Categorical.from_codes(predicted, classes),
            "right": predicted == labels,
            "probability": probabilities[rows, predicted],
            "label_probability": probabilities[rows, labels],
        },
        index=pd.RangeIndex(len(labels), name="image"),
    )


def describe_fit(
    history: Any,
    *,
    name: str,
    data: Dataset,
    test_probabilities: ArrayLike,
    validation_probabilities: ArrayLike | None,
    seed: int,
    selection: Selection,
    selected_epoch: int | None,
    train_seconds: float | None,
    recipe: Mapping[str, Any] | None,
) -> OwnFit:
    """Return the run of a training by somebody's own ``fit``; see `transferkit.Run.from_history`."""
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be the Dataset that the model was trained on; got {type(data).__name__}. Make one with "
            "Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    if not isinstance(recipe, Mapping | None):
        raise InvalidInputError(f"recipe must be a dict, for instance {{'batch_size': 64}}; got {recipe!r:.80}.")
    rows = _read_history(history)
    test = _check_predictions(test_probabilities, data, "test")
    validation = np.empty((0, data.num_classes), np.float32)
    if validation_probabilities is not None:
        validation = _check_predictions(validation_probabilities, data, "validation")
    selected_epoch = _check_selected(selected_epoch, selection, [row["epoch"] for row in rows])
    _check_selection(rows, selection, test, validation, data=data, name=name)
    seconds = None if train_seconds is None else _check_seconds(train_seconds)
    model = getattr(history, "model", None)
    model_info = _describe_model(model)
    seen = len(rows) * len(data.train.labels)
    phase: PhaseRecord = {
        "name": "train",
        "epochs": len(rows),
        "seconds": seconds,
        "trainable_parameters": model_info.get("trainable_parameters"),
        **({} if seconds is None else {"images": seen, "images_per_second": seen / seconds}),
    }
    told: Any = _describe_optimizer(model) | dict(recipe or {})
    return {
        "name": name,
        "class_names": data.class_names,
        "test_probabilities": test,
        "test_labels": data.test.labels,
        "validation_probabilities": validation,
        "validation_labels": data.validation.labels,
        "dataset": data.describe(),
        "history": rows,
        "phases": [phase],
        "recipe": told,
        "model_info": model_info,
        "seed": check_seed(seed),
        "selection": selection,
        "selected_epoch": selected_epoch,
    }


def _check_selected(epoch: Any, selection: Selection, epochs: list[int]) -> int | None:
    if epoch is None:
        return epochs[-1] if selection == "last" else None
    if isinstance(epoch, bool | np.bool_) or epoch not in epochs:
        raise InvalidInputError(f"selected_epoch must be one of the history's epochs, {epochs}; got {epoch!r}.")
    return operator.index(epoch)


def _check_seconds(seconds: Any) -> float:
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise InvalidInputError(f"train_seconds must be a finite number above 0; got {seconds!r}.")
    return number


def _read_history(history: Any) -> list[EpochRecord]:
    """Return one row an epoch of a ``keras.callbacks.History``, its ``.history``, a table of these columns, or a CSV log."""
    if isinstance(history, str | Path):
        history = _read_log(as_path(history, "history"))
    if hasattr(history, "columns"):  # a table; pandas need not be imported to see that
        history = {name: list(history[name]) for name in history.columns if not str(name).startswith("Unnamed: ")}
    columns = history if isinstance(history, Mapping) else getattr(history, "history", None)
    if not isinstance(columns, Mapping):
        raise InvalidInputError(
            "history must be what model.fit(...) returns, its .history, a table of it, or the path of a CSVLogger's file; got "
            f"{type(history).__name__}."
        )
    lists = {str(name): _as_list(values, name) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in lists.items()}
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
    logged = lists.pop("epoch", None) or getattr(history, "epoch", None)  # keras.callbacks.CSVLogger has it as a column
    numbers = [_whole(epoch) + 1 for epoch in (range(count) if logged is None else logged)]
    if len(numbers) != count:
        raise InvalidInputError(
            f"history.epoch must have one number for each of the {count} epochs; got {len(numbers)}."
        )
    read = standard_columns(lists)
    numeric = {name: [_number(value, name) for value in values] for name, values in read.items()}
    for name in ("accuracy", "val_accuracy"):
        over = [value for value in numeric.get(name, ()) if isinstance(value, float) and value > 1 + _SAME_ACCURACY]
        if over:
            raise InvalidInputError(
                f"history's column {name!r} must hold fractions from 0 to 1; got {over[0]:g}. Divide by 100?"
            )
    rows: list[Any] = [{"epoch": number, "phase": "train"} for number in numbers]
    for name, values in numeric.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def _read_log(file: Path) -> "pd.DataFrame":
    import pandas as pd

    if not file.is_file():
        raise InvalidInputError(f"{file} is no file. Give the one that keras.callbacks.CSVLogger wrote.")
    try:
        with file.open(encoding="utf-8") as stream:
            head = stream.readline()
        return pd.read_csv(file, sep=max(",;\t", key=head.count), encoding="utf-8")
    except (OSError, ValueError) as error:  # pandas's own are ValueErrors
        raise InvalidInputError(f"{file} is no table of columns: {error}") from None


def _as_list(values: Any, name: object) -> list[Any]:
    """Return the values of a column, whatever holds them: a list, an array, a tensor, a pandas Series."""
    array = None
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return list(values)
    if not isinstance(values, str | bytes | Mapping):
        array = as_array(values, what=f"history's column {name!r}")
    if array is None or array.ndim < 1:
        raise InvalidInputError(
            f"history's column {name!r} must be a list with one number an epoch; got {values!r:.80}."
        )
    return list(array)


def _number(value: Any, name: str) -> float | list[float]:
    """Return a number; of a metric that has one for each class, a list."""
    array = as_array(value, what=f"history's column {name!r}")
    one_a_class = array.ndim == 1 and name not in _SCALARS
    if array.dtype.kind in "biufOU" and (array.ndim == 0 or one_a_class):
        try:
            numbers: float | list[float] = array.astype(np.float64).tolist()
        except (TypeError, ValueError):
            pass
        else:
            return numbers
    raise InvalidInputError(f"history's column {name!r} must hold numbers; got {value!r:.80}.")


def _whole(value: Any) -> int:
    number = _number(value, "epoch")
    if not isinstance(number, float) or not number.is_integer():
        raise InvalidInputError(f"history's epochs must be whole numbers; got {value!r:.80}.")
    return int(number)


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
    answers = as_array(probabilities, what=what)
    one_column = answers.ndim == 1 or answers.shape[-1:] == (1,)
    if one_column and answers.dtype.kind in "biu":
        raise InvalidInputError(
            f"{what} hold class indices, not probabilities. Give model.predict(data.{split}.images) itself."
        )
    if data.num_classes == 2 and answers.ndim == 1:
        answers = answers[:, None]
    checked = check_probabilities(of_both_classes(answers) if data.num_classes == 2 else answers, what=what)
    expected = (len(getattr(data, split).labels), data.num_classes)
    if checked.shape != expected:
        raise InvalidInputError(
            f"{what} must have shape {expected}, one row for each {split} image of {data.name!r} in order, one column for "
            f"each class; got {checked.shape}. Give model.predict(data.{split}.images)."
        )
    return checked.astype(np.float32)


def _check_selection(
    rows: list[EpochRecord],
    selection: Selection,
    test: NDArray[np.float32],
    validation: NDArray[np.float32],
    *,
    data: Dataset,
    name: str,
) -> None:
    """Refuse a `selection` that the numbers contradict: weights of another epoch than said, or one chosen on the test images."""
    if selection == "test":
        return
    same = _epochs_of(rows, data.test.labels, test)
    loss = next((row["val_loss"] for row in rows if row["epoch"] in same), math.nan)
    if selection == "validation" and same:
        raise InvalidInputError(
            f"{name!r}: val_loss of epoch {same[0]} is the loss on the test images, {loss:.6g}, so the validation data of "
            "that fit were the test images. Fit again with validation_data=data.validation, or say selection='test'."
        )
    last = rows[-1]["epoch"]
    if same and last not in same:
        raise InvalidInputError(
            f"{name!r}: the test probabilities are those of epoch {same[0]} of {last}, whose val_loss is the loss on the test "
            f"images, {loss:.6g}: the validation data of that fit were the test images, and they chose the epoch. Fit again with "
            "validation_data=data.validation, or say selection='test'."
        )
    if len(validation):
        chosen = _epochs_of(rows, data.validation.labels, validation)
        if chosen and last not in chosen and selection == "last":
            raise InvalidInputError(
                f"{name!r}: the validation probabilities are those of epoch {chosen[0]}, not of the last, {last}. Say "
                f"selection='validation', selected_epoch={chosen[0]}."
            )
        if chosen:
            return
    right = accuracy(data.test.labels, test.argmax(axis=1))
    alike = _epochs_with(rows, "val_accuracy", right, absolute=_SAME_ACCURACY)
    if alike and (selection == "validation" or last not in alike):
        warn(
            f"{name!r}: val_accuracy of epoch {alike[0]} is the accuracy on the test images, {right:.6g}. That may be chance; if the "
            "validation data of that fit were the test images, say selection='test'."
        )


def _epochs_of(rows: list[EpochRecord], labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> list[int]:
    """Return the epochs whose loss on the validation data is that of these predictions."""
    found = _epochs_with(rows, "val_loss", log_loss(labels, probabilities), relative=_SAME_LOSS)
    of_labels = probabilities[np.arange(len(labels)), labels]
    if found or of_labels.min(initial=1) >= LOG_LOSS_CLIP:
        return found
    # Keras takes the logits behind a softmax, so its loss has no floor; what is 0 in float32 makes this one inexact.
    loss = -np.log(np.maximum(of_labels, np.finfo(np.float32).smallest_subnormal, dtype=np.float64)).mean()
    right = _epochs_with(rows, "val_accuracy", accuracy(labels, probabilities.argmax(axis=1)), absolute=_SAME_ACCURACY)
    return [epoch for epoch in _epochs_with(rows, "val_loss", loss, relative=_SAME_UNFLOORED_LOSS) if epoch in right]


def _epochs_with(
    rows: list[EpochRecord],
    column: Literal["val_loss", "val_accuracy"],
    value: float,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> list[int]:
    """Return the epochs whose column has this value."""
    found = [(row["epoch"], row.get(column)) for row in rows]
    return [
        epoch
        for epoch, number in found
        if number is not None and math.isclose(number, value, rel_tol=relative, abs_tol=absolute)
    ]


def _describe_model(model: Any) -> ModelRecord:
    """Return the facts that a built Keras model gives of itself; nothing if it is none."""
    try:
        return {
            "name": str(model.name),
            "parameters": int(model.count_params()),
            "trainable_parameters": sum(math.prod(variable.shape) for variable in model.trainable_weights),
        }
    except (AttributeError, TypeError, ValueError):
        return {}


def _describe_optimizer(model: Any) -> dict[str, Any]:
    optimizer = getattr(model, "optimizer", None)
    return {} if optimizer is None else {"optimizer": type(optimizer).__name__}
