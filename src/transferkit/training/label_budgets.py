"""train_label_budgets: how accuracy grows with the number of labels, for several ways of training."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transferkit.data.splits import check_labels_per_class
from transferkit.errors import InvalidInputError, each_warning_once
from transferkit.runs.run import Run
from transferkit.training.tasks import (
    Build,
    Data,
    Method,
    Task,
    check_build,
    check_method,
    check_seeds,
    resolve_data,
    run_tasks,
)

Options = Mapping[str, Any] | Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One way of training in a `train_label_budgets` experiment.

    Parameters
    ----------
    build : callable
        Returns a new compiled model; see `repeat`.
    method : {"train", "fine_tune"}, default "train"
        What trains it.
    options : mapping or callable, optional
        Options of the method, over those that all arms share. A function is called with the number of labels per class, for
        what must grow or shrink with it, and returns the options.

    Examples
    --------
    >>> import transferkit as tk
    >>> arm = Arm(tk.build_cnn, options=lambda labels: {"epochs": max(5, 3000 // labels)})
    >>> arm.options_at(10)
    {'epochs': 300}
    """

    build: Build
    method: Method = "train"
    options: Options = field(default_factory=dict)

    def options_at(self, labels_per_class: int) -> dict[str, Any]:
        """Return the options for a number of labels per class.

        Parameters
        ----------
        labels_per_class : int
            A budget of the experiment.

        Returns
        -------
        dict
            Options of `method`, by name.

        Raises
        ------
        InvalidInputError
            If the function given as `options` returns no mapping.
        """
        found: Any = self.options(labels_per_class) if callable(self.options) else self.options
        if not isinstance(found, Mapping):
            raise InvalidInputError(f"the options of an arm must be a mapping of names to values; got {found!r:.80}.")
        return dict(found)


@each_warning_once()
def train_label_budgets(
    arms: Mapping[str, Build | Arm],
    data: Data,
    *,
    labels_per_class: Iterable[int] = (10, 30, 100, 300, 1000),
    seeds: Iterable[int] = (0, 1, 2),
    folder: str | Path | None = None,
    n_jobs: int | None = None,
    verbose: bool = True,
    **options: Any,
) -> list[Run]:
    """Train each arm on more and more labels, to see from how many labels on pretraining no longer pays.

    For each seed one random order of the training images of each class is drawn; the first 10 of each class, the first 30, ...
    are what all arms learn from. So the subsets are class-balanced and nested, all arms see the same ones, and the differences
    between arms are paired. `efficiency_curve` says what the runs support.

    Parameters
    ----------
    arms : mapping of str to callable or Arm
        What to compare, by name: a function that returns a new compiled model (see `repeat`), or an `Arm` where the arm has a
        method or options of its own.
    data : Dataset or callable
        As in `repeat`. Its validation images stay as they are, whatever the budget: they are labels too, so keep them few, or
        leave them out (``validation=0``), if a small budget is to mean what it says.
    labels_per_class : iterable of int, default (10, 30, 100, 300, 1000)
        The budgets.
    seeds : iterable of int, default (0, 1, 2)
        Each draws subsets, initial weights, order and augmentation. Three are few; with five or more, smaller differences
        can be told from chance.
    folder : path, optional
        Save each run as ``folder/<arm>-<budget>-per-class-seed-<seed>``; finished runs are found again.
    n_jobs, verbose
        As in `repeat`.
    **options
        Options of `train` (or `fine_tune`) that all arms share. Each run trains with copies of the callbacks.

    Returns
    -------
    list of Run
        By arm, budget and seed, without their models. The name of a run is its arm; ``run.dataset["labels_per_class"]`` its
        budget.

    Raises
    ------
    InvalidInputError
        Before any training, if there is no arm, a budget is no int of 1 or more, is given twice or is more than a class has,
        or anything is wrong that `repeat` refuses.
    UnknownNameError
        Before any training, if a method does not exist or does not have an option.
    FailedRunsError
        At the end, if some runs failed; see `repeat`.

    Examples
    --------
    >>> import functools
    >>> import transferkit as tk
    >>> from sklearn.datasets import load_digits
    >>> digits, labels = load_digits(return_X_y=True)
    >>> images = (digits * 15).astype("uint8").reshape(-1, 8, 8, 1)
    >>> data = tk.Dataset.from_arrays(
    ...     (images[:1200], labels[:1200]), (images[1200:], labels[1200:]), allow_overlap=True
    ... )
    >>> runs = tk.train_label_budgets(
    ...     {"naive Bayes": functools.partial(tk.build_baseline, "naive_bayes")},
    ...     data,
    ...     labels_per_class=(10, 30),
    ...     seeds=(0, 1),
    ...     verbose=False,
    ... )
    >>> len(runs)  # one arm, two budgets, two seeds
    4
    >>> tk.efficiency_curve(runs, baseline="naive Bayes").plot().get_xscale()
    'log'
    """
    chosen = check_seeds(seeds)
    budgets = _check_budgets(labels_per_class)
    named = _check_arms(arms)
    tasks = []
    for name, arm in named.items():
        for budget in budgets:
            merged = options | arm.options_at(budget)
            check_method(arm.method, merged)
            label = f"{name}-{budget}-per-class-seed-"
            tasks += [
                Task(arm.build, arm.method, merged, name, seed, f"{label}{seed}", budget, tuple(chosen))
                for seed in chosen
            ]
    for arm in named.values():
        check_build(arm.build, chosen, arm.method)
    resolve_data(data, chosen[0]).subset(max(budgets), seed=chosen[0])  # raises if a class has fewer
    return run_tasks(tasks, data, folder=folder, n_jobs=n_jobs, verbose=verbose)


def _check_budgets(labels_per_class: Iterable[int]) -> list[int]:
    if isinstance(labels_per_class, str | bytes) or not isinstance(labels_per_class, Iterable):
        raise InvalidInputError(
            f"labels_per_class must be several ints, for example (10, 100); got {labels_per_class!r}."
        )
    budgets = sorted(check_labels_per_class(budget) for budget in labels_per_class)
    if not budgets or len(set(budgets)) < len(budgets):
        raise InvalidInputError(f"labels_per_class must name at least one number of labels, each once; got {budgets}.")
    return budgets


def _check_arms(arms: Mapping[str, Build | Arm]) -> dict[str, Arm]:
    given: Any = arms
    if not isinstance(given, Mapping) or not given:
        raise InvalidInputError(
            f"arms must map at least one name to a function that returns a model, or to an Arm; got {given!r:.80}."
        )
    return {str(name): arm if isinstance(arm, Arm) else Arm(arm) for name, arm in given.items()}
