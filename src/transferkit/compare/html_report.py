"""The report as one HTML page that needs neither network nor scripts nor any other file."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit import files
from transferkit.compare.model_runs import ModelRuns
from transferkit.compare.results import Results
from transferkit.compare.summary import (
    describe_data,
    describe_environment,
    describe_training,
    describe_weights,
    list_banners,
    list_notes,
    write_title,
    write_verdict,
)
from transferkit.compare.table import format_cells
from transferkit.compare.texts import texts_in
from transferkit.compare.verdicts import format_pairs
from transferkit.data.dataset import Dataset
from transferkit.plots.accuracy import draw_accuracy
from transferkit.plots.confused_pairs import draw_confused_pairs, find_confused_pairs
from transferkit.plots.confusion import draw_confusion
from transferkit.plots.cost import COSTS, cost_of, draw_cost
from transferkit.plots.curves import METRICS, draw_curves, has_curve
from transferkit.plots.disagreements import draw_disagreements, find_disagreements
from transferkit.plots.images import match_images
from transferkit.plots.reliability import draw_reliability
from transferkit.plots.samples import draw_samples
from transferkit.plots.style import plot_texts
from transferkit.plots.worst_errors import draw_worst_errors, find_worst_errors
from transferkit.runs.grouping import group_runs
from transferkit.runs.run import Run

_INK: Final = "#010203"  # stands for the page's text colour until the drawing is inside the page
_WIDTH: Final = 4.7  # inches: on a phone the drawing is hardly reduced, so its letters stay legible

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --paper: #ffffff; --ink: #1c1e21; --faint: #5f6670; --line: #d9dde2; --mark: #f2f5f9; --warn: #fff1d6; --warn-ink: #5c3b00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e6e8eb; --faint: #a0a8b2; --line: #363c44; --mark: #1f242a; --warn: #46340f; --warn-ink: #ffe3ac; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", "Noto Sans CJK KR",
  "NanumGothic", sans-serif; overflow-wrap: break-word; word-break: keep-all; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.12rem; margin: 2.2rem 0 .6rem; }
.banner { background: var(--warn); color: var(--warn-ink); padding: .8rem 1rem; border-radius: .4rem; font-weight: 600; }
.verdict { font-size: 1.05rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .42rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { background: var(--mark); font-weight: 600; white-space: normal; min-width: 3.6rem; vertical-align: bottom; }
tbody th { font-weight: 600; white-space: normal; }
th:first-child { text-align: left; min-width: 10rem; position: sticky; left: 0; }
tbody th { background: var(--paper); }
tbody tr:last-child > * { border-bottom: 0; }
.interval { color: var(--faint); font-size: .86em; }
td.left-out { text-align: left; color: var(--faint); font-style: italic; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem; align-items: start; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 40rem; color: var(--ink); }
ul { padding-left: 1.2rem; margin: 0; }
li { margin: .3rem 0; overflow-wrap: anywhere; }
.faint { color: var(--faint); font-size: .9rem; }
@media (max-width: 40rem) {
  th:first-child { min-width: 7.5rem; max-width: 8.5rem; }
}
@media print {
  :root { --paper: #ffffff; --ink: #000000; --faint: #444444; --line: #bbbbbb; --mark: #f3f3f3; --warn: #ffffff; --warn-ink: #000000; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  .banner { border: 2px solid #000000; }
  .scroll { overflow: visible; border: 0; }
  table { font-size: 7.5pt; }
  th, td { white-space: normal; padding: .25rem .3rem; }
  thead th, th:first-child { min-width: 0; position: static; }
  .plots { grid-template-columns: 1fr 1fr; }
  h2 { break-after: avoid; }
}
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")


def write_html(
    results: Results, language: str, path: Path | str | None, images: Dataset | ArrayLike | None = None
) -> str:
    """Return the page, and write it if a path is given; with test images among the plots if they are given."""
    texts = texts_in(language)
    runs = results.runs
    array = match_images(results.leading[0].example, images) if results.leading and images is not None else None
    parts = [_opening(results, language), f'<div class="scroll">{_table(results, language)}</div>']
    if len(results.tests):
        parts += [
            f"<h2>{escape(texts['section_pairs'])}</h2>",
            f'<div class="scroll">{_pairs(results, language)}</div>',
        ]
    parts += [
        f"<h2>{escape(texts['section_plots'])}</h2>",
        f'<div class="plots">{_plots(results, language, array)}</div>',
    ]
    parts += _section(texts["section_data"], describe_data(runs, language))
    parts += _section(
        texts["section_training"], [(model.name, describe_training(model, language)) for model in results.models]
    )
    parts += _section(
        texts["section_weights"], [(model.name, describe_weights(model.example, language)) for model in results.models]
    )
    parts += _section(texts["section_notes"], list_notes(results, language))
    if environment := describe_environment(runs):
        parts += [
            f"<h2>{escape(texts['section_environment'])}</h2>",
            f'<p class="faint">{escape(", ".join(environment))}</p>',
        ]
    title = escape(write_title(results.models, language))
    page = _PAGE.substitute(language=language, title=title, body="\n".join(parts))
    if path is not None:
        files.write_text(Path(path).expanduser(), page)
    return page


def write_fragment(results: Results, language: str) -> str:
    """Return verdict and table for a notebook."""
    opening = _opening(results, language)
    return f'<div>{opening}<div style="overflow-x: auto">{_table(results, language)}</div></div>'


def _opening(results: Results, language: str) -> str:
    if banners := list_banners(results.runs, language):
        return "\n".join(f'<p class="banner" role="alert"><strong>{escape(banner)}</strong></p>' for banner in banners)
    return f'<p class="verdict">{escape(write_verdict(results, language))}</p>'


def _table(results: Results, language: str) -> str:
    cells = format_cells(results.models, results.table, results.baseline, language)
    return _grid(cells, left_out=[model.status != "completed" for model in results.models])


def _pairs(results: Results, language: str) -> str:
    cells = format_pairs(results, language)
    return _grid(cells, left_out=[False] * (len(cells) - 1))


def _grid(cells: Sequence[Sequence[str]], *, left_out: Sequence[bool]) -> str:
    """Return a table with the heading first; a row that is left out says why in its first cell."""
    heading, *rows = cells
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    body = []
    for (name, *others), out in zip(rows, left_out, strict=True):
        marked = [_cell(cell, left_out=out and place == 0) for place, cell in enumerate(others)]
        body.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(marked)}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _cell(cell: str, *, left_out: bool) -> str:
    if left_out:
        return f'<td class="left-out">{escape(cell)}</td>'
    text = re.sub(r" (\[.*\])$", r' <span class="interval">\1</span>', escape(cell))
    return f"<td>{text}</td>"


def _section(title: str, items: Sequence[str | tuple[str, str]]) -> list[str]:
    lines = [
        f"<li>{escape(item)}</li>"
        if isinstance(item, str)
        else f"<li><strong>{escape(item[0])}</strong>: {escape(item[1])}</li>"
        for item in items
    ]
    return [f"<h2>{escape(title)}</h2>", f"<ul>{''.join(lines)}</ul>"]


def _plots(results: Results, language: str, images: NDArray[np.uint8] | None) -> str:
    """Return the plots as inline SVG, their text in the page's colour."""
    texts = texts_in(language)
    listed = list(results.runs)
    completed = [model for model in results.models if model.completed]
    names = [name for run in listed for name in (run.name, *run.class_names)]
    figures = []
    with plot_texts(language, names) as labels:
        figures.append(
            _figure(
                texts["plot_accuracy"],
                0.9 + (0.8 if results.has_seeds else 0.5) * len(results.models),
                lambda ax: draw_accuracy(ax, listed, labels, names="above"),
            )
        )
        for metric in METRICS:
            if any(has_curve(run, metric) for run in listed):
                title, height = texts[f"plot_{metric}_curves"], 3.5 + 0.1 * len(results.models)
                draw = partial(draw_curves, runs=listed, metric=metric, labels=labels, legend="below")
                figures.append(_figure(title, height, draw))
        if len(completed) > 1:
            groups = group_runs(listed)
            figures += [
                _figure(texts[f"plot_{cost}"], 3.6, partial(draw_cost, groups=groups, cost=cost, labels=labels))
                for cost in COSTS
                if any(cost_of(run, cost) for model in completed for run in model.completed)
            ]
        if completed:
            best, *others = [_example(model, texts) for model in results.leading]
            figures += _best_figures(best, texts, labels)
            if images is not None:
                figures += _image_figures(best, others[0] if others else None, images, texts, labels)
    return "\n".join(figures)


