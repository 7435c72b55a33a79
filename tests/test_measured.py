"""Plots that the documentation's build draws from the committed files of results."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

DOCS = Path(__file__).parents[1] / "docs"
if not (DOCS / "measured.py").is_file():
    pytest.skip("without the documentation", allow_module_level=True)
pytest.importorskip("sphinx")
polib = pytest.importorskip("polib")


@pytest.fixture(scope="module")
def measured():
    spec = importlib.util.spec_from_file_location("measured", DOCS / "measured.py")
    module = sys.modules["measured"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(measured, name, language="en"):
    """Return every text in a plot."""
    figure = Figure(layout="constrained")
    measured.PLOTS[name][0](figure, measured.Say(language))
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))]


def test_every_plot_is_on_a_page_and_every_page_asks_for_one_that_there_is(measured):
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("**/*.md") if "_build" not in page.parts]
    asked = [name for page in pages for name in re.findall(r"^```\{measured\} (\w+)$", page, re.MULTILINE)]
    assert set(asked) == set(measured.PLOTS)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_plots_are_drawn_in_the_colours_of_the_page(measured, language):
    for name in ("features", "imbalanced"):
        svg = measured.draw(name, language)
        assert f'aria-label="{measured.Say(language)(measured.PLOTS[name][2])}"' in svg
        assert "currentColor" in svg
        assert "<text" not in svg  # letters are outlines: no font is needed


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_text_is_cut_off(measured, language):
    for name, (draw, height, _) in measured.PLOTS.items():
        figure = Figure(figsize=(measured.WIDTH, height), layout="constrained")
        with measured.plot_texts(language):
            draw(figure, measured.Say(language))
            FigureCanvasAgg(figure).draw()
            ticks = {label for ax in figure.axes for label in ax.get_xticklabels()}  # also those beyond the limits
            texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in ticks]
            boxes = {text.get_text(): text.get_window_extent() for text in texts}
        drawn = figure.bbox.expanded(1.01, 1.01)
        cut = [text for text, box in boxes.items() if box.x1 > drawn.x1 or box.x0 < drawn.x0]
        assert not cut, name


def test_the_numbers_are_those_of_the_files(measured):
    rows = json.loads((DOCS / "benchmarks" / "features.json").read_text(encoding="utf-8"))["rows"]
    assert {f"{row['images/s']:,.0f}" for row in rows} <= set(drawn(measured, "features"))
    rows = json.loads((DOCS / "benchmarks" / "frozen_training.json").read_text(encoding="utf-8"))["rows"]
    assert {f"{row['seconds']:,.0f} s" for row in rows} <= set(drawn(measured, "frozen_training"))


def test_parts_of_the_fixed_costs_add_up_to_the_call(measured):
    figure = Figure(layout="constrained")
    measured.draw_fixed_costs(figure, measured.Say("en"))
    bars = figure.axes[0].patches
    total, parts = bars[:3], bars[3:]
    for place, whole in enumerate(total):
        assert sum(bar.get_width() for bar in parts[place::3]) == pytest.approx(whole.get_width())
    assert all(bar.get_width() >= 0 for bar in parts)


def test_a_text_without_korean_stops_the_build(measured):
    with pytest.raises(KeyError, match="never translated"):
        measured.Say("ko")("never translated")


@pytest.mark.long
def test_no_korean_text_is_dead(measured):
    used = set()

    class Noting(measured.Say):
        def __call__(self, text, **values):
            used.add(text)
            return super().__call__(text, **values)

    for draw, _, title in measured.PLOTS.values():
        draw(Figure(layout="constrained"), Noting("ko"))
        used.add(title)
    known = {entry.msgid for entry in polib.pofile(str(measured.KOREAN / "measured.po"))}
    assert {text for text in known if "PyTorch" not in text} <= used  # without it there are no rows of it
