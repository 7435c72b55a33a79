"""Plots of measured numbers, which the build draws from the committed files of results: ``{measured} NAME`` on a page."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polib
from docutils import nodes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from sphinx.util.docutils import SphinxDirective

from transferkit.plots.accuracy import draw_accuracy
from transferkit.plots.curves import draw_curves
from transferkit.plots.efficiency import draw_label_efficiency
from transferkit.plots.style import color_of, marker_of, paper, plot_texts, quiet_frame, wrap
from transferkit.report.figures import draw_svg
from transferkit.runs.loading import load_runs
from transferkit.translation import translator as package_texts

DOCS = Path(__file__).parent
KOREAN = DOCS / "locale" / "ko" / "LC_MESSAGES"
WIDTH = 5.2  # inches: on a phone its letters stay legible
OURS, KERAS, OTHER = color_of(0), color_of(1), color_of(6)

# The parts of the fixed costs that the plot shows, each with the rows of the table that it adds up.
PARTS = {
    "frozen layers": (
        "conversion to LiteRT", "starting LiteRT", "features", "finding kept features", "health check",
        "check of features against the layers",
    ),
    "steps and validation": ("tracing of the steps, start and end of fit", "epochs", "validation"),
    "checkpoints and saving": ("checkpoints", "record", "saving"),
    "predictions": ("predictions of test, validation and training images", "timing of predictions"),
}  # fmt: skip


def read_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a benchmark, or of a CSV file where the name is one."""
    path = DOCS / name if name.endswith(".csv") else DOCS / "benchmarks" / f"{name}.json"
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            return list(csv.DictReader(stream))
        found = json.load(stream)
    return found if isinstance(found, list) else found["rows"]


class Say:
    """Translates a text and fills in values; a text without a translation raises KeyError."""

    def __init__(self, language: str) -> None:
        self.language = language
        files = () if language == "en" else ("guide/statistics.po", "measured.po")  # the first has the rows of a table
        self.texts = {entry.msgid: entry.msgstr for file in files for entry in polib.pofile(str(KOREAN / file))}

    def __call__(self, text: str, **values: Any) -> str:
        """Return the text in the language of the page."""
        return (self.texts[text] if self.texts else text).format(**values)


def draw_bars(ax: Any, names: Sequence[str], values: Sequence[float], numbers: Sequence[str], colors: Any) -> None:
    """Draw a bar a name, from top to bottom, with its number beside it."""
    bars = ax.barh(range(len(names)), values, color=colors, height=0.7)
    ax.bar_label(bars, numbers, padding=4, fontsize="small")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1.22 * max(values))  # room for the number beside the longest bar
    leave_bars(ax)


