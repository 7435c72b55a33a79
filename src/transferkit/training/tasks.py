"""Many trainings in one call: each a task of its own, run here or fanned out to other processes with joblib."""

import copy
import gc
import inspect
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import format_exception
from typing import Any, Final, Literal, get_args

import joblib
import keras
import numpy as np

from transferkit import files, progress
from transferkit.data.dataset import Dataset
from transferkit.data.splits import check_seed
from transferkit.errors import (
    FailedRunsError,
    InvalidInputError,
    RunError,
    TransferKitWarning,
    UnknownNameError,
    warn,
)
from transferkit.features.threads import limit_threads
from transferkit.features.workers import ROUNDS, describe_lost_worker, may_be_lost_worker, tell_lost_worker
from transferkit.models._seeding import seeded
from transferkit.runs.run import Run
from transferkit.training.classifier import check_classifier, is_classifier
from transferkit.training.fitting import fine_tune, train
from transferkit.training.keeping import refuse_in_forked_child, run_folder
from transferkit.training.options import check_callbacks
from transferkit.training.record import PLANNED_SEEDS

Method = Literal["train", "fine_tune"]
Build = Callable[..., Any]
Data = Dataset | Callable[..., Dataset]

_METHODS: Final[dict[str, Callable[..., Run]]] = {"train": train, "fine_tune": fine_tune}
_SET_HERE: Final = ("model", "data", "seed", "name", "folder", "save_as", "verbose")
# Keras keeps global state, so of the threads of one process (joblib's threading backend, Dask workers) one trains at a time.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, eq=False)
class Task:
    """One training: what is built and trained on what, and where it is saved.

    Parameters
    ----------
    build : callable
        Returns the model.
    method : {"train", "fine_tune"}
        What trains it.
    options : mapping
        Of the method.
    name : str
        Of the run.
    seed : int
        Of everything random.
    label : str
        What tells this run from the others of the call; also the name of its folder.
    labels_per_class : int, optional
        How many training images of each class are kept, drawn by the seed. All if None.
    planned_seeds : tuple of int
        All seeds of the call, this one included: seeds that are added later, perhaps after a look at the results, are told from them.
    """

    build: Build
    method: Method
    options: Mapping[str, Any]
    name: str
    seed: int
    label: str
    labels_per_class: int | None = None
    planned_seeds: tuple[int, ...] = ()


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds as a list of distinct Python ints of 0 or more, or raise `InvalidInputError`."""
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise InvalidInputError(f"seeds must be several ints, for example range(5); got {seeds!r}.")
    checked = [check_seed(seed) for seed in seeds]
    if not checked:
        raise InvalidInputError("seeds is empty; give one seed for each run, for example range(5).")
    if len(set(checked)) < len(checked):
        raise InvalidInputError(f"each seed may be given once, since the same seed gives the same run; got {checked}.")
    return checked


def check_method(method: str, options: Mapping[str, Any]) -> None:
    """Raise `UnknownNameError` if there is no such method, or it does not have one of the options."""
    if method not in get_args(Method):
        raise UnknownNameError("method", method, get_args(Method))
    known = [name for name in inspect.signature(_METHODS[method]).parameters if name not in _SET_HERE]
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {method}", name, known)


def for_one_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with copies of the callbacks: what one knows after a training is no part of the next."""
    given = check_callbacks(options.get("callbacks"))
    if not given:
        return dict(options)
    try:
        return {**options, "callbacks": copy.deepcopy(given)}  # together, since one may know another
    except Exception:  # noqa: BLE001 - what others hold fails in any way
        return {**options, "callbacks": given}


def check_build(build: Build, seeds: Sequence[int], method: Method = "train") -> str:
    """Build two models, check that they can be trained apart, and return what their runs are called by default.

    Raises
    ------
    InvalidInputError
        If `build` is not callable, or returns something else than a compiled model, or models that train each other.

    Warns
    -----
    TransferKitWarning
        If `build` takes no seed and returns the same weights for two of the seeds.
    """
    if not callable(build):
        raise InvalidInputError(
            f"build must be a function that returns a new model, for example transferkit.build_cnn; got {type(build).__name__}."
        )
    model = build_model(build, seeds[0])
    if isinstance(model, keras.Model):
        several = len(seeds) > 1 and not _takes_seed(build)
        # A model of another seed may fail to be built, which is that run's own affair.
        again = build_model(build, seeds[1] if several else seeds[0])
        _refuse_shared(model, again, method)
        if several and _start_alike(model, again):
            warn(
                "build takes no seed, and all its models start from the same weights: the spread over the seeds will lack what "
                "initialisation adds. Pass a function of seed, for example lambda seed: transferkit.build_cnn(seed=seed)."
            )
    return str(getattr(model, "name", type(model).__name__))


