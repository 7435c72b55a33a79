"""Learning curves."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.style import (
    PALETTE,
    color_of,
    list_runs,
    marker_of,
    new_axes,
    plot_texts,
    quiet_frame,
    shown_name,
)
from transferkit.runs.grouping import Runs, group_runs
from transferkit.runs.run import Run
from transferkit.translation import Translator, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS: Final = {"accuracy": mark("Accuracy"), "loss": mark("Loss")}


def plot_curves(
    runs: Runs,
    metric: Literal["accuracy", "loss"] = "accuracy",
    *,
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw how accuracy or loss developed over the epochs.

    Each name has one colour: the training curve is thin and dashed, the validation curve solid. Where a run went on to
    its next phase (head trained, then all layers) a diamond marks the first epoch of it. The training curve is measured
    while the weights still change, with dropout and augmentation, so it may well lie below the validation curve; with label
    smoothing its loss is measured against the smoothed targets, and so is higher.

    Of several runs (seeds) under one name the lines are the mean over those that reached the epoch, and a band goes from the
    lowest to the highest of them: around the validation curve, or the training curve where there is no validation.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        What is drawn; the mapping's keys replace the names. Runs without a history are left out.
    metric : {"accuracy", "loss"}, default "accuracy"
        What is drawn.
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
    InvalidInputError
        If no run has a history with this metric.
    UnknownNameError
        If the metric or language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=2, name="CNN", verbose=False)
    >>> ax = tk.plot_curves(run, "loss")
    >>> ax.get_ylabel()
    'Loss'
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    chosen = list_runs(runs)
    if not any(has_curve(run, metric) for run in chosen):
        raise InvalidInputError(f"no run has a history with {metric!r}, so there is no curve to draw.")
    with plot_texts(language, [run.name for run in chosen]) as say:
        target = new_axes(6.4, 4.4) if ax is None else ax
        draw_curves(target, chosen, metric, say, legend="below" if ax is None else "inside")
    return target


def has_curve(run: Run, metric: str) -> bool:
    """Return whether the run's history has a finite value of this metric."""
    return any(np.isfinite(_values(run, name)).any() for name in (metric, f"val_{metric}"))


def _values(run: Run, name: str) -> np.ndarray[Any, Any]:
    """Return one value an epoch; what was not recorded or not finite is NaN."""
    values = [row.get(name) for row in run.history]
    return np.array([value if isinstance(value, int | float) else math.nan for value in values], dtype=float)


def _table(runs: Sequence[Run], name: str) -> np.ndarray[Any, Any]:
    """Return one row a run and one column an epoch; NaN where a run has no such epoch or value."""
    table = np.full((len(runs), max(len(run.history) for run in runs)), math.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run.history)] = _values(run, name)
    return table


def _over_seeds(table: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """Return mean, lowest and highest of each column, NaN where it holds nothing."""
    known = np.isfinite(table)
    counts = known.sum(axis=0)
    sums = np.where(known, table, 0).sum(axis=0)
    mean = np.divide(sums, counts, out=np.full(counts.shape, math.nan), where=counts > 0)
    if len(table) == 1:
        mean = table[0]
    low, high = np.where(known, table, math.inf).min(axis=0), np.where(known, table, -math.inf).max(axis=0)
    return mean, np.where(counts > 0, low, math.nan), np.where(counts > 0, high, math.nan)


def _phase_starts(run: Run) -> list[int]:
    """Return the places in the history at which another phase begins."""
    phases = [row.get("phase") for row in run.history]
    return [i for i in range(1, len(phases)) if phases[i] != phases[i - 1]]


def draw_curves(ax: Any, runs: list[Run], metric: str, say: Translator, *, legend: str) -> list[Any]:
    """Draw the curves on `ax` and return what a legend needs; `legend` is ``"below"``, ``"inside"`` or ``"none"``."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    drawn = set()
    handles: list[Any] = []
    for place, (name, group) in enumerate(group_runs(runs).items()):  # the colour belongs to the place, as in all plots
        seeds = [run for run in group if has_curve(run, metric)]
        if not seeds:
            continue
        color = color_of(place)
        training, *training_band = _over_seeds(_table(seeds, metric))
        validation, *validation_band = _over_seeds(_table(seeds, f"val_{metric}"))
        longest = max(seeds, key=lambda run: len(run.history))
        epochs = np.array([row.get("epoch", i) for i, row in enumerate(longest.history, start=1)], dtype=float)
        marker = marker_of(place) if place >= len(PALETTE) or len(epochs) == 1 else ""
        validated = np.isfinite(validation).any()
        if np.isfinite(training).any():
            ax.plot(epochs, training, color=color, linewidth=1, linestyle=(0, (4, 2)), marker=marker, markersize=3)
            drawn.add("training")
        if validated:
            ax.plot(epochs, validation, color=color, linewidth=1.8, marker=marker, markersize=4)
            drawn.add("validation")
        if len(seeds) > 1:
            low, high = validation_band if validated else training_band
            ax.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0)
            drawn.add("seed_band")
        starts = sorted({start for run in seeds for start in _phase_starts(run)})
        if starts:
            curve = validation if validated else training
            ax.plot(epochs[starts], curve[starts], linestyle="", marker="D", markersize=6, color=color, zorder=3)
            drawn.add("next_phase")
        shown = shown_name(name)
        label = shown if len(seeds) == 1 else say("{name} ({count} seeds)", name=shown, count=len(seeds))
        handles.append(Line2D([], [], color=color, linewidth=1.8, label=label))
    neutral = {"color": ax.xaxis.label.get_color()}
    if "validation" in drawn:
        handles.append(Line2D([], [], linewidth=1.8, label=say("validation"), **neutral))
    if "training" in drawn:
        handles.append(Line2D([], [], linewidth=1, linestyle=(0, (4, 2)), label=say("training"), **neutral))
    if "next_phase" in drawn:
        handles.append(
            Line2D([], [], linestyle="", marker="D", markersize=6, label=say("start of the next phase"), **neutral)
        )
    if "seed_band" in drawn:
        handles.append(Patch(alpha=0.18, linewidth=0, label=say("band: lowest to highest seed"), **neutral))
    ax.set_xlabel(say("Epoch"))
    ax.set_ylabel(say(METRICS[metric]), labelpad=7)  # Hangul reaches below the line
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if metric == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    quiet_frame(ax, grid="y")
    if legend == "below":
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize="small"
        )
    elif legend == "inside":
        ax.legend(handles=handles, loc="best", fontsize="small")
    return handles
