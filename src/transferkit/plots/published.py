"""Measured accuracies beside published ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.accuracy import ORDERS, SEVERAL_SEEDS, draw_interval, finish_accuracy, summarise_accuracy
from transferkit.plots.style import STATUS, color_of, list_runs, new_axes, plot_texts, shown_name
from transferkit.runs.grouping import Runs, group_runs
from transferkit.runs.run import Run
from transferkit.statistics.intervals import decimals_for
from transferkit.translation import Translator

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_published(
    runs: Runs,
    published: "pd.DataFrame",
    *,
    order: Literal["given", "accuracy"] = "accuracy",
    ax: "Axes | None" = None,
    language: str = "en",
) -> "Axes":
    """Draw measured test accuracies with their intervals beside published values.

    A run and a published result stand in one row if the run's name is the method's, whatever the case of the letters. Published
    values have no interval, and many were chosen by their test accuracy: they show what is claimed.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        What was measured; the mapping's keys replace the names.
    published : DataFrame
        From `transferkit.published_results`, or the rows of it that matter: ``table[table["source"] == "course"]``.
    order : {"given", "accuracy"}, default "accuracy"
        The most accurate on top (as measured, or else as published); or the runs as given, then what is only published.
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
        If there is no run, runs of one name have different test images, or the table has no column ``method``, ``accuracy`` or
        ``credibility``.
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
    >>> run = tk.train(tk.build_baseline("naive_bayes"), data, verbose=False)
    >>> published = tk.published_results("fashion_mnist")
    >>> ax = tk.plot_published(run, published[published["source"] == "course"])
    >>> "naive_bayes" in [label.get_text() for label in ax.get_yticklabels()]
    True
    """
    if order not in ORDERS:
        raise UnknownNameError("order", order, ORDERS)
    missing = {"method", "accuracy", "credibility"} - set(getattr(published, "columns", ()))
    if missing:
        raise InvalidInputError(
            f"published must be a table from published_results; got {type(published).__name__} without"
            f" {', '.join(sorted(missing))}."
        )
    chosen = list_runs(runs)
    rows = match_rows(group_runs(chosen), published)
    if order == "accuracy":
        rows.sort(key=lambda row: -row.place_accuracy)
    with plot_texts(language, [row.name for row in rows]) as say:
        target = new_axes(7.6, 1.5 + 0.3 * len(rows)) if ax is None else ax
        decimals = decimals_for(max(len(run.test_labels) for run in chosen))
        draw_published(target, rows, say, decimals=decimals, legend="below" if ax is None else "inside")
    return target


class Row:
    """One method: the runs of it, and what was published of it."""

    def __init__(self, name: str, group: list[Run], values: list[tuple[float, bool]], place: int) -> None:
        self.name = name
        self.group = group
        self.values = values  # accuracy, and whether it is credible
        self.place = place
        self.summary = summarise_accuracy(group)

    @property
    def place_accuracy(self) -> float:
        """The accuracy by which the row is ordered; rows without any come last."""
        if self.summary:
            return self.summary[1]
        return max((accuracy for accuracy, _ in self.values), default=-1.0)


def match_rows(groups: Mapping[str, list[Run]], published: "pd.DataFrame") -> list[Row]:
    """Return the runs in their order, each with what was published under its name; then the other methods."""
    values: dict[str, list[tuple[float, bool]]] = {}
    names: dict[str, str] = {}
    records = published[["method", "accuracy", "credibility"]].itertuples(index=False)
    for method, accuracy, credibility in records:
        key = str(method).casefold()
        names.setdefault(key, str(method))
        values.setdefault(key, []).append((float(accuracy), credibility != "not credible"))
    rows = [
        Row(name, group, values.pop(name.casefold(), []), place) for place, (name, group) in enumerate(groups.items())
    ]
    return rows + [Row(names[key], [], found, 0) for key, found in values.items()]


def draw_published(ax: Any, rows: Sequence[Row], say: Translator, *, decimals: int, legend: str) -> None:
    """Draw one row a method on `ax`, the numbers in two columns to the right; `legend` is ``"below"`` or ``"inside"``."""
    from matplotlib.lines import Line2D

    neutral = ax.xaxis.label.get_color()
    style: dict[str, Any] = {"color": neutral, "linestyle": "", "markersize": 6, "alpha": 0.75}
    marks: dict[bool, dict[str, Any]] = {
        True: style | {"marker": "D", "fillstyle": "none"},
        False: style | {"marker": "x"},
    }
    for place, row in enumerate(rows):
        for accuracy, credible in row.values:
            ax.plot([accuracy], [place], **marks[credible])
        if row.summary:
            draw_interval(ax, place, row.summary, color_of(row.place))
            _write_column(ax, place, 0, f"{row.summary[1]:.{decimals}%}", color_of(row.place))
        elif row.group:
            _write_column(ax, place, 0, say(STATUS[row.group[0].status]), neutral)
        distinct = dict.fromkeys(_write_published(accuracy) for accuracy, _ in row.values)
        _write_column(ax, place, 1, ", ".join(distinct), neutral)
    for column, heading in enumerate((say("measured"), say("published"))):
        _write_column(ax, -0.8, column, heading, neutral)
    ax.set_yticks(range(len(rows)), [shown_name(row.name) for row in rows])
    several = any(row.summary and len(row.summary[0]) > 1 for row in rows)
    finish_accuracy(ax, len(rows), say(SEVERAL_SEEDS if several else "Test accuracy"))
    handles = [
        Line2D(
            [], [], color=color_of(0), marker="o", markersize=7, linewidth=2.2, label=say("measured, with 95% interval")
        )
    ]
    kinds = {credible for row in rows for _, credible in row.values}
    for credible, name in ((True, say("published result")), (False, say("published, not credible"))):
        if credible in kinds:
            handles.append(Line2D([], [], **marks[credible], label=name))
    if legend == "below":
        ax.figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    else:
        ax.legend(handles=handles, loc="best", fontsize="small")


def _write_published(accuracy: float) -> str:
    return f"{accuracy:.1%}" if abs(accuracy - round(accuracy, 3)) < 1e-9 else f"{accuracy:.2%}"


def _write_column(ax: Any, row: float, column: int, text: str, color: str) -> None:
    place = (1.0, row)
    offset = (10 + 58 * column, 0)
    ax.annotate(
        text, place, xytext=offset, xycoords=("axes fraction", "data"), textcoords="offset points", color=color,
        va="center", fontsize="small", annotation_clip=False,
    )  # fmt: skip
