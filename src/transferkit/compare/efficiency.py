"""Accuracy by the number of labels: the curve, and where an arm is better than the baseline, equal, worse, or undecided."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare import efficiency_report
from transferkit.compare.answers import LEVEL, compare_seeds, take_verdicts
from transferkit.compare.fairness import check_fair, check_margin, collect_runs, selected_on_test, trained_on_test
from transferkit.compare.model_runs import ModelRuns, are_paired, make_model_runs
from transferkit.compare.paired import adjust_holm
from transferkit.data.splits import is_int
from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.runs.grouping import Runs
from transferkit.runs.spread import accuracy_interval, interval, spread_of_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Cells = dict[str, dict[int, ModelRuns]]

_VERDICTS: Final = {"a better": "better", "b better": "worse"}  # a is the arm
_ENDS: Final = ("low", "high", "seed_low", "seed_high")
_NUMBERS: Final = ("difference", *_ENDS, "p", "detectable")
_COLUMNS: Final = ("arm", "labels_per_class", "method", *_NUMBERS, "inner_low", "inner_high")


@dataclass(frozen=True, eq=False, repr=False)
class EfficiencyCurve:
    """How accuracy grows with the number of labels; `efficiency_curve` makes it.

    It prints as the verdict and a table.

    Parameters
    ----------
    baseline : str
        The arm that the others are measured against.
    margin : float
        What counts as practically equal.
    test_size : int
        Number of test images.
    points : DataFrame
        One row a completed run: ``arm``, ``labels_per_class``, ``seed``, ``accuracy``.
    table : DataFrame
        One row for each arm and budget: ``arm``, ``labels_per_class``, ``runs``, ``seeds`` (of them completed), ``accuracy`` (mean),
        ``sd`` (over seeds), ``low`` and ``high`` (95% interval that counts what other seeds and other test images would change, as in
        `compare_runs`), ``seed_low`` and ``seed_high`` (Student's t over seeds, for these test images). NaN below two seeds.
    differences : DataFrame
        One row for each other arm and budget that it shares with the baseline: ``arm``, ``labels_per_class``, ``method``
        (``"paired t"`` if the arms share the subsets of each seed, else ``"welch"``, or ``"too few seeds"``), ``difference`` (arm minus
        baseline), ``low``, ``high``, ``seed_low``, ``seed_high``, ``p``, ``p_holm`` (adjusted for all rows), ``detectable`` (the
        difference that such a test finds in 80% of cases), ``verdict``: ``"better"``, ``"worse"`` (``p_holm`` below 0.05),
        ``"practically equal"`` (90% interval within the margin), ``"undecided"`` or ``"too few seeds"``.
    areas : DataFrame
        One row an arm: ``arm``, ``seeds``, ``area`` under its curve over the logarithm of the budget, divided by the width (so the
        mean accuracy from the smallest to the largest budget), ``low``, ``high``. NaN where an arm lacks a budget.

    Examples
    --------
    Made-up answers; `label_efficiency` trains real ones.

    >>> import numpy as np
    >>> import transferkit as tk
    >>> truth = np.arange(90) % 3
    >>> def make_run(name, labels, seed, wrong):
    ...     answers = np.where(np.arange(90) < wrong, (truth + 1) % 3, truth)
    ...     return tk.Run(
    ...         name=name,
    ...         class_names=("bag", "coat", "shirt"),
    ...         test_probabilities=np.eye(3)[answers],
    ...         test_labels=truth,
    ...         dataset={
    ...             "test_fingerprint": "3fa9",
    ...             "train_fingerprint": f"{labels}-{seed}",
    ...             "labels_per_class": labels,
    ...         },
    ...         seed=seed,
    ...     )
    >>> runs = [make_run("scratch", n, seed, 400 // n + seed) for n in (10, 100) for seed in range(3)]
    >>> runs += [make_run("pretrained", n, seed, 50 // n + seed) for n in (10, 100) for seed in range(3)]
    >>> curve = tk.efficiency_curve(runs, baseline="scratch")
    >>> curve.table[["arm", "labels_per_class", "seeds"]]
              arm  labels_per_class  seeds
    0     scratch                10      3
    1     scratch               100      3
    2  pretrained                10      3
    3  pretrained               100      3
    >>> curve.sentence() == curve.verdict
    True
    >>> report = curve.to_markdown("ko")
    >>> curve.plot().get_xscale()
    'log'
    """

    baseline: str
    margin: float
    test_size: int
    points: "pd.DataFrame"
    table: "pd.DataFrame"
    differences: "pd.DataFrame"
    areas: "pd.DataFrame"

    @property
    def verdict(self) -> str:
        """What the runs say of each arm, and what they leave open, in English."""
        return self.sentence()

    def sentence(self, language: str = "en") -> str:
        """Return what the runs say of each arm, and what they leave open, to quote.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            One line an arm: at how many labels per class it is better or worse than the baseline, practically equal, or undecided; with
            differences, their intervals, and the smallest detectable differences.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return efficiency_report.write_verdict(self, language)

    def to_markdown(self, language: str = "en") -> str:
        """Return verdict, table and how to read it, as Markdown.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            Markdown that a GitHub issue shows as it is.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return efficiency_report.write_markdown(self, language)

    def plot(self, *, ax: "Axes | None" = None, language: str = "en") -> "Axes":
        """Draw the curves; see `plot_label_efficiency`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where they are drawn. On a new figure if None.
        language : {"en", "ko"}, default "en"
            Language of the labels.

        Returns
        -------
        matplotlib.axes.Axes
            The axes; save the picture with ``ax.figure.savefig(file)``.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.

        Warns
        -----
        TransferKitWarning
            If Korean is asked for and no font with Hangul is installed; the labels are English then.
        """
        from transferkit.plots.efficiency import plot_label_efficiency

        return plot_label_efficiency(self, ax=ax, language=language)

    def __repr__(self) -> str:
        return efficiency_report.write_text(self)


def efficiency_curve(runs: Runs, *, baseline: str, margin: float = 0.005) -> EfficiencyCurve:
    """Say how accuracy grows with the number of labels, and up to how many labels an arm beats the baseline.

    Neither Keras nor TensorFlow is needed.

    Parameters
    ----------
    runs : sequence of Run, mapping of str to list of Run, or path
        What `label_efficiency` returned, or the folder where it saved. A run's name is its arm.
    baseline : str
        The arm that the others are measured against, for instance the one from scratch.
    margin : float, default 0.005
        Difference in accuracy, as a fraction, up to which an arm and the baseline are practically equal.

    Returns
    -------
    EfficiencyCurve
        With ``table``, ``differences``, ``areas``, ``verdict``, ``plot()`` and ``to_markdown()``.

    Raises
    ------
    UnfairComparisonError
        If runs were not tested on the same images, are given twice, were selected or trained on test images, or two runs of
        one arm and budget have the same seed or different recipes.
    InvalidInputError
        If a run has no number of labels per class, no run is completed, or the margin is not between 0 and 1.
    UnknownNameError
        If no arm is called like the baseline.

    Notes
    -----
    With one seed an arm's accuracy has no interval, and there is no verdict: how much other subsets of ten labels would
    change cannot be seen in one of them.

    Examples
    --------
    Made-up answers; `label_efficiency` trains real ones.

    >>> import numpy as np
    >>> import transferkit as tk
    >>> truth = np.arange(90) % 3
    >>> def make_run(name, labels, seed, wrong):
    ...     answers = np.where(np.arange(90) < wrong, (truth + 1) % 3, truth)
    ...     return tk.Run(
    ...         name=name,
    ...         class_names=("bag", "coat", "shirt"),
    ...         test_probabilities=np.eye(3)[answers],
    ...         test_labels=truth,
    ...         dataset={
    ...             "test_fingerprint": "3fa9",
    ...             "train_fingerprint": f"{labels}-{seed}",
    ...             "labels_per_class": labels,
    ...         },
    ...         seed=seed,
    ...     )
    >>> runs = [make_run("scratch", n, seed, 400 // n + seed) for n in (10, 100) for seed in range(3)]
    >>> runs += [make_run("pretrained", n, seed, 50 // n + seed) for n in (10, 100) for seed in range(3)]
    >>> curve = tk.efficiency_curve(runs, baseline="scratch")
    >>> curve.differences[["labels_per_class", "verdict"]]
       labels_per_class verdict
    0                10  better
    1               100  better
    """
    import pandas as pd

    check_margin(margin)
    groups = collect_runs(runs)
    if baseline not in groups:
        raise UnknownNameError("baseline", baseline, groups)
    listed = [run for group in groups.values() for run in group]
    check_fair(listed)
    barred = dict.fromkeys([*selected_on_test(listed), *trained_on_test(listed)])
    if barred:
        names = ", ".join(map(repr, barred))
        raise UnfairComparisonError(
            f"{names}: selected or trained on the test images, so accuracies say nothing. Train again."
        )
    cells = {name: _by_budget(name, group) for name, group in groups.items()}
    points = [
        {"arm": name, "labels_per_class": budget, "seed": run.seed, "accuracy": float(accuracy)}
        for name, arms in cells.items()
        for budget, arm in arms.items()
        if arm.completed
        for run, accuracy in zip(arm.completed, arm.accuracies, strict=True)
    ]
    if not points:
        raise InvalidInputError("no run is completed, so there is no curve.")
    return EfficiencyCurve(
        baseline=baseline,
        margin=margin,
        test_size=max(len(run.test_labels) for run in listed),
        points=pd.DataFrame(points),
        table=pd.DataFrame([_mean(arm, n) for arms in cells.values() for n, arm in arms.items()]),
        differences=_test(cells, baseline, margin),
        areas=pd.DataFrame([_area(name, cells) for name in cells]),
    )


def _by_budget(name: str, runs: Sequence[Any]) -> dict[int, ModelRuns]:
    groups: dict[int, list[Any]] = {}
    for run in runs:
        budget = run.dataset.get("labels_per_class")
        if not is_int(budget) or budget < 1:
            raise InvalidInputError(
                f"a run of {name!r} does not say how many labels per class it had. Make the runs with label_efficiency, or "
                "train on data.subset(...)."
            )
        groups.setdefault(int(budget), []).append(run)
    return {budget: make_model_runs({name: groups[budget]})[0] for budget in sorted(groups)}


def _mean(arm: ModelRuns, budget: int) -> dict[str, Any]:
    mean = float(arm.accuracies.mean()) if arm.completed else math.nan
    row: dict[str, Any] = {
        "arm": arm.name,
        "labels_per_class": budget,
        "runs": len(arm.runs),
        "seeds": len(arm.completed),
    }
    row |= {"accuracy": mean} | dict.fromkeys(("sd", *_ENDS), math.nan)
    if len(arm.completed) > 1:
        spread = spread_of_mean(arm.correct)
        seeds = interval(mean, spread.seeds, spread.freedom(with_images=False))
        row["sd"] = float(arm.accuracies.std(ddof=1))
        row["low"], row["high"] = accuracy_interval(arm.correct)
        row["seed_low"], row["seed_high"] = np.clip(seeds, 0.0, 1.0).tolist()
    return row


def _test(cells: Cells, baseline: str, margin: float) -> "pd.DataFrame":
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
    table = pd.DataFrame([_difference(*pair, level) for pair in compared], columns=list(_COLUMNS))
    tested = table["p"].notna()
    table["p_holm"] = math.nan
    if tested.any():
        table.loc[tested, "p_holm"] = adjust_holm(table.loc[tested, "p"].to_numpy())
    table["verdict"] = take_verdicts(table, margin=margin)
    table["verdict"] = table["verdict"].replace(_VERDICTS).where(tested, "too few seeds")
    return table


def _difference(arm: ModelRuns, reference: ModelRuns, budget: int, level: float) -> dict[str, Any]:
    place = {"arm": arm.name, "labels_per_class": budget}
    if min(len(arm.completed), len(reference.completed)) > 1:
        paired = are_paired(arm, reference)
        row = compare_seeds(arm.correct, reference.correct, paired=paired, level=level)
        return row | place | {"low": row["difference_low"], "high": row["difference_high"]}
    both = arm.completed and reference.completed
    difference = float(arm.accuracies.mean() - reference.accuracies.mean()) if both else math.nan
    return dict.fromkeys(_COLUMNS, math.nan) | place | {"method": "too few seeds", "difference": difference}


def _area(name: str, cells: Cells) -> dict[str, Any]:
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
        weight * arm.correct[[places[seed] for seed in seeds]]
        for weight, arm, places in zip(_weights(budgets), cells[name].values(), finished, strict=True)
    )
    row |= {"seeds": len(seeds), "area": float(np.mean(scores))}
    if len(seeds) > 1:
        row["low"], row["high"] = accuracy_interval(scores)
    return row


def _weights(budgets: Sequence[int]) -> NDArray[np.float64]:
    """Return how much each budget counts in the trapezoidal mean over the logarithm of the budget."""
    places = np.log(budgets)
    steps = np.diff(places) / (places[-1] - places[0])
    return (np.append(steps, 0.0) + np.append(0.0, steps)) / 2
