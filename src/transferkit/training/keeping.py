"""The one way through a training, for networks and classifiers alike: lock, find again, fit, record, save."""

import hashlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from transferkit import files, progress
from transferkit.backends import chosen_backend
from transferkit.errors import InvalidInputError, RunError, warn
from transferkit.runs.loading import load_run
from transferkit.runs.run import Run
from transferkit.runs.storage import check_replaceable
from transferkit.training.contract import Training
from transferkit.training.identity import same_probe, say_unknown
from transferkit.training.options import Keeping
from transferkit.training.record import record_run

_BUSY: dict[int, str] = {}
_ONE_AT_A_TIME = threading.Lock()
_PROCESS = os.getpid()
_DEVICE = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]")  # no file may be called so on Windows
_LONGEST_NAME = 160  # bytes of the 255 that a file name may have, since more is added to it


def keep(training: Training, keeping: Keeping) -> Run:
    """Return the run of a training: found again if it was finished before, or trained, recorded and saved.

    Parameters
    ----------
    training : Training
        What is to be done.
    keeping : Keeping
        Where it is kept, and under what name.

    Returns
    -------
    Run
        With its model.

    Raises
    ------
    RunError
        If the folder holds a finished run that is another training, or something else than a run.
    InvalidInputError
        If the same model is being trained by another thread, or this process was forked from one that trained.
    """
    refuse_in_forked_child()
    place = None if keeping.folder is None else run_folder(keeping.folder, keeping.save_as or training.name)
    with _alone(training), _locked(place, training.name):
        if place is not None:
            finished = None if keeping.overwrite else _find(place, training, keeping)
            if finished is not None:
                return _take_up(training, finished, keeping)
            check_replaceable(place, replace=True)  # before the training, not after it
        with training.guard():
            return _train(training, keeping, place)


def _train(training: Training, keeping: Keeping, place: Path | None) -> Run:
    checkpoint = None if place is None else beside(place, ".checkpoint")
    try:
        outcome = training.fit(None if training.identity.unknown else checkpoint)
    except KeyboardInterrupt:
        if place is not None:
            _save(record_run(training, keeping, training.interrupted()), place)
        raise
    run = record_run(training, keeping, outcome)
    for note in outcome.notes:
        say(f"{run.name}: {note}", verbose=keeping.verbose)
    if place is not None and checkpoint is not None:
        run = _save(run, place)
        checkpoint.unlink(missing_ok=True)
    return run


def _find(place: Path, training: Training, keeping: Keeping) -> Run | None:
    """Return the finished run of this very training, or None if there is none or it cannot be told."""
    finished = load_run(place) if place.exists() else None
    if finished is None or finished.status != "completed":
        return None
    differing = _differences(finished, training, keeping)
    if differing:
        raise RunError(
            f"{place} holds the finished run {finished.name!r} made with {'; '.join(differing)}. Give this one another name, or pass "
            "overwrite=True."
        )
    if training.identity.unknown:
        say_unknown(training.name, training.identity)
        return None
    return finished


def _differences(finished: Run, training: Training, keeping: Keeping) -> list[str]:
    """Return in words what a finished run was made with that is different now."""
    if not finished.identity:
        return (
            [] if finished.key == training.identity.key else ["an earlier version of transferkit, which recorded less"]
        )
    parts = training.identity.differing(finished)
    found = [
        f"{option} {finished.recipe.get(option)!r} (now {value!r})"
        for option, value in training.recipe.items()
        if {"recipe", "classifier"} & set(parts) and finished.recipe.get(option) != value
    ]
    if finished.seed != keeping.seed:
        found.append(f"seed {finished.seed} (now {keeping.seed})")
    told = {"recipe", "classifier", "seed"} if found else {"seed"}
    found += [_IN_WORDS.get(part, f"another {part}") for part in parts if part not in told]
    if parts or training.identity.unknown:
        return found
    recorded = finished.probe
    if recorded and not same_probe(recorded, training.probe() or {}):
        found.append(
            "code that computes something else: the loss or its gradients at the initial weights are not the recorded ones (code of your "
            "own that draws random numbers needs keras.utils.set_random_seed(0) before it)"
        )
    return found


