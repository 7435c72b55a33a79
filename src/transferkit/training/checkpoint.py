"""A checkpoint after every epoch, so that a training that was killed goes on where it stopped.

One file, written atomically: the weights, the optimiser's variables, the best weights so far, and the history. Order,
augmentation and dropout depend on (seed, epoch) alone and need no saving.
"""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transferkit import files


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    finished : int
        Epochs done, over all phases.
    history : list of dict
        One row an epoch.
    best_epoch, best_score, best_weights
        What validation has chosen so far.
    prepared : dict
        For each phase, what came before its epochs: ``preparation_seconds``, ``engine``, with kept features ``features_computed``.
    dead_features : list of int, optional
        How many of the frozen layers' features are the same for every image, and of how many.
    """

    finished: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: tuple[float, float] | None = None
    best_weights: list[Any] | None = None
    prepared: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead_features: list[int] | None = None


def save_checkpoint(path: Path, model: Any, progress: Progress, *, key: str) -> None:
    """Write model, optimiser and progress to one ``.npz`` file."""
    facts = {
        "key": key,
        "finished": progress.finished,
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "prepared": progress.prepared,
        "dead_features": progress.dead_features,
    }
    arrays = {f"weight{i}": array for i, array in enumerate(model.get_weights())}
    arrays |= {f"optimizer{i}": np.asarray(variable) for i, variable in enumerate(model.optimizer.variables)}
    arrays |= {f"best{i}": array for i, array in enumerate(progress.best_weights or [])}
    with files.atomic_write(path) as stream:
        np.savez(stream, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)


def load_progress(path: Path, *, key: str) -> tuple[Progress, dict[str, Any]] | None:
    """Read a checkpoint of the training with this key; None if there is none, it is another's, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            if facts["key"] != key:
                return None
            arrays = {name: stored[name] for name in stored.files if name != "facts"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # starting again costs time, not correctness
    score = facts["best_score"]
    best = _numbered(arrays, "best")
    progress = Progress(
        facts["finished"],
        facts["history"],
        facts["best_epoch"],
        tuple(score) if score else None,
        best or None,
        facts.get("prepared", {}),
        facts.get("dead_features"),
    )
    return progress, arrays


def restore_weights(model: Any, arrays: dict[str, Any]) -> None:
    """Put the weights back."""
    model.set_weights(_numbered(arrays, "weight"))


def restore_optimizer(model: Any, arrays: dict[str, Any]) -> None:
    """Put the optimiser's variables back; it must be built."""
    for variable, value in zip(model.optimizer.variables, _numbered(arrays, "optimizer"), strict=True):
        variable.assign(value)


def _numbered(arrays: dict[str, Any], stem: str) -> list[Any]:
    count = sum(name.startswith(stem) for name in arrays)
    return [arrays[f"{stem}{i}"] for i in range(count)]