def leave_bars(ax: Any) -> None:
    """Leave out the axis and the frame of bars that have their numbers beside them."""
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def draw_features(figure: Any, say: Say) -> None:
    rows = read_rows("features")
    sizes = list(dict.fromkeys(row["px"] for row in rows))
    engines = dict.fromkeys(row["engine"] for row in rows)  # without PyTorch, two
    colors = dict(zip(engines, (OURS, KERAS, OTHER), strict=False))
    axes = figure.subplots(-(-len(sizes) // 2), 2, squeeze=False)
    for ax, size in zip(axes.flat, sizes, strict=False):
        shown = [row for row in rows if row["px"] == size]
        rates = [row["images/s"] for row in shown]
        names = ["" for _ in shown]
        draw_bars(ax, names, rates, [f"{rate:,.0f}" for rate in rates], [colors[row["engine"]] for row in shown])
        ax.set_title(say("{size} px: images per second", size=size), fontsize="medium", loc="left")
    handles = [Patch(color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")


def draw_frozen_training(figure: Any, say: Say) -> None:
    rows = read_rows("frozen_training")
    names = [say(row["training"]).replace("`", "").replace(", ", ",\n") for row in rows]
    seconds = [row["seconds"] for row in rows]
    colors = [OURS if "cache" in row["training"] else KERAS if "Keras" in row["training"] else OTHER for row in rows]
    numbers = [say("{value:,} s", value=round(value)) for value in seconds]
    draw_bars(figure.add_subplot(), names, seconds, numbers, colors)


def draw_fixed_costs(figure: Any, say: Say) -> None:
    rows = {row.pop("what"): row for row in read_rows("fixed_costs")}
    total = rows["the call of train"]
    sums = {part: [sum(rows[name][state] for name in names) for state in total] for part, names in PARTS.items()}
    known = [sum(column) for column in zip(*sums.values(), strict=True)]
    sums["everything else"] = [total[state] - done for state, done in zip(total, known, strict=True)]
    ax = figure.add_subplot()
    names = [say(state.removesuffix(", s")).replace(", ", ",\n") for state in total]
    ends = list(total.values())
    draw_bars(ax, names, ends, [say("{value:.1f} s", value=end) for end in ends], "none")
    left = [0.0] * len(ends)
    for place, (part, values) in enumerate(sums.items()):
        ax.barh(range(len(ends)), values, left=left, color=color_of(place), height=0.7, label=say(part))
        left = [a + b for a, b in zip(left, values, strict=True)]
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")


def draw_partial_freezing(figure: Any, say: Say) -> None:
    rows = read_rows("partial_freezing")
    ways = {"Keras `fit`": KERAS, '`engine="plain"`': OTHER, "kept feature maps": OURS, "kept, `bfloat16`": color_of(2)}
    ax = figure.add_subplot()
    places = [5 * group + way for group in range(len(rows)) for way in range(len(ways))]
    values = [row[way] for row in rows for way in ways]
    bars = ax.barh(places, values, color=[*ways.values()] * len(rows), height=0.84)
    ax.bar_label(bars, [say("{value:,} ms", value=round(value)) for value in values], padding=4, fontsize="small")
    frozen = [say("nothing frozen") if row["frozen up to"] == "nothing" else row["frozen up to"] for row in rows]
    names = [f"{name},\n{row['px']} px" for name, row in zip(frozen, rows, strict=True)]
    ax.set_yticks([5 * group + 1.5 for group in range(len(rows))], names)
    ax.margins(y=0.01)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.18 * max(values))
    leave_bars(ax)
    handles = [Patch(color=color, label=say(name).replace("`", "")) for name, color in ways.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")


def draw_time_to_accuracy(figure: Any, say: Say) -> None:
    """Draw accuracies over minutes: of validation after each epoch, a line a seed, and of the test at the end, a dot a seed."""
    results, curves = read_rows("time_to_accuracy"), read_rows("time_to_accuracy_curves")
    learning, tested = figure.subplots(2, 1, sharex=True)
    for place, way in enumerate(dict.fromkeys(row["way"] for row in sorted(results, key=lambda row: row["minutes"]))):
        style = {"marker": marker_of(place), "color": color_of(place)}
        seeds: dict[int, list[tuple[float, float]]] = {}
        for row in curves:
            if row["way"] == way:
                seeds.setdefault(row["seed"], []).append((row["minutes"], row["validation accuracy"]))
        for points in seeds.values():
            learning.plot(*zip(*points, strict=True), **style)
        ends = [(row["minutes"], row["test accuracy"]) for row in results if row["way"] == way]
        tested.plot(*zip(*ends, strict=True), linestyle="", label=say(way).replace("`", ""), **style)
    for ax, label in ((learning, "Validation accuracy"), (tested, "Test accuracy")):
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
        ax.set_ylabel(say(label))
        quiet_frame(ax)
    tested.set_xscale("log")  # peers take ten minutes, the longest way two hours
    tested.xaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 30, 60, 120]))
    tested.xaxis.set_major_formatter("{x:.0f}")
    tested.xaxis.set_minor_locator(NullLocator())
    tested.set_xlabel(say("Minutes from raw files, on a logarithmic scale"))
    figure.legend(loc="outside lower center", frameon=False, fontsize="small")


def draw_seeds(ax: Any, groups: Mapping[str, Sequence[float]], colors: Sequence[str], label: str) -> None:
    """Draw a dot a seed, and the mean, written beside it, as a line through them."""
    for place, ((_, values), color) in enumerate(zip(groups.items(), colors, strict=True)):
        mean = sum(values) / len(values)
        ax.plot(values, [place] * len(values), linestyle="", marker="o", markersize=6, color=color, alpha=0.7)
        ax.plot([mean, mean], [place - 0.32, place + 0.32], color=color, linewidth=2.2)
        ax.annotate(
            f"{mean:.1%}", (max(values), place), xytext=(8, 0), textcoords="offset points", va="center",
            fontsize="small", bbox=paper(ax),
        )  # fmt: skip
    ax.set_yticks(range(len(groups)), groups)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    low, high = ax.get_xlim()
    ax.set_xlim(low, high + 0.17 * (high - low))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%" if value <= 1.001 else "")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label)
    quiet_frame(ax, grid="x")


def draw_own_photographs(figure: Any, say: Say) -> None:
    rows = read_rows("own_photographs")
    counts = list(dict.fromkeys(row["images"] for row in rows))
    for place, count in enumerate(counts, 1):
        groups: dict[str, list[float]] = {}
        for row in rows:
            if row["images"] == count:
                groups.setdefault(say(row["way"]), []).append(row["accuracy"])
        ax = figure.add_subplot(len(counts), 1, place)
        colors = [KERAS if "Keras" in name else OURS for name in groups]
        draw_seeds(ax, groups, colors, say("Test accuracy") if place == len(counts) else "")
        ax.set_title(say("{count} training photographs", count=count), fontsize="medium", loc="left")


def draw_imbalanced(figure: Any, say: Say) -> None:
    groups: dict[str, list[float]] = {}
    weights = {"none": "without weights", "balanced": "with weights"}
    for row in read_rows("results/imbalanced/results.csv"):
        name = f"{say(row['way'])},\n{say(weights[row['class_weight']])}"
        groups.setdefault(name, []).append(float(row["macro_f1"]))
    colors = [OTHER if place % 2 == 0 else OURS for place in range(len(groups))]
    draw_seeds(figure.add_subplot(), groups, colors, say("Macro F1 on a balanced test set"))


def draw_coverage(figure: Any, say: Say) -> None:
    """Draw how often a verdict was wrong where 5% were allowed: one dot a setting, before and now."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in read_rows("benchmarks/coverage.csv"):
        if row["stated"] == "≤ 5":
            groups.setdefault(say(row["question"]), []).append((row["before"], row["now"]))
    ax = figure.add_subplot()
    ax.axvline(5, color=KERAS, linewidth=1.2, linestyle=(0, (4, 2)))
    for place, (question, pairs) in enumerate(groups.items()):
        for shift, color, column in ((0.05, OTHER, 0), (0.25, OURS, 1)):
            rates = [float(pair[column]) for pair in pairs if pair[column]]
            ax.plot(rates, [place + shift] * len(rates), linestyle="", marker="o", markersize=5, color=color, alpha=0.6)
        text = wrap(question, 76)
        ax.annotate(text, (0, place - 0.2), va="bottom", fontsize="small", bbox=paper(ax), annotation_clip=False)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(groups) - 0.6, -0.8)
    ax.set_xlim(left=-0.5)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}%")
    ax.set_xlabel(say("How often it happened, in simulations"))
    quiet_frame(ax, grid="x")
    handles = [Patch(color=OTHER, label=say("before")), Patch(color=OURS, label=say("now"))]
    handles.append(Patch(color=KERAS, label=say("allowed: 5%")))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")


def draw_curve(figure: Any, say: Say) -> None:
    """Draw the curve of labels from the accuracy of each run, and means and intervals from the report."""
    folder = DOCS / "results" / "label_efficiency"
    row = re.compile(r"\| (.+?) \| ([\d,]+) \| \d+ \| ([\d.]+)% \[([\d.]+), ([\d.]+)\] \|")
    means = [found.groups() for found in row.finditer((folder / "report.md").read_text(encoding="utf-8"))]
    table = pd.DataFrame(means, columns=["arm", "labels_per_class", "accuracy", "low", "high"])
    table["labels_per_class"] = table["labels_per_class"].str.replace(",", "").astype(int)
    table[["accuracy", "low", "high"]] = table[["accuracy", "low", "high"]].astype(float) / 100
    points = pd.read_csv(folder / "points.csv")
    for part in (table, points):
        part["arm"] = part["arm"].map(say)
    curve = SimpleNamespace(metric="accuracy", table=table, points=points)
    draw_label_efficiency(figure.add_subplot(), curve, list(points["arm"].unique()), package_texts(say.language))


def draw_runs(figure: Any, say: Say, folder: str) -> None:
    """Draw the test accuracies of saved runs, and below them how each network came there."""
    runs = [replace(run, name=say(run.name)) for run in load_runs(DOCS / "results" / folder)]
    words, names = package_texts(say.language), list(dict.fromkeys(run.name for run in runs))
    above, below = figure.subplots(2, 1, height_ratios=[0.5 + 0.42 * len(names), 2.6])
    draw_accuracy(above, runs, words, order="accuracy", names="above")
    draw_curves(below, runs, "accuracy", words, legend="below")


def draw_model_zoo(figure: Any, say: Say) -> None:
    runs = [replace(run, name=say(run.name)) for run in load_runs(DOCS / "results" / "model_zoo")]
    ax = figure.add_subplot()
    draw_accuracy(ax, runs, package_texts(say.language), order="accuracy")
    ax.set_xlabel(wrap(ax.get_xlabel(), 44))


# What draws each, its height in inches, and what somebody who cannot see it is told.
PLOTS: dict[str, tuple[Callable[[Any, Say], None], float, str]] = {
    "features": (draw_features, 4.0, "Bars: images per second of three engines at each image size"),
    "frozen_training": (draw_frozen_training, 3.2, "Bars: seconds of a training on frozen layers, five ways"),
    "fixed_costs": (draw_fixed_costs, 3.0, "Stacked bars: where the seconds of a training go"),
    "partial_freezing": (draw_partial_freezing, 8.0, "Bars: milliseconds of a training step, four ways"),
    "time_to_accuracy": (draw_time_to_accuracy, 6.4, "Curves and dots: accuracies over minutes, ours and its peers"),
    "own_photographs": (draw_own_photographs, 4.6, "Dots: test accuracy of each seed, four ways of training"),
    "imbalanced": (draw_imbalanced, 2.8, "Dots: macro F1 of each seed, with and without class weights"),
    "quick": (partial(draw_runs, folder="quick"), 5.6, "Dots and curves: four networks on 1,000 training images"),
    "full": (partial(draw_runs, folder="full"), 6.8, "Dots and curves: seven networks on 60,000 training images"),
    "model_zoo": (draw_model_zoo, 5.0, "Dots: test accuracy of thirteen models on 60,000 training images"),
    "label_efficiency": (draw_curve, 3.9, "Curves: test accuracy over labels per class, three ways of training"),
    "coverage": (draw_coverage, 8.0, "Dots: how often a verdict was wrong, before and now, where 5% are allowed"),
}


def draw(name: str, language: str) -> str:
    """Return a plot as inline SVG, whose colours are the page's."""
    function, height, title = PLOTS[name]
    say = Say(language)

    def on_figure(figure: Any) -> None:
        figure.set_size_inches(WIDTH, height)
        function(figure, say)

    with plot_texts(language):
        return draw_svg(say(title), on_figure).svg


class Measured(SphinxDirective):
    """Put a plot of `PLOTS` into the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the drawing."""
        self.env.note_dependency(__file__)
        for pattern in ("benchmarks/*", "results/imbalanced/*", "results/label_efficiency/*", "results/*/*/run.json"):
            for file in DOCS.glob(pattern):
                self.env.note_dependency(str(file))
        svg = draw(self.arguments[0], self.config.language)
        return [nodes.raw("", f'<figure class="measured">{svg}</figure>', format="html", translatable=False)]


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
