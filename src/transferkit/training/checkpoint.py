"""A checkpoint after every epoch, so that a training that was killed goes on where it stopped.

One file, written atomically: the weights that training changes, the optimiser's variables, the best weights so far, and the history.
Frozen weights are those that the training's key names; order, augmentation and dropout depend on (seed, epoch) alone.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import DataError, warn
from transferkit.runs.records import EpochRecord, ProbeRecord


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    finished : int
        Epochs done, over all phases.
    phases : int
        Phases done, also those that a callback ended early.
    history : list of dict
        One row an epoch.
    best_epoch, best_score, best_weights
        What validation has chosen so far.
    prepared : dict
        For each phase, what came before its epochs: ``preparation_seconds``, ``engine``, with kept features ``features_computed``.
    dead_features : list of int, optional
        How many of the frozen layers' features are the same for every image, and of how many.
    stopped : bool
        Whether a callback ended the phase after the last epoch.
    callbacks : list of dict, optional
        What the caller's callbacks knew then; None if that cannot be saved, so that nothing can be taken up.
    probe : dict, optional
        Loss and gradients at the initial weights.
    """

    finished: int = 0
    phases: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: tuple[float, float] | None = None
    best_weights: list[Any] | None = None
    prepared: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead_features: list[int] | None = None
    stopped: bool = False
    callbacks: list[dict[str, Any]] | None = field(default_factory=list)
    probe: ProbeRecord | None = None


_LAYOUT = 2  # 1 held frozen weights as well
_FACTS = tuple(field.name for field in fields(Progress) if field.name not in ("best_weights", "callbacks"))


def save_checkpoint(path: Path, weights: Sequence[Any], optimizer: Any, progress: Progress, *, key: str) -> None:
    """Write variables, those of the optimiser and progress to one sealed file.

    Raises
    ------
    StorageError
        If the disk is full or read-only; the checkpoint before it stays.
    """
    arrays = {f"weight{i}": array for i, array in enumerate(values_of(weights))}
    arrays |= {f"optimizer{i}": array for i, array in enumerate(values_of(optimizer.variables))}
    arrays |= {f"best{i}": array for i, array in enumerate(progress.best_weights or [])}
    states = []
    for index, state in enumerate(progress.callbacks or ()):
        lists = {name: value for name, value in state.items() if _are_arrays(value)}
        states.append({name: value for name, value in state.items() if name not in lists} | {"__arrays__": list(lists)})
        for name, value in lists.items():
            arrays |= {f"callback{index}.{name}.{i}": array for i, array in enumerate(value)}
    facts = {name: getattr(progress, name) for name in _FACTS} | {"key": key, "layout": _LAYOUT}
    facts["callbacks"] = None if progress.callbacks is None else states
    content = io.BytesIO()
    arrays = {name: _storable(array) for name, array in arrays.items()}
    np.savez(content, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)
    files.write_sealed(path, content.getbuffer(), what="the checkpoint of this training")


def load_progress(path: Path, *, key: str) -> tuple[Progress, dict[str, Any]] | None:
    """Read a checkpoint of the training with this key; None if there is none, it is another's, or it is damaged.

    Warns
    -----
    TransferKitWarning
        If it is another's, which is going to be replaced.
    """
    try:
        content = files.read_sealed(path)
    except (OSError, DataError):
        return None  # starting again costs time, not correctness
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            if facts.pop("key") != key:
                warn(
                    "a training of this name was cut off, and this one is another: it has other data, options, callbacks or initial weights. It begins "
                    "anew. (Code that draws new weights each time draws the same ones after keras.utils.set_random_seed(0).)"
                )
                return None
            if facts.pop("layout") != _LAYOUT or facts["callbacks"] is None:
                return None
            arrays = {name: stored[name] for name in stored.files if name != "facts"}
        score = facts["best_score"]
        progress = Progress(**facts, best_weights=_numbered(arrays, "best") or None)
        progress.best_score = tuple(score) if score else None
        for index, state in enumerate(facts["callbacks"]):
            state |= {name: _numbered(arrays, f"callback{index}.{name}.") for name in state.pop("__arrays__")}
    except (ValueError, KeyError, TypeError):  # of another version
        return None
    return progress, arrays


def _are_arrays(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, np.ndarray) for item in value)


def _storable(array: Any) -> Any:
    """Return an array in a dtype that NumPy's files know; bfloat16 fits into float32 without loss."""
    return array.astype(np.float32) if array.dtype.isbuiltin == 2 else array


def values_of(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Return copies of the values of variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign_values(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Give variables their values back."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def saved_weights(arrays: dict[str, Any]) -> list[Any]:
    """Return the weights in a checkpoint."""
    return _numbered(arrays, "weight")


def saved_optimizer(arrays: dict[str, Any]) -> list[Any]:
    """Return the optimiser's variables in a checkpoint."""
    return _numbered(arrays, "optimizer")


def _numbered(arrays: dict[str, Any], stem: str) -> list[Any]:
    count = sum(name.startswith(stem) and name[len(stem) :].isdecimal() for name in arrays)
    return [arrays[f"{stem}{i}"] for i in range(count)]
