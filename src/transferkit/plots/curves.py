"""Learning curves."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.style import PALETTE, color_of, list_runs, marker_of, new_axes, plot_texts, quiet_frame
from transferkit.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS: Final = ("accuracy", "loss")


def plot_curves(
    runs: Run | Sequence[Run] | Mapping[str, Run],
    metric: Literal["accuracy", "loss"] = "accuracy",
    *,
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw how accuracy or loss developed over the epochs.

    Each run has one colour: its training curve is thin and dashed, its validation curve solid. Where a run went on to
    its next phase (head trained, then all layers) a diamond marks the first epoch of it. The training curve is measured
    while the weights still change, with dropout and augmentation, so it may well lie below the validation curve.

    Parameters
    ----------
    runs : Run, sequence of Run, or mapping of str to Run
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
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    chosen = list_runs(runs)
    if not any(has_curve(run, metric) for run in chosen):
        raise InvalidInputError(f"no run has a history with {metric!r}, so there is no curve to draw.")
    with plot_texts(language, [run.name for run in chosen]) as labels:
        target = new_axes(6.4, 4.4) if ax is None else ax
        draw_curves(target, chosen, metric, labels, legend="below" if ax is None else "inside")
    return target


def has_curve(run: Run, metric: str) -> bool:
    """Return whether the run's history has a finite value of this metric."""
    return any(np.isfinite(_values(run, name)).any() for name in (metric, f"val_{metric}"))


def _values(run: Run, name: str) -> np.ndarray[Any, Any]:
    """Return one value an epoch; what was not recorded or not finite is NaN."""
    values = [row.get(name) for row in run.history]
    return np.array([math.nan if value is None else float(value) for value in values], dtype=float)


def _phase_starts(run: Run) -> list[int]:
    """Return the places in the history at which another phase begins."""
    phases = [row.get("phase") for row in run.history]
    return [i for i in range(1, len(phases)) if phases[i] != phases[i - 1]]


def draw_curves(ax: Any, runs: list[Run], metric: str, labels: dict[str, str], *, legend: str) -> list[Any]:
    """Draw the curves on `ax` and return what a legend needs; `legend` is ``"below"``, ``"inside"`` or ``"none"``."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    drawn = set()
    handles = []
    for place, run in enumerate(runs):  # the colour belongs to the place, so that all plots of a report agree
        if not has_curve(run, metric):
            continue
        color = color_of(place)
        epochs = np.array([row.get("epoch", i) for i, row in enumerate(run.history, start=1)], dtype=float)
        training, validation = _values(run, metric), _values(run, f"val_{metric}")
        marker = marker_of(place) if place >= len(PALETTE) or len(epochs) == 1 else ""
        if np.isfinite(training).any():
            ax.plot(epochs, training, color=color, linewidth=1, linestyle=(0, (4, 2)), marker=marker, markersize=3)
            drawn.add("training")
        if np.isfinite(validation).any():
            ax.plot(epochs, validation, color=color, linewidth=1.8, marker=marker, markersize=4)
            drawn.add("validation")
        starts = _phase_starts(run)
        if starts:
            curve = validation if np.isfinite(validation).any() else training
            ax.plot(epochs[starts], curve[starts], linestyle="", marker="D", markersize=6, color=color, zorder=3)
            drawn.add("next_phase")
        handles.append(Line2D([], [], color=color, linewidth=1.8, label=run.name))
    neutral = {"color": ax.xaxis.label.get_color()}
    if "validation" in drawn:
        handles.append(Line2D([], [], linewidth=1.8, label=labels["validation"], **neutral))
    if "training" in drawn:
        handles.append(Line2D([], [], linewidth=1, linestyle=(0, (4, 2)), label=labels["training"], **neutral))
    if "next_phase" in drawn:
        handles.append(Line2D([], [], linestyle="", marker="D", markersize=6, label=labels["next_phase"], **neutral))
    ax.set_xlabel(labels["epoch"])
    ax.set_ylabel(labels[metric])
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
