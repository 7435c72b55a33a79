"""Where a training is kept, and whether it was finished before."""

import re
from pathlib import Path
from typing import Any

from transferkit.errors import RunError, warn
from transferkit.runs.loading import load_run
from transferkit.runs.run import Run
from transferkit.training.probe import total_trials


def run_folder(folder: str | Path, name: str) -> Path:
    """Return the folder of the run of this name."""
    return Path(folder).expanduser() / (re.sub(r"\W+", "-", name.lower()).strip("-") or "run")


def beside(place: Path, suffix: str) -> Path:
    """Return the hidden file of a run that stands next to its folder."""
    return place.with_name(f".{place.name}{suffix}")


def find_finished(place: Path, *, key: str, recipe: dict[str, Any], seed: int) -> Run | None:
    """Return the finished run of this key, or None if there is no finished run.

    Raises
    ------
    RunError
        If there is a finished run of other settings; the message says which differ.
    """
    if not place.exists():
        return None
    run = load_run(place)
    if run.status != "completed":
        return None
    if run.key != key:
        differing = [
            f"{option} {run.recipe.get(option)!r} (now {value!r})"
            for option, value in recipe.items()
            if run.recipe.get(option) != value
        ]
        if run.seed != seed:
            differing.append(f"seed {run.seed} (now {seed})")
        what = "; ".join(differing) or (
            "another model, other initial or pretrained weights, or other data (a model that was trained meanwhile has other weights: "
            "build it again, and the run is found)"
        )
        raise RunError(
            f"{place} holds the finished run {run.name!r} made with {what}. Give this one another name, or pass overwrite=True."
        )
    return run


def holds_finished(place: Path) -> bool:
    """Whether there is a run with a result."""
    return place.exists() and load_run(place).status == "completed"


def warn_of_changes(run: Run, *, recipe: dict[str, Any], tuning_trials: int) -> None:
    """Warn if a run that is found again records other callbacks or another number of tuning trials than the call has."""
    told, now = run.recipe.get("callbacks", []), recipe.get("callbacks", [])
    if told != now:
        warn(
            f"the finished run {run.name!r} was trained with the callbacks {told or 'none'}, not {now or 'none'}. If they change the "
            "training, give this one another name, or pass overwrite=True."
        )
    trials = total_trials(tuning_trials, run.history)
    if run.tuning_trials != trials:
        warn(
            f"the finished run {run.name!r} records {run.tuning_trials} settings tried (tuning_trials), not {trials}. To change that, "
            "pass overwrite=True."
        )
