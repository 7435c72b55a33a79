"""The runs of one model: one recipe, trained once for each seed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import UnfairComparisonError
from transferkit.runs.grouping import clusters_of
from transferkit.runs.metrics import LOG_LOSS_CLIP
from transferkit.runs.run import Run
from transferkit.statistics.clusters import Clusters
from transferkit.statistics.image_scores import score_images

_MUST_AGREE: Final = ("parameters", "trainable_parameters", "layers")
# Not the source: the same file comes from a cache or a server.
_WEIGHTS: Final = ("sha256", "backbone", "width", "image_size")
# Keras numbers models without a name, so that each seed's backbone would be called something else.
_NUMBERED: Final = re.compile(r"(functional|sequential)_\d+")
# scikit-learn's classifiers whose result no seed changes, after steps of which that is true as well.
_WITHOUT_CHANCE: Final = ("KNeighborsClassifier", "LogisticRegression", "GaussianNB", "HistGradientBoostingClassifier")
_RANDOM_SOLVERS: Final = ("liblinear", "sag", "saga")
_STOPS_EARLY_ABOVE: Final = 10_000  # training images, unless early_stopping= says otherwise
_PREPARING: Final = (
    "FlattenPixels",
    "StandardScaler",
    "MinMaxScaler",
    "MaxAbsScaler",
    "RobustScaler",
    "Normalizer",
    "passthrough",
)
_SIZES_OF_SPLITS: Final = ("train_size", "validation_size", "left_out_of_an_epoch")
_GROUPS_MOVE: Final = 0.1  # the share of the images by which sizes differ at most where groups stay whole
_MAY_DIFFER: Final = ("seed", "random_state", "temperature")  # a temperature is fitted to each run


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """The runs that a comparison counts as one model: those of one name.

    Parameters
    ----------
    name : str
        What the table calls it.
    runs : tuple of Run
        One for each seed, at least one; those that diverged or were interrupted are counted, not averaged.
    """

    name: str
    runs: tuple[Run, ...]

    @cached_property
    def completed(self) -> tuple[Run, ...]:
        """The runs that have results."""
        return tuple(run for run in self.runs if run.status == "completed")

    @property
    def status(self) -> str:
        """``"completed"`` if one run is, else how the first one ended."""
        return "completed" if self.completed else self.runs[0].status

    @property
    def example(self) -> Run:
        """The run that stands for the recipe: the first completed one, or else the first."""
        return (self.completed or self.runs)[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the runs."""
        return [run.seed for run in self.runs]

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Which test images each completed run answers correctly, shape (runs, images)."""
        return np.stack([run.test_correct for run in self.completed])

    @cached_property
    def accuracies(self) -> NDArray[np.float64]:
        """Test accuracy of each completed run."""
        return self.correct.mean(axis=1)

    @property
    def test_labels(self) -> NDArray[np.int64]:
        """True classes of the test images."""
        return self.example.test_labels

    @cached_property
    def clusters(self) -> Clusters | None:
        """Which test images are equal or belong together; None if none do, or it is not recorded."""
        return clusters_of(self.example)

    @cached_property
    def has_no_chance(self) -> bool:
        """Whether other seeds would give the same answers, by what was trained or by what several seeds did."""
        if len(self.completed) > 1:
            # Seeds that draw training images of their own move even a method without chance.
            return len({run.dataset.get("train_fingerprint") for run in self.completed}) == 1 and bool(
                (self.correct == self.correct[0]).all()
            )
        recipe = self.example.recipe
        *before, last = recipe.get("steps") or [""]
        stops = recipe.get("early_stopping", "auto")
        if stops == "auto":  # as it is where nobody says otherwise
            stops = last.startswith("Hist") and (self.example.dataset.get("train_size") or 0) > _STOPS_EARLY_ABOVE
        if stops:
            return False  # it draws validation images of its own
        return (
            last in _WITHOUT_CHANCE
            and set(before) <= set(_PREPARING)
            and recipe.get("solver") not in _RANDOM_SOLVERS
            and recipe.get("max_features", 1.0) == 1.0  # it draws pixels
        )

    @property
    def added_seeds(self) -> list[int]:
        """The seeds that were added after the first plan was made, and so perhaps after a look at its results."""
        plans = [(run.created, planned) for run in self.runs if (planned := planned_seeds(run)) is not None]
        return [] if not plans else [seed for seed in self.seeds if seed not in min(plans)[1]]

    @cached_property
    def folds(self) -> NDArray[np.int64] | None:
        """The fold that held out each image in each completed run, shape (runs, images); None if it was no cross-validation."""
        folds = [run.dataset.get("folds") for run in self.completed]
        return None if not folds or any(each is None for each in folds) else np.array(folds, np.int64)

    def fold_means(self, metric: str) -> NDArray[np.float64]:
        """Return a metric on each fold of each completed run of a cross-validation."""
        folds, scores = self.folds, self.scores(metric)
        if folds is None:
            raise ValueError(f"{self.name!r} was not cross-validated")
        return np.array(
            [row[each == fold].mean() for row, each in zip(scores, folds, strict=True) for fold in np.unique(each)]
        )

    def scores(self, metric: str) -> NDArray[np.float64]:
        """Return what each completed run adds to a metric on each test image, shape (runs, images)."""
        return np.stack(
            [
                score_images(metric, run.test_labels, run.test_probabilities, clip=LOG_LOSS_CLIP)
                for run in self.completed
            ]
        )

    def mean(self, metric: str) -> float:
        """Return the mean of a test metric over the completed runs."""
        return float(np.mean([dict(run.metrics)[metric] for run in self.completed]))


def group_into_models(groups: Mapping[str, Sequence[Run]]) -> tuple[ComparedModel, ...]:
    """Return the models, or refuse runs of one name that are not seeds of one recipe.

    Parameters
    ----------
    groups : mapping of str to sequence of Run
        The runs of each name.

    Returns
    -------
    tuple of ComparedModel
        In the order given, the runs of each by seed.

    Raises
    ------
    UnfairComparisonError
        If two runs of one name have the same seed, or differ in recipe, size of the network, initial weights, image size, amount
        of data, or in how epoch and settings were chosen.
        The message says in what.
    """
    for name, runs in groups.items():
        _check_one_recipe(name, runs)
    return tuple(ComparedModel(name, tuple(sorted(runs, key=lambda run: run.seed))) for name, runs in groups.items())


def _check_one_recipe(name: str, runs: Sequence[Run]) -> None:
    first, *others = runs
    for place, run in enumerate(others, 1):
        if run.seed in [earlier.seed for earlier in runs[:place]]:
            if run.dataset.get("labels_per_class") != first.dataset.get("labels_per_class"):
                raise UnfairComparisonError(
                    f"the runs called {name!r} were trained on different numbers of labels: efficiency_curve compares these. Or compare the "
                    "runs of one number."
                )
            raise UnfairComparisonError(
                f"two runs are called {name!r} and have the same seed, {run.seed}. Give a dict of name to run, so that "
                "the table can tell them apart; only runs with different seeds count as one model."
            )
        expected, given = _describe(first), _describe(run)
        if _were_split_anew(first, run):
            for name_of_size in _SIZES_OF_SPLITS:
                given[name_of_size] = expected.get(name_of_size)
        differing = [
            f"{key} {expected.get(key)!r} and {given.get(key)!r}"
            for key in dict.fromkeys([*expected, *given])
            if expected.get(key) != given.get(key)
        ]
        if differing:
            raise UnfairComparisonError(
                f"the runs called {name!r} are not seeds of one recipe: {'; '.join(differing)}. Give each recipe a name of its own."
            )


def _were_split_anew(first: Run, other: Run) -> bool:
    """Whether training and validation images are the same ones, divided by seeds, so that whole groups make the sizes differ a little."""
    a, b = first.dataset, other.dataset
    sizes = np.array([[data.get("train_size") or 0, data.get("validation_size") or 0] for data in (a, b)])
    (total, other_total), moved = sizes.sum(axis=1), abs(sizes[0, 0] - sizes[1, 0])
    anew = a.get("split_seed") != b.get("split_seed") and total == other_total and (sizes > 0).all()
    return bool(anew and moved <= _GROUPS_MOVE * total)


def _describe(run: Run) -> dict[str, Any]:
    """Return what every seed of one recipe has in common."""
    sizes = {key: run.model_info.get(key) for key in _MUST_AGREE}
    data = {key: run.dataset.get(key) for key in ("train_size", "validation_size", "labels_per_class")}
    weights = {key: run.provenance.get(key) for key in _WEIGHTS}
    if numbered := _NUMBERED.fullmatch(str(weights["backbone"])):
        weights["backbone"] = numbered[1]
    choice = {"selection": run.selection, "tuning_trials": run.tuning_trials}
    classifier = dict(_flatten("estimator", _without_seeds(run.model_info.get("estimator", {}))))
    return _without_seeds(run.recipe) | sizes | data | weights | choice | classifier


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what nested dicts and lists hold, each with its place."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flatten(name if key == "parameters" else f"{name}.{key}", item)
    else:
        yield name, value


def _without_seeds(value: Any) -> Any:
    if isinstance(value, dict):
        # An estimator's parameters may stand under names like "svc__random_state".
        return {key: _without_seeds(item) for key, item in value.items() if str(key).split("__")[-1] not in _MAY_DIFFER}
    if isinstance(value, list | tuple):
        return [_without_seeds(item) for item in value]
    return value


def are_paired(first: ComparedModel, second: ComparedModel) -> bool:
    """Return whether seeds belong together one by one: the same seeds, each with training images of its own that both models share."""
    a, b = first.completed, second.completed
    splits = [run.dataset.get("train_fingerprint") for run in a]
    return (
        len(a) > 1
        and [run.seed for run in a] == [run.seed for run in b]
        and splits == [run.dataset.get("train_fingerprint") for run in b]
        and None not in splits
        and len(set(splits)) > 1
    )


def planned_seeds(run: Run) -> list[int] | None:
    """Return the seeds of which this run was declared to be one before any was trained; None if there was no such plan."""
    plan = getattr(run, "plan", None)
    seeds = plan.get("seeds") if isinstance(plan, Mapping) else None
    return None if seeds is None else [int(seed) for seed in seeds]


def share_folds(first: ComparedModel, second: ComparedModel) -> bool:
    """Return whether both models were cross-validated on the same folds."""
    a, b = first.folds, second.folds
    return a is not None and b is not None and a.shape == b.shape and bool((a == b).all())
