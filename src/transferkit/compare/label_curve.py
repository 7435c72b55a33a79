"""Accuracy by the number of labels: the curve, and where an arm is better than the baseline, equal, worse, or undecided."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.compared_model import ComparedModel, are_paired, group_into_models
from transferkit.compare.fairness import check_fair, check_margin, collect_runs, refuse_barred
from transferkit.compare.pair_tests import compare_models, drop_impossible, find_clusters, take_verdicts
from transferkit.compare.transfer import TransferEffect, describe_effect, find_transfer_pairs
from transferkit.data.splits import is_int
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.runs.grouping import Runs
from transferkit.statistics.clusters import Clusters
from transferkit.statistics.conventions import LEVEL, NO_VARIANCE
from transferkit.statistics.image_scores import Metric
from transferkit.statistics.intervals import accuracy_interval
from transferkit.statistics.seeds_and_images import spread_of_difference, spread_of_mean
from transferkit.statistics.verdicts import Method, Verdict, turn_verdict

if TYPE_CHECKING:
    import pandas as pd

Cells = dict[str, dict[int, ComparedModel]]
MetricName = Literal["accuracy", "balanced_accuracy", "f1_macro", "loss", "brier"]

_VERDICTS: Final = {Verdict.A_BETTER.value: Verdict.BETTER.value, Verdict.B_BETTER.value: Verdict.WORSE.value}
_ENDS: Final = ("low", "high", "seed_low", "seed_high")
_NUMBERS: Final = ("difference", *_ENDS, "simultaneous_low", "simultaneous_high", "p", "p_equal", "detectable")
_COLUMNS: Final = ("arm", "labels_per_class", "method", *_NUMBERS)


@dataclass(frozen=True, eq=False, repr=False)
class LabelCurve:
    """The numbers of a label-efficiency curve; `transferkit.EfficiencyCurve`, which puts them into words, describes the fields."""

    baseline: str
    margin: float
    test_size: int
    points: "pd.DataFrame"
    table: "pd.DataFrame"
    differences: "pd.DataFrame"
    areas: "pd.DataFrame"
    metric: str = "accuracy"
    transfer_effects: tuple[TransferEffect, ...] = ()

    @property
    def smaller_is_better(self) -> bool:
        """Whether the metric is a loss."""
        return Metric(self.metric).smaller_is_better

    @classmethod
    def from_runs(cls, runs: Runs, *, baseline: str, margin: float, metric: MetricName) -> Self:
        """Return the curve of these runs; `transferkit.efficiency_curve` describes the parameters and what is refused."""
        import pandas as pd

        check_margin(margin)
        if metric not in get_args(MetricName):
            raise UnknownNameError("metric", metric, get_args(MetricName))
        groups = collect_runs(runs)
        if baseline not in groups:
            raise UnknownNameError("baseline", baseline, groups)
        listed = [run for group in groups.values() for run in group]
        check_fair(listed)
        refuse_barred(listed)
        cells = {name: _by_budget(name, group) for name, group in groups.items()}
        points = [
            {"arm": name, "labels_per_class": budget, "seed": run.seed, metric: float(run_value)}
            for name, arms in cells.items()
            for budget, arm in arms.items()
            if arm.completed
            for run, run_value in zip(arm.completed, arm.scores(metric).mean(axis=1), strict=True)
        ]
        if not points:
            raise InvalidInputError("no run is completed, so there is no curve.")
        clusters = find_clusters([arm for arms in cells.values() for arm in arms.values()])
        differences = _test(cells, baseline, margin, metric, clusters)
        return cls(
            baseline=baseline,
            margin=margin,
            test_size=max(len(run.test_labels) for run in listed),
            points=pd.DataFrame(points),
            table=pd.DataFrame([_mean(arm, n, metric, clusters) for arms in cells.values() for n, arm in arms.items()]),
            differences=differences,
            areas=pd.DataFrame([_area(name, cells, metric, clusters) for name in cells]),
            metric=metric,
            transfer_effects=_transfer_effects(cells, baseline, differences),
        )


def _by_budget(name: str, runs: Sequence[Any]) -> dict[int, ComparedModel]:
    groups: dict[int, list[Any]] = {}
    for run in runs:
        budget = run.dataset.get("labels_per_class")
        if not is_int(budget) or budget < 1:
            raise InvalidInputError(
                f"a run of {name!r} does not say how many labels per class it had. Make the runs with train_label_budgets, or "
                "train on data.subset(...)."
            )
        groups.setdefault(int(budget), []).append(run)
    return {budget: group_into_models({name: groups[budget]})[0] for budget in sorted(groups)}


def _interval(scores: NDArray[np.float64], metric: str, clusters: Clusters | None) -> tuple[float, float]:
    if metric == Metric.ACCURACY:
        return accuracy_interval(scores, clusters)
    low, high = spread_of_mean(scores, clusters).interval(float(scores.mean()))
    return _clip(low, metric), _clip(high, metric)


def _clip(value: float, metric: str) -> float:
    return min(max(value, 0.0), math.inf if Metric(metric).smaller_is_better else 1.0)


def _mean(arm: ComparedModel, budget: int, metric: str, clusters: Clusters | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arm": arm.name,
        "labels_per_class": budget,
        "runs": len(arm.runs),
        "seeds": len(arm.completed),
    }
    row |= dict.fromkeys((metric, "sd", *_ENDS), math.nan)
    if arm.completed:
        scores = arm.scores(metric)
        row[metric] = float(scores.mean())
        if len(scores) > 1:
            row["sd"] = float(scores.mean(axis=1).std(ddof=1))
            row["low"], row["high"] = _interval(scores, metric, clusters)
            seeds = spread_of_mean(scores).seed_interval(row[metric])
            row["seed_low"], row["seed_high"] = (_clip(end, metric) for end in seeds)
    return row


def _test(cells: Cells, baseline: str, margin: float, metric: str, clusters: Clusters | None) -> "pd.DataFrame":
    import pandas as pd

    reference = cells[baseline]
    compared = [
        (arm, reference[budget], budget)
        for name, arms in cells.items()
        if name != baseline
        for budget, arm in arms.items()
        if budget in reference
    ]
    tests = sum(min(len(arm.completed), len(other.completed)) > 1 for arm, other, _ in compared)
    level = LEVEL / max(tests, 1)  # Holm's adjustment asks this of the smallest p
    rows = [_difference(*pair, metric, margin, level, clusters) for pair in compared]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table = take_verdicts(table, smaller_is_better=Metric(metric).smaller_is_better)
    table["verdict"] = table["verdict"].replace(_VERDICTS).where(table["p"].notna(), Verdict.TOO_FEW_SEEDS.value)
    return table


def _difference(
    arm: ComparedModel,
    reference: ComparedModel,
    budget: int,
    metric: str,
    margin: float,
    level: float,
    clusters: Clusters | None,
) -> dict[str, Any]:
    place = {"arm": arm.name, "labels_per_class": budget}
    if min(len(arm.completed), len(reference.completed)) > 1:
        if metric == Metric.ACCURACY:
            row = compare_models(arm, reference, margin=margin, level=level, clusters=clusters)
            row["detectable"] = drop_impossible(
                row["detectable"], *(m.mean("accuracy") for m in (arm, reference))
            ).item()
        else:
            row = _compare_scores(arm, reference, metric, margin, level, clusters)
        return row | place | {"low": row["difference_low"], "high": row["difference_high"]}
    both = arm.completed and reference.completed
    difference = float(arm.scores(metric).mean() - reference.scores(metric).mean()) if both else math.nan
    return dict.fromkeys(_COLUMNS, math.nan) | place | {"method": Method.TOO_FEW_SEEDS.value, "difference": difference}


def _compare_scores(
    arm: ComparedModel, reference: ComparedModel, metric: str, margin: float, level: float, clusters: Clusters | None
) -> dict[str, Any]:
    first, second = arm.scores(metric), reference.scores(metric)
    paired = are_paired(arm, reference)
    difference = float(first.mean() - second.mean())
    spread = spread_of_difference(first, second, paired=paired, clusters=clusters)
    row: dict[str, Any] = {"method": (Method.PAIRED_T if paired else Method.WELCH).value, "difference": difference}
    for name, ends in {
        "difference": spread.interval(difference),
        "seed": spread.seed_interval(difference),
        "simultaneous": spread.interval(difference, confidence=1 - level),
    }.items():
        row[f"{name}_low"], row[f"{name}_high"] = ends
    # The margin is one of accuracies.
    equal = math.nan if Metric(metric).smaller_is_better else spread.equality_p(difference, margin=margin)
    known = spread.total >= NO_VARIANCE
    detectable = spread.detectable(level=level) if known else math.nan
    return row | {"p": spread.p(difference) if known else 1.0, "p_equal": equal, "detectable": detectable}


def _transfer_effects(cells: Cells, baseline: str, differences: "pd.DataFrame") -> tuple[TransferEffect, ...]:
    """Return what each budget says of transfer, where the baseline and an arm are one architecture."""
    effects = []
    for name, arms in cells.items():
        for budget, arm in arms.items():
            other = cells[baseline].get(budget)
            if other is None or name == baseline:
                continue
            row = differences[(differences["arm"] == name) & (differences["labels_per_class"] == budget)].iloc[0]
            test = {str(key): value for key, value in row.to_dict().items()}
            for a, _ in find_transfer_pairs((arm, other)):
                pair = (arm, other) if a == name else (other, arm)
                effects.append(describe_effect(*pair, test if a == name else _turn(test), labels_per_class=budget))
    return tuple(effects)


def _turn(row: dict[str, Any]) -> dict[str, Any]:
    turned = row | {"difference": -row["difference"], "verdict": turn_verdict(row["verdict"])}
    for low, high in (("low", "high"), ("seed_low", "seed_high"), ("simultaneous_low", "simultaneous_high")):
        turned |= {low: -row[high], high: -row[low]}
    return turned


def _area(name: str, cells: Cells, metric: str, clusters: Clusters | None) -> dict[str, Any]:
    budgets = sorted({budget for arms in cells.values() for budget in arms})
    row: dict[str, Any] = {"arm": name, "seeds": 0, "area": math.nan, "low": math.nan, "high": math.nan}
    if len(budgets) < 2 or list(cells[name]) != budgets:
        return row
    finished = [{run.seed: i for i, run in enumerate(arm.completed)} for arm in cells[name].values()]
    seeds = sorted(set.intersection(*(set(places) for places in finished)))
    if not seeds:
        return row
    # What each seed scores on each image, averaged along the curve: an area has the same two sources of chance as an accuracy.
    scores = sum(
        weight * arm.scores(metric)[[places[seed] for seed in seeds]]
        for weight, arm, places in zip(_weights(budgets), cells[name].values(), finished, strict=True)
    )
    row |= {"seeds": len(seeds), "area": float(np.mean(scores))}
    if len(seeds) > 1:
        row["low"], row["high"] = _interval(np.asarray(scores), metric, clusters)
    return row


def _weights(budgets: Sequence[int]) -> NDArray[np.float64]:
    """Return how much each budget counts in the trapezoidal mean over the logarithm of the budget."""
    places = np.log(budgets)
    steps = np.diff(places) / (places[-1] - places[0])
    return (np.append(steps, 0.0) + np.append(0.0, steps)) / 2
