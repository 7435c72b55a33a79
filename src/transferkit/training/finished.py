"""Where a training is kept, and whether it was finished before."""

import re
from pathlib import Path
from typing import Any

from transferkit.errors import RunError
from transferkit.runs.run import Run
from transferkit.runs.storage import load_run


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
        what = "; ".join(differing) or "another model, other initial or pretrained weights, or other data"
        raise RunError(
            f"{place} holds the finished run {run.name!r} made with {what}. Give this one another name, or pass overwrite=True."
        )
    return run
