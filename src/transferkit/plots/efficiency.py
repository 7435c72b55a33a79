"""Accuracy by the number of labels."""

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from transferkit.plots.style import color_of, marker_of, new_axes, plot_texts, quiet_frame, shown_name
from transferkit.translation import Translator, mark

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


METRIC_NAMES: Final = {
    "accuracy": mark("Test accuracy"),
    "balanced_accuracy": mark("Balanced accuracy"),
    "f1_macro": mark("Macro F1"),
    "loss": mark("Test loss"),
    "brier": mark("Brier score"),
}
_FRACTIONS: Final = ("accuracy", "balanced_accuracy", "f1_macro")


class Curve(Protocol):
    """What is drawn of a `transferkit.EfficiencyCurve`."""

    @property
    def metric(self) -> str:
        """What is drawn: the name of a column of both tables."""

    @property
    def points(self) -> "pd.DataFrame":
        """One row a run: ``arm``, ``labels_per_class``, ``accuracy``."""

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each arm and budget: ``arm``, ``labels_per_class``, ``accuracy``, ``low``, ``high``."""


def plot_label_efficiency(curve: Curve, *, ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw how accuracy grows with the number of labels.

    Each arm has a line through its means, a dot for every run, and a band that counts what other seeds and other test images
    would change; where there is one seed there is no band. The axis of labels is logarithmic.

    Parameters
    ----------
    curve : EfficiencyCurve
        From `efficiency_curve`.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn. On a new figure if None.
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
    >>> ax = tk.plot_label_efficiency(curve)
    >>> ax.get_xscale()
    'log'
    """
    arms = list(dict.fromkeys(curve.table["arm"]))
    with plot_texts(language, arms) as say:
        target = new_axes(6.4, 4.4) if ax is None else ax
        draw_label_efficiency(target, curve, arms, say)
    return target


def draw_label_efficiency(ax: Any, curve: Curve, arms: list[str], say: Translator) -> None:
    """Draw each arm's dots, their mean and its interval on `ax`."""
    from matplotlib.ticker import NullLocator, PercentFormatter

    ax.set_xscale("log")
    for place, arm in enumerate(arms):
        color, marker = color_of(place), marker_of(place)
        mean = curve.table[(curve.table["arm"] == arm) & curve.table[curve.metric].notna()]
        dots = curve.points[curve.points["arm"] == arm]
        ax.plot(mean["labels_per_class"], mean[curve.metric], color=color, linewidth=1.8, label=shown_name(arm))
        ax.fill_between(mean["labels_per_class"], mean["low"], mean["high"], color=color, alpha=0.18, linewidth=0)
        ax.plot(dots["labels_per_class"], dots[curve.metric], linestyle="", marker=marker, markersize=4, color=color)
    budgets = sorted(curve.table["labels_per_class"].unique())
    ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    ax.xaxis.set_minor_locator(NullLocator())
    # A band of two seeds may reach beyond 0 and 1; it is cut off where it would hide the curves.
    low, high = curve.points[curve.metric].min(), curve.points[curve.metric].max()  # of the arms that have any
    room = 0.35 * (high - low) + 0.02
    ax.set_ylim(max(0.0, low - room), min(1.0 if curve.metric in _FRACTIONS else math.inf, high + room))
    if curve.metric == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.set_xlabel(say("Labels per class"))
    label = say("{metric}: seeds, mean and 95% interval", metric=say(METRIC_NAMES[curve.metric]))
    ax.set_ylabel(label, labelpad=7)  # Hangul reaches below the line
    ax.legend(loc="best", fontsize="small", frameon=False)
    quiet_frame(ax, grid="y")
