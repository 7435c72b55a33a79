"""Measured beside published accuracies."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from transferkit.compare.published import published_results
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.published import plot_published

TABLE = pd.DataFrame(
    {
        "method": ["FINE", "other", "doubtful"],
        "accuracy": [0.95, 0.3, 0.9965],
        "credibility": ["reported", "unverified", "not credible"],
    }
)


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts_in_row(ax, row):
    return [text.get_text() for text in ax.texts if text.xy[1] == row and text.get_text()]


def test_a_method_of_the_same_name_shares_the_row(fine, coarse):
    ax = plot_published([coarse, fine], TABLE, order="given")
    assert row_names(ax) == ["coarse", "fine", "other", "doubtful"]
    assert texts_in_row(ax, 1) == [f"{fine.metrics['accuracy']:.1%}", "95.0%"]
    assert texts_in_row(ax, 0) == [f"{coarse.metrics['accuracy']:.1%}"]
    assert texts_in_row(ax, 3) == ["99.65%"]
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(0.9965, 3)]
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["measured, with 95% interval", "published result", "published, not credible"]


def test_order_by_accuracy_takes_the_measured_one_where_there_is_one(fine, coarse, diverged):
    assert fine.metrics["accuracy"] > coarse.metrics["accuracy"]
    ax = plot_published([diverged, coarse, fine], TABLE)
    assert row_names(ax)[:3] == ["doubtful", "fine", "coarse"]
    assert row_names(ax)[-1] == "broken"
    assert "diverged" in texts_in_row(ax, 4)


def test_the_published_table_is_drawn_in_both_languages(fine, coarse):
    table = published_results()
    course = table[table["source"] == "course"]
    for language, word in (("en", "published"), ("ko", "발표")):
        ax = plot_published({"CNN": fine, "SVM": [coarse, fine]}, course, language=language)
        assert len(row_names(ax)) == 9
        assert word in [text.get_text() for text in ax.texts]


def test_something_with_runs_and_given_axes_will_do(fine, coarse):
    class Comparison:
        runs = (fine, coarse)

    figure, ax = plt.subplots()
    assert plot_published(Comparison(), TABLE, ax=ax) is ax
    assert not figure.legends
    assert ax.get_legend() is not None


def test_wrong_arguments_are_refused(fine):
    with pytest.raises(InvalidInputError, match="published_results; got DataFrame without credibility"):
        plot_published(fine, TABLE.drop(columns="credibility"))
    with pytest.raises(InvalidInputError, match="published_results"):
        plot_published(fine, "fashion_mnist")
    with pytest.raises(UnknownNameError, match="order"):
        plot_published(fine, TABLE, order="method")
