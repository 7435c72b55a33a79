"""Test accuracies side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.style import STATUS, color_of, list_runs, new_axes, paper, plot_texts, quiet_frame, shown_name
from transferkit.runs.grouping import Runs, clusters_of, group_runs
from transferkit.runs.run import Run
from transferkit.statistics.intervals import accuracy_interval, decimals_for
from transferkit.translation import Translator, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERS: Final = ("given", "accuracy")
SEVERAL_SEEDS: Final = mark("Test accuracy: mean over seeds (small dots), with 95% interval")


def plot_accuracy(
    runs: Runs,
    *,
    order: Literal["given", "accuracy"] = "given",
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw the test accuracy of each model with a 95% interval.

    Of one run the interval is Wilson's: what the number of test images leaves open about this trained model. Of several runs
    (seeds) under one name it is Student's t interval of their mean, for other seeds and other test images together; a small dot
    is each run. These are the intervals of `transferkit.compare_runs`. The axis does not begin at zero, hence dots and not bars.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        What is drawn, from the top; the mapping's keys replace the names. Runs of one name share a row.
    order : {"given", "accuracy"}, default "given"
        ``"accuracy"`` puts the most accurate on top.
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
        If there is no run, a run's probabilities are not probabilities, or runs of one name have different test images.
    UnknownNameError
        If the order or language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> runs = [
    ...     tk.train(tk.build_baseline(name), data, verbose=False) for name in ("naive_bayes", "k_nearest_neighbors")
    ... ]
    >>> ax = tk.plot_accuracy(runs, order="accuracy")
    >>> sorted(label.get_text() for label in ax.get_yticklabels())
    ['k_nearest_neighbors', 'naive_bayes']
    """
    if order not in ORDERS:
        raise UnknownNameError("order", order, ORDERS)
    chosen = list_runs(runs)
    with plot_texts(language, [run.name for run in chosen]) as say:
        target = new_axes(6.4, 1.2 + 0.42 * len(group_runs(chosen))) if ax is None else ax
        draw_accuracy(target, chosen, say, order=order)
    return target


def summarise_accuracy(runs: Sequence[Run]) -> tuple[list[float], float, float, float] | None:
    """Return each completed run's accuracy, their mean and its 95% interval; None if no run is completed."""
    completed = [run for run in runs if run.status == "completed"]
    if not completed:
        return None
    if any(not np.array_equal(run.test_labels, completed[0].test_labels) for run in completed):
        raise InvalidInputError(
            f"the runs called {completed[0].name!r} were tested on different images, so they have no common accuracy. "
            "Draw them under different names."
        )
    values = [float(run.metrics["accuracy"]) for run in completed]
    return (
        values,
        float(np.mean(values)),
        *accuracy_interval([run.test_correct for run in completed], clusters_of(completed[0])),
    )


def draw_accuracy(ax: Any, runs: list[Run], say: Translator, *, order: str = "given", names: str = "beside") -> None:
    """Draw the dots and intervals on `ax`, the names ``"beside"`` the axes or ``"above"`` each interval."""
    groups = list(group_runs(runs).items())
    summaries = [summarise_accuracy(group) for _, group in groups]
    places = list(range(len(groups)))  # the colour belongs to the place, so that all plots of a report agree
    if order == "accuracy":
        places.sort(key=lambda i: -summary[1] if (summary := summaries[i]) else 1.0)
    decimals = decimals_for(max(len(run.test_labels) for run in runs))
    for row, place in enumerate(places):
        group, summary = groups[place][1], summaries[place]
        lost = [say(STATUS[run.status]) for run in group if run.status != "completed"]
        if summary is None:
            draw_status(ax, row, ", ".join(dict.fromkeys(lost)))
            continue
        draw_interval(ax, row, summary, color_of(place))
        count = say(" ({count} seeds)", count=len(summary[0])) if len(summary[0]) > 1 else ""
        write_beside(ax, row, summary[3], f"{summary[1]:.{decimals}%}{count}{_lost_text(lost)}")
    listed = [shown_name(groups[place][0]) for place in places]
    if names == "beside":
        ax.set_yticks(range(len(groups)), listed)
    else:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        for row, name in enumerate(listed):
            ax.annotate(
                name,
                (0.02, row - 0.24),
                xycoords=("axes fraction", "data"),
                va="bottom",
                fontsize="small",
                bbox=paper(ax),
            )
    several = any(summary and len(summary[0]) > 1 for summary in summaries)
    longest = max((len(text.get_text()) for text in ax.texts if text.get_position() == (6, 0)), default=0)
    room = 0.16 * max(1.0, longest / 11)  # for the number beside the last interval
    finish_accuracy(ax, len(groups), say(SEVERAL_SEEDS if several else "Test accuracy, with 95% interval"), room=room)


def draw_interval(ax: Any, row: float, summary: tuple[list[float], float, float, float], color: str) -> None:
    """Draw an interval, its mean, and beneath them a small dot for each of several runs."""
    values, mean, low, high = summary
    ax.plot([low, high], [row, row], color=color, linewidth=2.2, solid_capstyle="butt")
    ax.plot([mean], [row], color=color, marker="o", markersize=7)
    if len(values) > 1:
        ax.plot(values, [row + 0.26] * len(values), linestyle="", color=color, marker="o", markersize=3.5, alpha=0.6)


def draw_status(ax: Any, row: float, text: str) -> None:
    """Write why there is no accuracy in this row."""
    ax.annotate(text, (0.02, row), xycoords=("axes fraction", "data"), va="center", style="italic")


def write_beside(ax: Any, row: float, high: float, text: str) -> None:
    """Write a number to the right of an interval."""
    ax.annotate(
        text,
        (high, row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize="small",
        bbox=paper(ax),
    )


def _lost_text(statuses: list[str]) -> str:
    """Say how many seeds did not finish: leaving them out without a word would flatter the recipe."""
    return "".join(f", {statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def finish_accuracy(ax: Any, rows: int, label: str, *, room: float = 0.0) -> None:
    """Set limits, ticks and the axis label, with `room` to the right, as a part of the whole, for numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    ax.tick_params(axis="y", length=0)
    ax.set_ylim(rows - 0.4, -0.6)
    ax.margins(x=0.05)
    low, high = ax.get_xlim()
    ax.set_xlim(low, high + room * (high - low))
    ticks = MaxNLocator(nbins=5).tick_values(*ax.get_xlim())
    ax.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= max(high, 1.0) and tick <= 1.0]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    ax.set_xlabel(label)
    quiet_frame(ax, grid="x")
