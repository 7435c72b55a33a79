"""Accuracy against what it costs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.accuracy import summarise_accuracy
from transferkit.plots.style import (
    color_of,
    list_runs,
    marker_of,
    new_axes,
    paper,
    plot_texts,
    quiet_frame,
    shown_name,
    wrap,
)
from transferkit.runs.grouping import Runs, group_runs
from transferkit.runs.run import Run
from transferkit.translation import Translator, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS: Final = {
    "training_time": mark("Training time"),
    "latency": mark("Prediction time for one image"),
    "parameters": mark("Parameters"),
}
_UNITS: Final = (
    (1, mark("{value:g} s"), (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)),
    (60, mark("{value:g} min"), (1, 2, 5, 10, 20, 30)),
    (3600, mark("{value:g} h"), (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
_OFFSETS: Final = (
    (8, 0),
    (-8, 0),
    (0, 9),
    (0, -9),
    (7, 8),
    (-7, 8),
    (7, -8),
    (-7, -8),
    (0, 20),
    (0, -20),
    (8, 20),
    (8, -20),
)


def plot_cost(
    runs: Runs,
    cost: Literal["training_time", "latency", "parameters"] = "training_time",
    *,
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw test accuracy against training time, prediction time or size, the cost on a logarithmic axis.

    Accuracies have the same 95% intervals as in `transferkit.plot_accuracy`; several runs (seeds) of one name are one dot, at
    their mean accuracy and cost. Times were measured where each run was made: compare them only among runs of one machine.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        What is drawn; the mapping's keys replace the names.
    cost : {"training_time", "latency", "parameters"}, default "training_time"
        Seconds of all training phases; `transferkit.Run`'s ``test_seconds`` divided by the number of test images (predicted in
        batches, so a single image takes longer); or number of weights.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn. On a new figure if None.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; save the picture with ``ax.figure.savefig(file)``. Runs that do not record the cost are named below.

    Raises
    ------
    InvalidInputError
        If no completed run records this cost, or runs of one name have different test images.
    UnknownNameError
        If the cost or language is not one of the above.

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
    >>> ax = tk.plot_cost(runs, "training_time")
    >>> ax.get_xscale()
    'log'
    """
    if cost not in COSTS:
        raise UnknownNameError("cost", cost, COSTS)
    groups = group_runs(list_runs(runs))
    if not any(_mean_cost(group, cost) for group in groups.values()):
        raise InvalidInputError(f"no completed run records {cost!r}, so there is nothing to draw.")
    with plot_texts(language, groups) as say:
        target = new_axes(6.4, 4.4) if ax is None else ax
        draw_cost(target, groups, cost, say)
    return target


def cost_of(run: Run, cost: str) -> float | None:
    """Return what a run costs, in seconds or weights; None if it does not say."""
    if cost == "parameters":
        return run.parameters
    if cost == "training_time":
        return run.train_seconds
    return run.test_seconds / len(run.test_labels) if run.test_seconds else None


def _mean_cost(group: Sequence[Run], cost: str) -> float | None:
    known = [value for run in group if run.status == "completed" and (value := cost_of(run, cost))]
    return float(np.mean(known)) if known else None


def draw_cost(ax: Any, groups: Mapping[str, Sequence[Run]], cost: str, say: Translator) -> None:
    """Draw one dot a name on `ax`, with its name beside it."""
    from matplotlib.ticker import FuncFormatter

    missing, named = [], []
    for place, (name, group) in enumerate(groups.items()):  # the colour belongs to the place, as in all plots
        price, summary = _mean_cost(group, cost), summarise_accuracy(group)
        if price is None or summary is None:
            missing.append(shown_name(name))
            continue
        _, mean, low, high = summary
        color = color_of(place)
        ax.plot([price, price], [low, high], color=color, linewidth=2, solid_capstyle="butt")
        ax.plot([price], [mean], color=color, marker=marker_of(place), markersize=7, linestyle="")
        named.append((shown_name(name), price, mean, color))
    ax.set_xscale("log")
    ax.margins(x=0.18, y=0.14)
    _set_ticks(ax, cost, say)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    ax.set_xlabel(say(COSTS[cost]))
    ax.set_ylabel(say("Test accuracy"), labelpad=7)
    quiet_frame(ax, grid="both")
    if missing:
        text = wrap(say("not recorded: {names}", names=", ".join(missing)), int(11 * ax.figure.get_figwidth()))
        ax.annotate(text, (0, -0.17), xycoords="axes fraction", va="top", fontsize="small", style="italic")
    _place_names(ax, named)


def _set_ticks(ax: Any, cost: str, say: Translator) -> None:
    from matplotlib.ticker import EngFormatter, FixedFormatter, FixedLocator, LogLocator, NullLocator

    low, high = ax.get_xlim()
    ax.xaxis.set_minor_locator(NullLocator())
    if cost == "training_time":
        inside: dict[float, str] = {}
        for seconds, label in (
            (unit * value, say(text, value=value)) for unit, text, values in _UNITS for value in values
        ):
            # Apart by an eighth of the axis, or their labels would touch.
            if low <= seconds <= high and (not inside or (seconds / max(inside)) ** 8 >= high / low):
                inside[seconds] = label
        if inside:
            ax.xaxis.set_major_locator(FixedLocator(list(inside)))
            ax.xaxis.set_major_formatter(FixedFormatter(list(inside.values())))
            return
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    unit = "" if cost == "parameters" else "s"
    ax.xaxis.set_major_formatter(EngFormatter(unit, sep=" " if unit else ""))


def _place_names(ax: Any, named: Sequence[tuple[str, float, float, str]]) -> None:
    """Write each name beside its dot, where it covers the least of what is there already."""
    figure = ax.figure.figure
    figure.draw_without_rendering()  # fixes the layout, so that places on the screen are known
    frame = ax.get_window_extent()
    taken = [ax.transData.transform((price, mean)) for _, price, mean, _ in named]
    boxes: list[tuple[float, ...]] = [(x - 5, y - 5, x + 5, y + 5) for x, y in taken]
    for name, price, mean, color in named:
        best = None
        for x, y in _OFFSETS:
            text = ax.annotate(
                name, (price, mean), xytext=(x, y), textcoords="offset points", fontsize="small", color=color,
                ha="left" if x > 0 else "right" if x < 0 else "center",
                va="bottom" if y > 0 else "top" if y < 0 else "center", bbox=paper(ax),
            )  # fmt: skip
            box = text.get_window_extent()
            edges = (box.x0 - 3, box.y0 - 2, box.x1 + 3, box.y1 + 2)
            outside = max(0, frame.x0 - edges[0]) + max(0, edges[2] - frame.x1)
            outside += max(0, frame.y0 - edges[1]) + max(0, edges[3] - frame.y1)
            covered = sum(_shared_area(edges, other) for other in boxes) + 20 * outside
            if best is None or covered < best[0]:
                if best:
                    best[1].remove()
                best = (covered, text, edges, (x, y))
            else:
                text.remove()
            if not covered:
                break
        if best:
            boxes.append(best[2])
            if abs(best[3][1]) > 9:  # not right beside its dot
                line = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
                ax.annotate("", (price, mean), xytext=best[3], textcoords="offset points", arrowprops=line)


def _shared_area(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
