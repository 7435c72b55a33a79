"""Accuracy by the number of labels: the curve, what an arm gains over the baseline, and from where on it no longer does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare import efficiency_report
from transferkit.compare.fairness import Runs, check_fair, collect_runs, selected_on_test, trained_on_test
from transferkit.compare.model_runs import ModelRuns, are_paired, make_model_runs
from transferkit.compare.paired import CONFIDENCE, adjust_holm
from transferkit.compare.seeds import detectable_by_t, spread_of_difference, t_test_p
from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.runs.spread import interval, spread_of_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Cells = dict[str, dict[int, ModelRuns]]
_NO_ENDS: Final = (math.nan, math.nan)


@dataclass(frozen=True, eq=False, repr=False)
class EfficiencyCurve:
    """How accuracy grows with the number of labels; `efficiency_curve` makes it.

    It prints as the verdict and a table.

    Parameters
    ----------
    baseline : str
        The arm that the others are measured against.
    confidence : float
        Of all intervals.
    test_size : int
        Number of test images.
    points : DataFrame
        One row a completed run: ``arm``, ``labels_per_class``, ``seed``, ``accuracy``.
    table : DataFrame
        One row for each arm and budget: ``arm``, ``labels_per_class``, ``runs``, ``seeds`` (of them completed), ``accuracy`` (mean),
        ``sd`` (over seeds), ``low`` and ``high`` (interval that counts what other seeds and other test images would change, as in
        `compare_runs`), ``seed_low`` and ``seed_high`` (Student's t over seeds, for these test images). NaN below two seeds.
    differences : DataFrame
        One row for each other arm and budget that it shares with the baseline: ``arm``, ``labels_per_class``, ``method``
        (``"paired t"`` if the arms share the subsets of each seed, else ``"welch"``, or ``"too few seeds"``), ``difference`` (arm minus
        baseline), ``low``, ``high``, ``seed_low``, ``seed_high``, ``p``, ``p_holm`` (adjusted for all rows), ``detectable`` (the
        difference that such a test finds in about 80% of cases), ``verdict``: ``"better"``, ``"worse"`` (``p_holm`` below the level, so
        that the interval excludes zero as well), ``"undecided"`` or ``"too few seeds"``.
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
    confidence: float
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
            One line an arm: at how many labels per class it is better or worse than the baseline, or undecided; with
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


def efficiency_curve(runs: Runs, *, baseline: str, confidence: float = CONFIDENCE) -> EfficiencyCurve:
    """Say how accuracy grows with the number of labels, and up to how many labels an arm beats the baseline.

    Neither Keras nor TensorFlow is needed.

    Parameters
    ----------
    runs : sequence of Run, mapping of str to list of Run, or path
        What `label_efficiency` returned, or the folder where it saved. A run's name is its arm.
    baseline : str
        The arm that the others are measured against, for instance the one from scratch.
    confidence : float, default 0.95
        Of all intervals; the tests have the level ``1 - confidence``.

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
        If a run has no number of labels per class, no run is completed, or the confidence is not between 0 and 1.
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

    if not 0 < confidence < 1:
        raise InvalidInputError(f"confidence must be a fraction between 0 and 1, for example 0.95; got {confidence!r}.")
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
        confidence=confidence,
        test_size=max(len(run.test_labels) for run in listed),
        points=pd.DataFrame(points),
        table=pd.DataFrame([_mean(arm, n, confidence) for arms in cells.values() for n, arm in arms.items()]),
        differences=_test(cells, baseline, confidence),
        areas=pd.DataFrame([_area(name, cells, confidence) for name in cells]),
    )


def _by_budget(name: str, runs: Sequence[Any]) -> dict[int, ModelRuns]:
    groups: dict[int, list[Any]] = {}
    for run in runs:
        budget = run.dataset.get("labels_per_class")
        if not isinstance(budget, int) or budget < 1:
            raise InvalidInputError(
                f"a run of {name!r} does not say how many labels per class it had. Make the runs with label_efficiency, or "
                "train on data.subset(...)."
            )
        groups.setdefault(budget, []).append(run)
    return {budget: make_model_runs({name: groups[budget]})[0] for budget in sorted(groups)}


def _mean(arm: ModelRuns, budget: int, confidence: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arm": arm.name,
        "labels_per_class": budget,
        "runs": len(arm.runs),
        "seeds": len(arm.completed),
    }
    accuracies = arm.accuracies if arm.completed else np.array([math.nan])
    row |= {"accuracy": float(accuracies.mean()), "sd": math.nan}
    both = seeds = _NO_ENDS
    if len(arm.completed) > 1:
        row["sd"] = float(accuracies.std(ddof=1))
        both, seeds = _intervals(row["accuracy"], spread_of_mean(arm.correct), confidence)
    return row | _ends(both, seeds)


def _intervals(
    centre: float, spread: Any, confidence: float, *, lowest: float = 0.0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the interval over seeds and images, and that over seeds alone, both within what is possible."""
    ends = (
        interval(centre, spread.total, spread.freedom(with_images=True), confidence=confidence),
        interval(centre, spread.seeds, spread.freedom(with_images=False), confidence=confidence),
    )
    both, seeds = ((max(low, lowest), min(high, 1.0)) for low, high in ends)
    return both, seeds


def _ends(both: tuple[float, float], seeds: tuple[float, float]) -> dict[str, float]:
    return {"low": both[0], "high": both[1], "seed_low": seeds[0], "seed_high": seeds[1]}


def _test(cells: Cells, baseline: str, confidence: float) -> "pd.DataFrame":
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
    rows = [_difference(*pair, confidence, (1 - confidence) / max(tests, 1)) for pair in compared]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    tested = table["p"].notna()
    table["p_holm"] = math.nan
    if tested.any():
        table.loc[tested, "p_holm"] = adjust_holm(table.loc[tested, "p"].to_numpy())
    table["verdict"] = [
        "too few seeds"
        if math.isnan(p)
        else "undecided"
        if p >= 1 - confidence
        else "better"
        if difference > 0
        else "worse"
        for p, difference in zip(table["p_holm"], table["difference"], strict=True)
    ]
    return table


_COLUMNS: Final = [
    *("arm", "labels_per_class", "method", "difference", "low", "high", "seed_low", "seed_high", "p", "detectable"),
]


def _difference(arm: ModelRuns, reference: ModelRuns, budget: int, confidence: float, level: float) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": arm.name, "labels_per_class": budget, "method": "too few seeds"}
    row |= dict.fromkeys(("difference", "p", "detectable"), math.nan)
    if arm.completed and reference.completed:
        row["difference"] = float(arm.accuracies.mean() - reference.accuracies.mean())
    if min(len(arm.completed), len(reference.completed)) < 2:
        return row | _ends(_NO_ENDS, _NO_ENDS)
    paired = are_paired(arm, reference)
    spread = spread_of_difference(arm.correct, reference.correct, paired=paired)
    freedom = spread.freedom(with_images=True)
    row["method"] = "paired t" if paired else "welch"
    row["p"] = t_test_p(row["difference"], spread.total, freedom)
    row["detectable"] = detectable_by_t(spread.total, freedom, level=level)
    return row | _ends(*_intervals(row["difference"], spread, confidence, lowest=-1.0))


def _area(name: str, cells: Cells, confidence: float) -> dict[str, Any]:
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
        row["low"], row["high"] = _intervals(row["area"], spread_of_mean(scores), confidence)[0]
    return row


def _weights(budgets: Sequence[int]) -> NDArray[np.float64]:
    """Return how much each budget counts in the trapezoidal mean over the logarithm of the budget."""
    places = np.log(budgets)
    steps = np.diff(places) / (places[-1] - places[0])
    return (np.append(steps, 0.0) + np.append(0.0, steps)) / 2
