"""Runs as they are given: one, several, by name, those of a comparison, or the folder of saved ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from transferkit.errors import InvalidInputError
from transferkit.runs.loading import load_runs
from transferkit.runs.run import Run, run_of
from transferkit.statistics.clusters import Clusters, number_clusters


@runtime_checkable
class HasRuns(Protocol):
    """What knows its runs, as a `transferkit.Comparison` does."""

    @property
    def runs(self) -> Sequence[Run]:
        """The runs."""


Runs = Run | Sequence[Run] | Mapping[str, Run | Sequence[Run]] | HasRuns | Path | str

HOW_TO_GIVE: Final = "Give runs, a dict of name to run or list of runs, or the folder of saved runs."


def group_runs(runs: Runs) -> dict[str, list[Run]]:
    """Return the runs of each name, in the order given; several of one name are trainings with different seeds.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        A mapping's keys replace the names; a path is a folder of saved runs.

    Returns
    -------
    dict of str to list of Run
        Each run carries the name under which it is listed; empty if there are none.

    Raises
    ------
    InvalidInputError
        If something else is given.
    RunError
        If a saved run cannot be read.
    """
    if isinstance(runs, str | Path):
        runs = load_runs(runs)
    runs = run_of(runs)
    if isinstance(runs, Run):
        return {runs.name: [runs]}
    if isinstance(runs, Mapping):
        given = {str(name): _as_list(name, group) for name, group in runs.items()}
        return {
            name: [run if run.name == name else replace(run, name=name) for run in group]
            for name, group in given.items()
        }
    listed: Any = runs.runs if isinstance(runs, HasRuns) else runs
    if not isinstance(listed, Sequence):
        raise InvalidInputError(f"runs cannot be a {type(runs).__name__}. {HOW_TO_GIVE}")
    groups: dict[str, list[Run]] = {}
    for run in map(run_of, listed):
        if not isinstance(run, Run):
            raise InvalidInputError(f"a list of runs cannot hold a {type(run).__name__}. {HOW_TO_GIVE}")
        groups.setdefault(run.name, []).append(run)
    return groups


def _as_list(name: object, group: Any) -> list[Run]:
    found = [run_of(run) for run in (group if isinstance(group, list | tuple) else [group])]
    if not found or not all(isinstance(run, Run) for run in found):
        raise InvalidInputError(f"{name!r} must stand for a Run or a list of runs; got {group!r:.80}. {HOW_TO_GIVE}")
    return found


def clusters_of(run: Run) -> Clusters | None:
    """Return which test images of a run are equal or belong together; None if none do, or it is not recorded."""
    numbers = run.dataset.get("test_clusters")
    if numbers is None or len(set(numbers)) == len(numbers) or len(numbers) != len(run.test_labels):
        return None
    return number_clusters(numbers)
