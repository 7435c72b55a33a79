"""Names with signs that mean something to matplotlib, to Python's format or to a page, and names of any length."""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

import transferkit as tk
from transferkit.plots.overview import plot_overview
from transferkit.plots.style import columns_of, shown_name, shown_title

ODD = [
    "$x_{1}$ {name} " + "a" * 10_000, "costs $5 or $6", "{name} {0} {}", r"\alpha_{$", "%s %(d)d", "_hidden", "<b>&amp;", "| a | b |", "two\nlines",
    "a" * 10_000, "가" * 10_000, "many words " * 1000, "$" * 101, "\x00\x1b[31m", "\u202e", "#1 `code` **bold** [x](y)",
]  # fmt: skip


def figures(runs, data):
    one, other = runs
    for plot in (tk.plot_accuracy, tk.plot_curves, plot_overview):
        yield plot(runs)
    yield tk.plot_cost(runs, cost="parameters")
    for plot in (tk.plot_confusion, tk.plot_confused_pairs, tk.plot_reliability):
        yield plot(one)
    yield tk.plot_published(runs, published=tk.published_results("fashion_mnist"))
    yield tk.plot_worst_errors(one, data)
    yield tk.plot_disagreements(one, other, data)
    yield tk.plot_samples((data.test.images, data.test.labels), class_names=one.class_names)


def texts_of(drawn):
    figure = getattr(drawn, "figure", drawn).figure
    found = figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_visible())
    return [artist.get_text() for artist in found]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", [*ODD[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in ODD[1:])])
def test_every_plot_draws_and_shows_the_name(make_run, digits, name):
    classes = tuple(f"{name} {digit}" for digit in range(10))
    facts = {"class_names": classes, "model_info": {"parameters": 1000}}
    runs = [make_run(name, **facts), make_run(f"{name} too", step=4, **facts)]
    begun = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Glyph")  # no font has control characters
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        for drawn in figures(runs, digits):
            figure = getattr(drawn, "figure", drawn).figure
            figure.canvas.draw()
            shown = [text for text in texts_of(drawn) if text.strip()]
            # Drawn without the backslash.
            lines = [line.replace(r"\$", "$") for text in shown for line in text.splitlines()]
            assert max(map(columns_of, lines)) < 200
            assert all(text.count("$") == text.count(r"\$") for text in shown if name[:3] in text and "$" in name)
    assert time.monotonic() - begun < 60


def test_a_name_in_a_legend_is_there_even_with_an_underscore(make_run):
    ax = tk.plot_curves([make_run("_hidden")])
    assert "_hidden" in [text.get_text().strip() for text in ax.get_legend().get_texts()]


def test_dollars_are_drawn_as_dollars_and_ordinary_names_stay():
    assert shown_name("CNN, 3 seeds {x} 100%") == "CNN, 3 seeds {x} 100%"
    assert shown_name("$x$") == r"\$x\$"
    assert columns_of(shown_name("가" * 100, 20)) <= 20
    assert shown_title("word " * 200, 20).count("\n") == 3


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -1e-30])
def test_constant_features_are_refused_before_anything_crashes(method, value):
    with pytest.raises(tk.errors.InvalidInputError, match="same for all images"):
        tk.plot_feature_space(np.full((40, 6), value), np.arange(40) % 2, ["a", "b"], method=method)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(rng, bad):
    features = rng.random((40, 6))
    features[3, 2] = bad
    with pytest.raises(tk.errors.InvalidInputError, match="finite"):
        tk.plot_feature_space(features, np.arange(40) % 2, ["a", "b"])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("kind", ["one differs", "two places", "one column"])
def test_features_that_hardly_differ_are_drawn(rng, scale, kind):
    features = np.ones((40, 6))
    if kind == "one differs":
        features[0] = 2
    elif kind == "two places":
        features[::2] = 2
    else:
        features[:, 0] = rng.random(40)
    ax = tk.plot_feature_space(features * scale, np.arange(40) % 2, ["a", "b"])
    assert all(np.isfinite(points.get_offsets()).all() for points in ax.collections)
