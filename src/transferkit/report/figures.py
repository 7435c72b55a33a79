"""The plots of a report, drawn for a page: SVG whose letters have the page's colour."""

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.comparison import ComparisonResults
from transferkit.plots.accuracy import draw_accuracy
from transferkit.plots.confused_pairs import draw_confused_pairs, find_confused_pairs
from transferkit.plots.confusion import draw_confusion
from transferkit.plots.cost import COSTS, cost_of, draw_cost
from transferkit.plots.curves import METRICS, draw_curves, has_curve
from transferkit.plots.disagreements import draw_disagreements, find_disagreements
from transferkit.plots.images import match_images
from transferkit.plots.reliability import draw_reliability
from transferkit.plots.samples import draw_samples
from transferkit.plots.style import color_of, plot_texts, rc_settings, shorten
from transferkit.plots.worst_errors import draw_worst_errors, find_worst_errors
from transferkit.report.training_sentences import name_seed
from transferkit.runs.grouping import group_runs
from transferkit.runs.run import Run
from transferkit.translation import Translator, mark

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from transferkit.data.dataset import Dataset

# They stand for the page's colours until the drawing is inside the page.
_INK, _PAPER, _GRID = "#010203", "#040506", "#070809"
_WIDTH: Final = 4.7  # inches: on a phone the drawing is hardly reduced, so its letters stay legible
_COLUMNS: Final = 60  # of a name: as wide as the drawing
_CURVES: Final = {"accuracy": mark("Accuracy by epoch"), "loss": mark("Loss by epoch")}
_COST_TITLES: Final = {
    "training_time": mark("Accuracy and training time"),
    "latency": mark("Accuracy and prediction time"),
    "parameters": mark("Accuracy and size"),
}


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG, its text in the page's colour."""

    title: str
    svg: str


def draw_figures(
    results: ComparisonResults, say: Translator, images: "Dataset | ArrayLike | None" = None
) -> list[Figure]:
    """Return the plots of a comparison; with test images among them if they are given."""
    array = match_images(results.leading[0].example, images) if results.leading and images is not None else None
    short = _shorten_names([model.name for model in results.models])
    listed = [replace(run, name=short[model.name]) for model in results.models for run in model.runs]
    completed = [model for model in results.models if model.completed]
    names = [name for run in listed for name in (run.name, *run.class_names)]
    figures: list[Figure] = []
    with plot_texts(say.language, names) as words:
        figures.append(
            _figure(
                say("Test accuracy"),
                0.9 + (0.8 if results.has_seeds else 0.5) * len(results.models),
                lambda ax: draw_accuracy(ax, listed, words, names="above"),
            )
        )
        for metric in METRICS:
            if any(has_curve(run, metric) for run in listed):
                title, height = say(_CURVES[metric]), 3.5 + 0.1 * len(results.models)
                draw = partial(draw_curves, runs=listed, metric=metric, say=words, legend="below")
                figures.append(_figure(title, height, draw))
        if len(completed) > 1:
            groups = group_runs(listed)
            figures += [
                _figure(say(_COST_TITLES[cost]), 3.6, partial(draw_cost, groups=groups, cost=cost, say=words))
                for cost in COSTS
                if any(cost_of(run, cost) for model in completed for run in model.completed)
            ]
        if completed:
            best, *others = [_example(model, short[model.name], say) for model in results.leading]
            figures += _best_figures(best, say, words)
            if array is not None:
                figures += _image_figures(best, others[0] if others else None, array, say, words)
    return figures


def _shorten_names(names: Sequence[str]) -> dict[str, str]:
    """Return names that fit into a drawing, no two alike."""
    short = {name: shorten(name, _COLUMNS) for name in names}
    alike = Counter(short.values())
    return {
        name: text if alike[text] == 1 else f"{shorten(name, _COLUMNS - 4)} {place}"
        for place, (name, text) in enumerate(short.items(), 1)
    }


def _example(model: ComparedModel, name: str, say: Translator) -> Run:
    """Return the run that is drawn for a model, with its seed in the name if it is one of several."""
    run = model.example
    return replace(run, name=name if len(model.completed) < 2 else name_seed(name, run.seed, say))


def _image_figures(
    best: Run, other: Run | None, images: NDArray[np.uint8], say: Translator, words: Translator
) -> list[Figure]:
    """Return samples of the test images, what the best run gets wrong, and what only one of two runs gets right."""
    figures = [
        draw_svg(
            say("The first test images of each class"),
            partial(draw_samples, images=images, labels=best.test_labels, names=best.class_names, per_class=5),
        )
    ]
    shown: dict[str, Any] = {"array": images, "say": words, "count": 6, "columns": 3}
    if len(find_worst_errors(best)):
        figures.append(
            draw_svg(
                say("Errors of which the most accurate model is most sure"),
                partial(draw_worst_errors, run=best, **shown),
            )
        )
    if other is not None and any(map(len, find_disagreements(best, other))):
        draw = partial(draw_disagreements, runs=(best, other), **shown)
        figures.append(draw_svg(say("What only one of two models gets right"), draw))
    return figures


def _best_figures(run: Run, say: Translator, words: Translator) -> list[Figure]:
    """Return what the most accurate model confuses, and whether it is as right as it is sure."""
    figures = []
    if len(run.class_names) <= 30:
        height = 1.9 + 0.34 * len(run.class_names)
        figures.append(
            _figure(
                say("Confusion matrix of the most accurate model"), height, lambda ax: draw_confusion(ax, run, words)
            )
        )
    pairs = find_confused_pairs(run)[:10]
    if pairs:
        height = 1.3 + 0.3 * len(pairs)
        figures.append(
            _figure(
                say("What the most accurate model confuses most"),
                height,
                lambda ax: draw_confused_pairs(ax, run, pairs, words),
            )
        )
    figures.append(
        _figure(
            say("Is the most accurate model as right as it is sure?"), 5.0, lambda ax: draw_reliability(ax, run, words)
        )
    )
    return figures


def _figure(title: str, height: float, draw: Callable[[Any], object]) -> Figure:
    def on_axes(figure: Any) -> None:
        figure.set_size_inches(_WIDTH, height)
        draw(figure.add_subplot())

    return draw_svg(title, on_axes)


def draw_svg(title: str, draw: Callable[[Any], object]) -> Figure:
    """Return what `draw` puts on a figure, whose size it sets, as inline SVG."""
    from matplotlib.figure import Figure as Canvas

    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    stream = io.StringIO()
    settings = {"svg.hashsalt": title, "axes.facecolor": _PAPER, "grid.color": _GRID}
    with rc_settings(dict.fromkeys(ink, _INK) | settings):
        figure = Canvas(layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    colors = {_INK: "currentColor", _PAPER: "var(--paper)", _GRID: "var(--grid)", color_of(0).lower(): "var(--blue)"}
    for color, name in colors.items():
        svg = svg.replace(color, name)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # it names schemas on the network
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    return Figure(title, svg)
