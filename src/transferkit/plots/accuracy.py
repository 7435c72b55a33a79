"""Test accuracies side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from transferkit.errors import UnknownNameError
from transferkit.plots.style import color_of, list_runs, new_axes, plot_texts, quiet_frame
from transferkit.runs.metrics import wilson_interval
from transferkit.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERS: Final = ("given", "accuracy")


def plot_accuracy(
    runs: Run | Sequence[Run] | Mapping[str, Run],
    *,
    order: Literal["given", "accuracy"] = "given",
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw the test accuracy of each run with its Wilson 95% interval.

    The interval says what the number of test images leaves open about this trained model; another training with another
    seed moves the dot besides. The axis does not begin at zero, hence dots and not bars.

    Parameters
    ----------
    runs : Run, sequence of Run, or mapping of str to Run
        What is drawn, from the top; the mapping's keys replace the names.
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
        If there is no run, or a run's probabilities are not probabilities.
    UnknownNameError
        If the order or language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.
    """
    if order not in ORDERS:
        raise UnknownNameError("order", order, ORDERS)
    chosen = list_runs(runs)
    with plot_texts(language, [run.name for run in chosen]) as labels:
        target = new_axes(6.4, 1.2 + 0.42 * len(chosen)) if ax is None else ax
        draw_accuracy(target, chosen, labels, order=order)
    return target


def draw_accuracy(
    ax: Any, runs: list[Run], labels: dict[str, str], *, order: str = "given", names: str = "beside"
) -> None:
    """Draw the dots and intervals on `ax`, the names ``"beside"`` the axes or ``"above"`` each interval."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    places = list(range(len(runs)))  # the colour belongs to the place, so that all plots of a report agree
    if order == "accuracy":
        places.sort(key=lambda i: -runs[i].metrics["accuracy"] if runs[i].status == "completed" else 1.0)
    decimals = 2 if max(len(run.test_labels) for run in runs) >= 5000 else 1
    for row, place in enumerate(places):
        run = runs[place]
        if run.status != "completed":
            ax.annotate(
                labels[run.status], (0.02, row), xycoords=("axes fraction", "data"), va="center", style="italic"
            )
            continue
        value = run.metrics["accuracy"]
        low, high = wilson_interval(round(value * len(run.test_labels)), len(run.test_labels))
        color = color_of(place)
        ax.plot([low, high], [row, row], color=color, linewidth=2.2, solid_capstyle="butt")
        ax.plot([value], [row], color=color, marker="o", markersize=7)
        ax.annotate(
            f"{value:.{decimals}%}",
            (high, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    listed = [runs[place].name for place in places]
    if names == "beside":
        ax.set_yticks(range(len(runs)), listed)
    else:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        for row, name in enumerate(listed):
            ax.annotate(name, (0.02, row - 0.24), xycoords=("axes fraction", "data"), va="bottom", fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(runs) - 0.4, -0.6)
    ax.margins(x=0.05)
    low, high = ax.get_xlim()
    ax.set_xlim(low, high + 0.16 * (high - low))  # room for the number beside the last interval
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    ax.set_xlabel(labels["test_accuracy"])
    quiet_frame(ax, grid="x")
