"""Trained models side by side: runs in, numbers out. The words stand in `transferkit.report`."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from transferkit.compare.class_tests import test_classes
from transferkit.compare.compared_model import ComparedModel, group_into_models
from transferkit.compare.fairness import (
    check_fair,
    check_margin,
    choose_baseline,
    collect_runs,
    refuse_barred,
    selected_on_test,
    trained_on_test,
)
from transferkit.compare.pair_tests import Family, choose_family, find_clusters, find_pair, test_pairs
from transferkit.compare.pareto import find_front
from transferkit.compare.table import build_table
from transferkit.compare.transfer import TransferEffect, describe_effect, find_transfer_pairs
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.runs.grouping import Runs
from transferkit.runs.run import Run
from transferkit.statistics.intervals import accuracy_interval

if TYPE_CHECKING:
    import pandas as pd

_UNEQUAL: Final = 1.5
_FEW_SEEDS: Final = 2


@dataclass(frozen=True)
class MostFrequentClass:
    """What answering the most frequent class every time would score.

    Parameters
    ----------
    name : str
        The class.
    accuracy, low, high : float
        Its share of the test images, with the 95% interval.
    f1_macro, balanced_accuracy : float
        What such a model has of these.
    """

    name: str
    accuracy: float
    low: float
    high: float
    f1_macro: float
    balanced_accuracy: float


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResults:
    """The numbers of a comparison; `transferkit.Comparison`, which puts them into words, describes the fields."""

    models: tuple[ComparedModel, ...]
    baseline: str | None
    table: "pd.DataFrame"
    tests: "pd.DataFrame"
    margin: float
    family: Family

    @classmethod
    def from_runs(cls, runs: Runs, *, baseline: str | None, margin: float, family: str | None, seed: int) -> Self:
        """Return the comparison of these runs; `transferkit.compare_runs` describes the parameters and what is refused."""
        check_margin(margin)
        check_seed(seed)
        models = group_into_models(collect_runs(runs))
        listed = [run for model in models for run in model.runs]
        check_fair(listed)
        chosen = choose_baseline(models, baseline)
        tested = choose_family(family, models)
        barred = selected_on_test(listed) or trained_on_test(listed)
        tests = test_pairs(() if barred else models, baseline=chosen, family=tested, margin=margin, seed=seed)
        return cls(models, chosen, build_table(models, chosen), tests, margin, tested)

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, those of one model one after the other. Those that diverged or were interrupted are listed, not compared."""
        return tuple(run for model in self.models for run in model.runs)

    @property
    def leading(self) -> list[ComparedModel]:
        """The most accurate model, and the one that the verdict sets against it: the baseline, or else the runner-up."""
        completed = [model for model in self.models if model.completed]
        ranked = sorted(completed, key=lambda model: -model.mean("accuracy"))
        return ranked[:1] + sorted(ranked[1:], key=lambda model: model.name != self.baseline)[:1]

    @property
    def has_seeds(self) -> bool:
        """Whether a model was trained with more than one seed."""
        return any(len(model.runs) > 1 for model in self.models)

    @property
    def few_seeds(self) -> list[str]:
        """Names of the models with two completed runs: so few say next to nothing of how much seeds vary. Folds are counted besides."""
        return [model.name for model in self.models if len(model.completed) == _FEW_SEEDS and model.folds is None]

    @property
    def added_seeds(self) -> dict[str, list[int]]:
        """Seeds that were added after the first plan, by model: to add some after a look makes false alarms more frequent."""
        return {model.name: model.added_seeds for model in self.models if model.added_seeds}

    @property
    def repeated_images(self) -> int:
        """How many test images equal another one; each group of them counts as one image in intervals and tests."""
        clusters = find_clusters(self.models)
        if clusters is None:
            return 0
        sizes = np.bincount(clusters)
        return int(sizes[sizes > 1].sum())

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Number of test images of each class; empty if no run finished."""
        completed = [model for model in self.models if model.completed]
        if not completed:
            return {}
        names = completed[0].example.class_names
        return dict(zip(names, np.bincount(completed[0].test_labels, minlength=len(names)).tolist(), strict=True))

    @property
    def most_frequent(self) -> MostFrequentClass | None:
        """What the most frequent class alone would score, where it has at least half as many images again as the rarest; else None."""
        present = [count for count in self.class_counts.values() if count]
        if not present or max(present) < _UNEQUAL * min(present):
            return None
        name = max(self.class_counts, key=self.class_counts.__getitem__)
        labels = next(model.test_labels for model in self.models if model.completed)
        right = labels == list(self.class_counts).index(name)
        low, high = accuracy_interval(right[None], find_clusters(self.models))
        share = float(right.mean())
        return MostFrequentClass(name, share, low, high, 2 * share / (1 + share) / len(present), 1 / len(present))

    @cached_property
    def transfer_effects(self) -> tuple[TransferEffect, ...]:
        """Whether transfer helped, where models of one architecture say it: pretrained against from scratch, fine-tuned against frozen."""
        if not len(self.tests):
            return ()
        found = {model.name: model for model in self.models}
        return tuple(
            describe_effect(found[a], found[b], find_pair(self.tests, a, b))
            for a, b in find_transfer_pairs(self.models)
        )

    def pareto(self, cost: str = "train_seconds") -> "pd.DataFrame":
        """Return which models are worth their cost: those that no other model beats at the same cost or less.

        Parameters
        ----------
        cost : {"train_seconds", "parameters", "trainable_parameters", "test_seconds"}, default "train_seconds"
            What is spent: seconds, or a number of weights. Times compare only on the same hardware.

        Returns
        -------
        DataFrame
            One row for each model whose cost is recorded, indexed by name, cheapest first: ``cost``; ``accuracy``; ``on_front`` (no other
            one costs no more and is more accurate, or as accurate and cheaper); ``beaten_by``: names of the models that cost no more and
            are better by the verdict of the tests, separated by commas.

        Raises
        ------
        UnknownNameError
            If there is no such cost.

        Examples
        --------
        >>> import numpy as np
        >>> import transferkit as tk
        >>> truth = np.arange(200) % 2
        >>> common = {"class_names": ("cat", "dog"), "test_labels": truth, "seed": 0}
        >>> common["dataset"] = {"test_fingerprint": "3fa9"}
        >>> def made(name, right, seconds):
        ...     answers = np.eye(2)[truth * (np.arange(200) < right)]
        ...     return tk.Run(
        ...         name=name, test_probabilities=answers, phases=[{"name": "train", "seconds": seconds}], **common
        ...     )
        >>> compared = tk.compare_runs([made("slow", 150, 60.0), made("quick", 190, 30.0)])
        >>> compared.pareto()["beaten_by"].to_dict()
        {'quick': '', 'slow': 'quick'}
        """
        return find_front(self.models, self.tests, cost)

    def class_tests(self, name: str, other: str | None = None) -> "pd.DataFrame":
        """Return in which classes two models differ.

        Parameters
        ----------
        name : str
            The model that is ``a``.
        other : str, optional
            The model that is ``b``; the baseline if None.

        Returns
        -------
        DataFrame
            One row a class, indexed by its name: ``images`` (test images), ``recall_a``, ``recall_b`` and their ``difference``, with
            the columns of `tests` that are about accuracy. ``p_holm`` is adjusted for the classes.

        Raises
        ------
        UnknownNameError
            If no model with completed runs has that name.
        UnfairComparisonError
            If there is no verdict on these models, since one was selected or trained on the test images.
        InvalidInputError
            If both names are the same.
        """
        first, second = self.name_pair(name, other)
        refuse_barred(self.runs)
        found = {model.name: model for model in self.models}
        return test_classes(found[first], found[second], margin=self.margin)

    def name_pair(self, name: str, other: str | None) -> tuple[str, str]:
        """Return two models with completed runs, the baseline for None.

        Raises
        ------
        UnknownNameError
            If no model with completed runs has that name.
        InvalidInputError
            If both are the same.
        """
        known = self.check_known(name, other)
        pair = (name, str(self.baseline) if other is None else other)
        if pair[0] == pair[1] and other is None:
            raise InvalidInputError(
                f"{name!r} is the baseline itself; name the model that it is compared with as well."
            )
        if pair[0] == pair[1]:
            raise InvalidInputError(f"name and other must be two models; both are {name!r}. Known: {', '.join(known)}.")
        return pair

    def check_known(self, *names: str | None) -> list[str]:
        """Return the names of the models with completed runs, after checking that those given are among them.

        Raises
        ------
        UnknownNameError
            If one is not.
        """
        known = [model.name for model in self.models if model.completed]
        for name in names:
            if name is not None and name not in known:
                raise UnknownNameError("model", name, known)
        return known