def _example(model: ModelRuns, texts: Mapping[str, str]) -> Run:
    """Return the run that is drawn for a model, with its seed in the name if it is one of several."""
    run = model.example
    return run if len(model.completed) < 2 else replace(run, name=f"{run.name}, {texts['seed'].format(seed=run.seed)}")


def _image_figures(
    best: Run, other: Run | None, images: NDArray[np.uint8], texts: Mapping[str, str], labels: dict[str, str]
) -> list[str]:
    """Return samples of the test images, what the best run gets wrong, and what only one of two runs gets right."""
    figures = [
        _draw_svg(
            texts["plot_samples"],
            partial(draw_samples, images=images, labels=best.test_labels, names=best.class_names, per_class=5),
        )
    ]
    shown: dict[str, Any] = {"array": images, "labels": labels, "count": 6, "columns": 3}
    if len(find_worst_errors(best)):
        figures.append(_draw_svg(texts["plot_errors"], partial(draw_worst_errors, run=best, **shown)))
    if other is not None and any(map(len, find_disagreements(best, other))):
        draw = partial(draw_disagreements, runs=(best, other), **shown)
        figures.append(_draw_svg(texts["plot_disagreements"], draw))
    return figures


def _best_figures(run: Run, texts: Mapping[str, str], labels: dict[str, str]) -> list[str]:
    """Return what the most accurate model confuses, and whether it is as right as it is sure."""
    figures = []
    if len(run.class_names) <= 30:
        height = 1.9 + 0.34 * len(run.class_names)
        figures.append(_figure(texts["plot_confusion"], height, lambda ax: draw_confusion(ax, run, labels)))
    pairs = find_confused_pairs(run)[:10]
    if pairs:
        height = 1.3 + 0.3 * len(pairs)
        figures.append(_figure(texts["plot_pairs"], height, lambda ax: draw_confused_pairs(ax, run, pairs, labels)))
    figures.append(_figure(texts["plot_reliability"], 5.0, lambda ax: draw_reliability(ax, run, labels)))
    return figures


def _figure(title: str, height: float, draw: Callable[[Any], object]) -> str:
    def on_axes(figure: Any) -> None:
        figure.set_size_inches(_WIDTH, height)
        draw(figure.add_subplot())

    return _draw_svg(title, on_axes)


def _draw_svg(title: str, draw: Callable[[Any], object]) -> str:
    """Return what `draw` puts on a figure, whose size it sets, as inline SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    stream = io.StringIO()
    with rc_context(dict.fromkeys(ink, _INK) | {"svg.hashsalt": title, "axes.facecolor": "none"}):
        figure = Figure(layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # it names schemas on the network
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"