def _start_alike(model: Any, again: Any) -> bool:
    start, other = model.get_weights(), again.get_weights()
    return len(start) == len(other) and all(map(np.array_equal, start, other))


def _refuse_shared(model: Any, again: Any, method: Method) -> None:
    """Raise if two models of one builder hold the same weights, so that training one trains the other."""
    theirs = {id(variable) for variable in again.weights}
    shared = [variable for variable in model.weights if id(variable) in theirs]
    if any(variable.trainable or method == "fine_tune" for variable in shared):
        raise InvalidInputError(
            f"build returns models that share weights ({shared[0].path}), so each training would go on from the one before it, which may "
            "have seen its test images. Make all layers that train inside of the function."
        )


def build_model(build: Build, seed: int) -> Any:
    """Build a model whose initial weights follow `seed`, or raise `InvalidInputError` if it is none."""
    with seeded(seed):
        model = _call(build, seed)
    if is_classifier(model):
        check_classifier(model)
    elif not isinstance(model, keras.Model):
        raise InvalidInputError(
            f"build must return a compiled keras.Model or a scikit-learn classifier; it returned {type(model).__name__}."
        )
    if isinstance(model, keras.Model) and not model.compiled:
        raise InvalidInputError("build must return a compiled model; call model.compile(...) in it.")
    return model


def resolve_data(data: Data, seed: int) -> Dataset:
    """Return the dataset, or what the function makes of `seed`; raise `InvalidInputError` if that is none."""
    found = data if isinstance(data, Dataset) or not callable(data) else _call(data, seed)
    if not isinstance(found, Dataset):
        raise InvalidInputError(
            f"data must be a Dataset, or a function of seed that returns one; got {type(found).__name__}."
        )
    return found


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C
        return []


def _takes_seed(function: Callable[..., Any]) -> bool:
    named = [each for each in _parameters(function) if each.kind is not inspect.Parameter.POSITIONAL_ONLY]
    return any(each.name == "seed" or each.kind is inspect.Parameter.VAR_KEYWORD for each in named)


def _call(function: Callable[..., Any], seed: int) -> Any:
    if not _takes_seed(function):
        return function()
    try:
        return function(seed=seed)
    except (TypeError, ValueError) as error:  # **options may go on to something that takes no seed
        if "seed" not in str(error) or any(each.name == "seed" for each in _parameters(function)):
            raise
        return function()


def run_tasks(
    tasks: Sequence[Task], data: Data, *, folder: str | Path | None, n_jobs: int | None, verbose: bool
) -> list[Run]:
    """Run all tasks, as many at once as joblib is told to, and return their runs in order.

    Raises
    ------
    FailedRunsError
        If some failed, after all others are finished. If all failed for one and the same reason, that error itself.
    """
    _check_folders(tasks)
    place = None if folder is None else files.as_path(folder, "folder").absolute()  # a worker may be somewhere else
    expected = resolve_data(data, tasks[0].seed).fingerprints["test"]
    backend, _ = joblib.parallel.get_active_backend()
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator" if backend.supports_return_generator else "list")

    def start(some: Sequence[Task]) -> Any:
        return parallel(
            joblib.delayed(_attempt)(task, data, expected, place, os.getpid(), verbose, len(tasks) > 1) for task in some
        )

    outcomes: list[Run | Exception] = []
    said: set[str] = set()
    for task, outcome, messages in _follow(tasks, start):
        # Arrays come from another process writable, and are read-only again in the copy.
        outcomes.append(replace(outcome, model=None) if isinstance(outcome, Run) else outcome)
        for message in messages:
            if message not in said:
                warn(f"{task.label}: {message}")
            said.add(message)
        if verbose and len(tasks) > 1:
            _report(task, outcomes, len(tasks))
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    failures = {
        task.label: outcome for task, outcome in zip(tasks, outcomes, strict=True) if isinstance(outcome, Exception)
    }
    if failures:
        first, *others = failures.values()
        if not runs and all((type(other), str(other)) == (type(first), str(first)) for other in others):
            raise first
        raise FailedRunsError.of(failures, runs)
    return runs