_IN_WORDS = {
    "model": "another model",
    "weights": (
        "other initial or pretrained weights, or other layers trained (a model that was trained meanwhile has other weights: build it "
        "again, and the run is found; code of your own that draws new weights each time needs keras.utils.set_random_seed(0) before it)"
    ),
    "data": "other data",
    "code of its own": "other code of the model's own",
    "optimizer": "an optimiser of other settings",
    "metrics": "other metrics",
    "callbacks": "other callbacks, or callbacks of other settings (one of your own that was used meanwhile holds more: make it again)",
    "settings": "other objects as options",
    "protocol": "another backend or precision, or an earlier version of transferkit",
    "classifier": "another model: a classifier of other settings (one of your own that was fitted meanwhile holds more: make it again)",
}


def _take_up(training: Training, finished: Run, keeping: Keeping) -> Run:
    trials = keeping.tuning_trials * _trials_inside(finished)
    if finished.tuning_trials != trials:
        warn(
            f"the finished run {finished.name!r} records {finished.tuning_trials} settings tried (tuning_trials), not {trials}. To change "
            "that, pass overwrite=True."
        )
    taken = training.take_up(finished)
    where = cast("Path", finished.path)
    where = where.relative_to(Path.cwd()) if where.is_relative_to(Path.cwd()) else where
    message = f"{finished.name}: finished run found in {where}"
    say(message if taken else f"{message}, saved without weights: the model stays as it is", verbose=keeping.verbose)
    found = replace(finished, name=training.name)  # save_as= may have named the place
    return replace(found, model=training.model) if taken else found


def _trials_inside(run: Run) -> int:
    """Return how many settings a fit itself chose among: penalties of a logistic head, a search inside a classifier."""
    return run.model_info.get("settings_tried", 0) or max(1, sum("strength" in row for row in run.history))


def _save(run: Run, place: Path) -> Run:
    """Save the run in its place, unless it has no result and a run that has one is there."""
    if run.status != "completed" and place.exists() and load_run(place).status == "completed":
        warn(f"run {run.name!r} has no result ({run.status}), so the finished run in {place} stays.")
        return run
    run.save(place, weights=run.status == "completed", replace=True)
    return replace(run, path=place.absolute())


def run_folder(folder: str | Path, name: str) -> Path:
    """Return the folder of the run of this name; one too long for a file system is cut, and told apart by a hash."""
    slug = re.sub(r"\W+", "-", name.lower()).strip("-") or "run"
    if _DEVICE.fullmatch(slug):
        slug = f"run-{slug}"
    if len(slug.encode()) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        slug = f"{slug.encode()[:_LONGEST_NAME].decode('utf-8', 'ignore')}-{digest}"
    return files.as_path(folder, "folder") / slug


def beside(place: Path, suffix: str) -> Path:
    """Return the hidden file of a run that stands next to its folder."""
    return place.with_name(f".{place.name}{suffix}")


def say(message: str, *, verbose: bool) -> None:
    """Print one line, if lines are wanted."""
    if verbose:
        progress.say(message)


def _locked(place: Path | None, name: str) -> AbstractContextManager[Any]:
    if place is None:
        return nullcontext()
    return files.lock(beside(place, ""), what=f"run {name!r}", timeout_seconds=files.LONG_WAIT_SECONDS)


def refuse_in_forked_child() -> None:
    """Raise where the backend would hang: in a process that was forked from one in which it was imported.

    Raises
    ------
    InvalidInputError
        The message says how to start processes.
    """
    if os.getpid() != _PROCESS and "keras" in sys.modules:
        raise InvalidInputError(
            f"this process was forked from one in which {chosen_backend().NAME} was imported, where it hangs. Start processes afresh: joblib's own "
            "backend (loky), or multiprocessing.get_context('spawn')."
        )


@contextmanager
def _alone(training: Training) -> Iterator[None]:
    """Refuse to train one model in two threads."""
    model = training.model  # a search ends with another one
    with _ONE_AT_A_TIME:
        if id(model) in _BUSY:
            raise InvalidInputError(
                f"the model of {training.name!r} is being trained as {_BUSY[id(model)]!r} by another thread; build a model for "
                "each training."
            )
        _BUSY[id(model)] = training.name
    try:
        yield
    finally:
        _BUSY.pop(id(model), None)
