"""A label-efficiency curve in words: the public face of `transferkit.compare.label_curve`."""

from typing import TYPE_CHECKING

from transferkit.compare.label_curve import LabelCurve, MetricName
from transferkit.plots.efficiency import plot_label_efficiency
from transferkit.progress import simplify
from transferkit.report.html import write_fragment
from transferkit.report.label_curve_document import list_verdicts, write_document
from transferkit.report.markdown import write_markdown
from transferkit.report.plain_text import write_text
from transferkit.runs.grouping import Runs
from transferkit.translation import translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class EfficiencyCurve(LabelCurve):
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
        baseline), ``low``, ``high``, ``seed_low``, ``seed_high``, ``simultaneous_low``, ``simultaneous_high`` (for all rows together), ``p``,
        ``p_holm`` (adjusted for all rows), ``p_equal``, ``p_equal_holm``, ``detectable`` (the difference that such a test finds in 80% of
        cases; infinite if none so large is possible), ``verdict``: ``"better"``, ``"worse"`` (``p_holm`` below 0.05),
        ``"practically equal"`` (``p_equal_holm`` below 0.05), ``"undecided"`` or ``"too few seeds"``.
    areas : DataFrame
        One row an arm: ``arm``, ``seeds``, ``area`` under its curve over the logarithm of the budget, divided by the width (so the
        mean accuracy from the smallest to the largest budget), ``low``, ``high``. NaN where an arm lacks a budget.
    metric : str
        What the curve is of; the column of `points` and `table` has its name.
    transfer_effects : tuple of TransferEffect
        What each budget says of transfer, where the baseline and an arm are one architecture, pretrained and from scratch.

    Examples
    --------
    Made-up answers; `train_label_budgets` trains real ones.

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
            One line an arm, the question of transfer first where it is asked: at how many labels per class it is better or worse than the baseline, practically equal, or undecided; with
            differences, their intervals, and the smallest detectable differences.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return simplify("\n".join(list_verdicts(self, translator(language))))

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
        return write_markdown(write_document(self, translator(language)))

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
        return plot_label_efficiency(self, ax=ax, language=language)

    def _repr_html_(self) -> str:
        return write_fragment(write_document(self, translator("en")))

    def __repr__(self) -> str:
        return write_text(write_document(self, translator("en")))


def efficiency_curve(
    runs: Runs, *, baseline: str, margin: float = 0.005, metric: MetricName = "accuracy"
) -> EfficiencyCurve:
    """Say how accuracy grows with the number of labels, and up to how many labels an arm beats the baseline.

    Neither Keras nor TensorFlow is needed.

    Parameters
    ----------
    runs : sequence of Run, mapping of str to list of Run, or path
        What `train_label_budgets` returned, or the folder where it saved. A run's name is its arm.
    baseline : str
        The arm that the others are measured against, for instance the one from scratch.
    margin : float, default 0.005
        Difference in accuracy, as a fraction, up to which an arm and the baseline are practically equal.
    metric : {"accuracy", "balanced_accuracy", "f1_macro", "loss", "brier"}, default "accuracy"
        What the curve is of. The balanced accuracy and macro F1 give small classes the weight of large ones. Losses are never called
        practically equal.

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
        If no arm is called like the baseline, or there is no such metric.

    Notes
    -----
    With one seed an arm's accuracy has no interval, and there is no verdict: how much other subsets of ten labels would
    change cannot be seen in one of them.

    Examples
    --------
    Made-up answers; `train_label_budgets` trains real ones.

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
    return EfficiencyCurve.from_runs(runs, baseline=baseline, margin=margin, metric=metric)