def _follow(
    tasks: Sequence[Task], start: Callable[[Sequence[Task]], Iterable[tuple[Run | Exception, list[str]]]]
) -> Iterator[tuple[Task, Run | Exception, list[str]]]:
    """Yield what becomes of each task.

    If a worker is killed, all that had not come back is started again, a few times; then that is what becomes of it.
    """
    done = 0
    for round_ in range(1, ROUNDS + 1):
        try:
            for outcome, messages in start(tasks[done:]):
                yield tasks[done], outcome, messages
                done += 1
        except Exception as error:  # noqa: BLE001 - backends raise what they like
            killed = error
        else:
            return
        if not may_be_lost_worker(killed):
            break
        if round_ < ROUNDS:
            tell_lost_worker(describe_lost_worker(killed))
    for task in tasks[done:]:
        yield task, killed, []


def _check_folders(tasks: Sequence[Task]) -> None:
    taken: dict[str, str] = {}
    for task in tasks:
        place = run_folder("", task.label).name
        if place in taken:
            raise InvalidInputError(
                f"{taken[place]!r} and {task.label!r} would be saved in one folder, {place!r}. Rename one."
            )
        taken[place] = task.label


def _attempt(
    task: Task, data: Data, expected: str, folder: Path | None, parent: int, verbose: bool, one_of_many: bool
) -> tuple[Run | Exception, list[str]]:
    """Run one task; return the run or the exception, and the warnings that the caller would not see otherwise."""
    with _ONE_AT_A_TIME:
        if os.getpid() == parent:
            with progress.brief() if one_of_many else nullcontext():
                return _catch(task, data, expected, folder, verbose), []
        limit_threads()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TransferKitWarning)
            outcome = _catch(task, data, expected, folder, verbose=False)
        if isinstance(outcome, Exception):
            outcome = _portable(outcome)
        return outcome, [str(item.message) for item in caught if issubclass(item.category, TransferKitWarning)]


def _catch(task: Task, data: Data, expected: str, folder: Path | None, verbose: bool) -> Run | Exception:
    try:
        # The model stays here: no other process could take it.
        return replace(_run(task, data, expected, folder, verbose), model=None)
    except Exception as error:  # noqa: BLE001 - one failed run must not lose the others
        error.add_note(f"In the run {task.label!r}:\n{''.join(format_exception(error))}")
        return error.with_traceback(None)  # its frames hold the model
    finally:
        gc.collect()  # Keras models hold themselves in cycles


def _portable(error: Exception) -> Exception:
    """Return the exception, or its text if it cannot cross to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - exceptions of others fail at this in any way
        text = RunError(f"{type(error).__name__}: {error}")
        for note in error.__notes__:
            text.add_note(note)
        return text
    return error


def _run(task: Task, data: Data, expected: str, folder: Path | None, verbose: bool) -> Run:
    refuse_in_forked_child()  # before anything of Keras runs
    chosen = resolve_data(data, task.seed)
    if chosen.fingerprints["test"] != expected:
        raise InvalidInputError(
            f"the test images of seed {task.seed} are not those of the first seed. Only the training and validation images may "
            "follow the seed, or the runs could not be compared."
        )
    if task.labels_per_class is not None:
        chosen = chosen.subset(task.labels_per_class, seed=task.seed)
    options = for_one_run(task.options) | {
        "seed": task.seed,
        "name": task.name,
        "folder": folder,
        "save_as": task.label,
    }
    model = build_model(task.build, task.seed)
    token = PLANNED_SEEDS.set(task.planned_seeds)
    try:
        return _METHODS[task.method](model, chosen, verbose=verbose, **options)
    finally:
        PLANNED_SEEDS.reset(token)


def _report(task: Task, outcomes: Sequence[Run | Exception], total: int) -> None:
    outcome = outcomes[-1]
    if isinstance(outcome, Exception):
        result = f"failed ({type(outcome).__name__})"
    else:
        result = f"accuracy {outcome.metrics['accuracy']:.4f}" if outcome.status == "completed" else outcome.status
    message = f"{len(outcomes)} of {total}: {task.label}: {result}"
    progress.say(message)
