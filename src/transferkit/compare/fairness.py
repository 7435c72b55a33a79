"""Which runs may be compared, and why others may not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from transferkit.compare.compared_model import ComparedModel
from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.files import sha256_arrays
from transferkit.runs.grouping import HOW_TO_GIVE, Runs, group_runs
from transferkit.runs.run import Run


def collect_runs(runs: Runs) -> dict[str, list[Run]]:
    """Return the runs of each name, in the order given.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping, Comparison, or path
        As `transferkit.runs.grouping.group_runs` takes them.

    Returns
    -------
    dict of str to list of Run
        Each run carries the name under which it is listed.

    Raises
    ------
    InvalidInputError
        If something else is given.
    UnfairComparisonError
        If there is no run, or a run is given twice.
    RunError
        If a saved run cannot be read.
    """
    groups = group_runs(runs)
    if not groups:
        raise UnfairComparisonError(f"there is no run to compare. {HOW_TO_GIVE}")
    _refuse_repeated(groups)
    return groups


def check_margin(margin: object) -> None:
    """Refuse what cannot be a difference up to which accuracies are practically equal.

    Raises
    ------
    InvalidInputError
        If it is not a number between 0 and 1.
    """
    if not isinstance(margin, float | int | np.floating) or not 0 < margin < 1:
        raise InvalidInputError(f"margin must be a fraction between 0 and 1, for example 0.005; got {margin!r}.")


def _identity(run: Run) -> tuple[object, ...]:
    """Return what two copies of one run share: key and seed or, where no key is recorded, answers, history and recipe."""
    if run.key:
        return run.key, run.seed
    if len(run.test_probabilities):
        return sha256_arrays(run.test_labels, run.test_probabilities), run.seed, repr((run.history, run.recipe))
    return (id(run),)


def _refuse_repeated(groups: Mapping[str, Sequence[Run]]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for name, run in ((name, run) for name, group in groups.items() for run in group):
        identity = _identity(run)
        if identity in seen:
            names = repr(name) if name == seen[identity] else f"{seen[identity]!r} and {name!r}"
            what = "key and seed are equal" if run.key else "seed, history and all test probabilities are equal"
            raise UnfairComparisonError(
                f"{names}: one and the same run ({what}) is given twice. Counting it twice would feign a second training; "
                "give it once."
                + ("" if run.key else " If it was another training, say so in its history, recipe= or key=.")
            )
        seen[identity] = name


def check_fair(runs: Sequence[Run]) -> None:
    """Refuse runs that were not tested alike.

    Parameters
    ----------
    runs : sequence of Run
        All runs, the seeds of each model among them.

    Raises
    ------
    UnfairComparisonError
        If classes, test images, number of test images or labels differ, or the probabilities of a completed run are
        missing, not finite, or not probabilities. The message says which runs.
    """
    _refuse_difference(runs, lambda run: run.class_names, "other class names, or the same in another order, than")
    completed = [run for run in runs if run.status == "completed"]
    for run in completed:
        _check_predictions(run)
    _refuse_difference(completed, lambda run: len(run.test_labels), "tested on another number of images than")
    if len(completed) > 1:
        unknown = [run.name for run in completed if not run.dataset.get("test_fingerprint")]
        if unknown:
            raise UnfairComparisonError(
                f"{_quoted(unknown)}: no fingerprint of the test images is recorded, so nobody can tell whether they are "
                "the same. Make the run with dataset=data.describe()."
            )
    fingerprinted = [run for run in runs if run.dataset.get("test_fingerprint")]
    sizes = {tuple(run.dataset.get("image_shape") or ()) for run in fingerprinted}
    _refuse_difference(
        fingerprinted,
        lambda run: run.dataset["test_fingerprint"],
        "tested on other images than",
        cure=""
        if len(sizes) < 2
        else " Their sizes differ: load the images once, at the larger size, and begin the model of the smaller one with "
        "keras.layers.Resizing.",
    )
    _refuse_difference(completed, lambda run: run.test_labels.tobytes(), "other test labels than", show=False)


def _check_predictions(run: Run) -> None:
    if len(run.test_probabilities) != len(run.test_labels) or not len(run.test_labels):
        raise UnfairComparisonError(f"run {run.name!r} has no test probabilities. Train or evaluate it again.")
    try:
        _ = run.test_predictions  # raises if the probabilities are none
    except InvalidInputError as error:
        raise UnfairComparisonError(str(error)) from None


def _refuse_difference(
    runs: Sequence[Run], value: Callable[[Run], Any], says: str, *, show: bool = True, cure: str = ""
) -> None:
    if not runs:
        return
    first, *others = runs
    expected = value(first)
    different = [run for run in others if value(run) != expected]
    if different:
        given = f" ({_short(value(different[0]))}, not {_short(expected)})" if show else ""
        raise UnfairComparisonError(
            f"{_quoted(run.name for run in different)}: {says} {first.name!r}{given}. "
            f"Compare only runs that were made with the same Dataset.{cure}"
        )


def _short(value: object) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    if len(text) == 64 and " " not in text:
        return f"{text[:12]}.."  # a fingerprint
    return text if len(text) <= 120 else f"{text[:117]}..."


def _quoted(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def choose_baseline(models: Sequence[ComparedModel], baseline: str | None) -> str | None:
    """Return the name of the model that the others are measured against.

    Parameters
    ----------
    models : sequence of ComparedModel
        The models listed.
    baseline : str, optional
        A name; the first one with a completed run if None.

    Returns
    -------
    str or None
        None if no run is completed.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    UnfairComparisonError
        If it has no completed run.
    """
    if baseline is None:
        return next((model.name for model in models if model.completed), None)
    names = [model.name for model in models]
    if baseline not in names:
        raise UnknownNameError("baseline", baseline, names)
    status = models[names.index(baseline)].status
    if status != "completed":
        raise UnfairComparisonError(f"the baseline {baseline!r} is {status!r}, so nothing can be measured against it.")
    return baseline


def selected_on_test(runs: Sequence[Run]) -> list[str]:
    """Return the names of the models whose weights were chosen by their test result."""
    return list(dict.fromkeys(run.name for run in runs if run.selection == "test" or _validates_on_test(run)))


def _validates_on_test(run: Run) -> bool:
    """Whether the images that chose the epoch are the test images under another name."""
    chose = run.dataset.get("validation_fingerprint") if run.selection == "validation" else None
    return chose is not None and chose == run.dataset.get("test_fingerprint")


def trained_on_test(runs: Sequence[Run]) -> list[str]:
    """Return the names of the models whose training images are their test images."""
    return list(
        dict.fromkeys(
            run.name
            for run in runs
            if run.dataset.get("train_fingerprint")
            and run.dataset["train_fingerprint"] == run.dataset.get("test_fingerprint")
        )
    )


def refuse_barred(runs: Sequence[Run]) -> None:
    """Refuse a verdict on models that were selected or trained on the test images.

    Raises
    ------
    UnfairComparisonError
        If there are any; the message names them.
    """
    barred = dict.fromkeys([*selected_on_test(runs), *trained_on_test(runs)])
    if barred:
        raise UnfairComparisonError(
            f"{_quoted(barred)}: selected or trained on the test images, so accuracies say nothing. Train again."
        )
