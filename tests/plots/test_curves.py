"""Learning curves."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.curves import plot_curves
from transferkit.plots.overview import plot_overview
from transferkit.plots.style import PALETTE


def lines(ax):
    return [line for line in ax.lines if len(line.get_xdata())]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_curves_show_the_history(fine, metric):
    ax = plot_curves(fine, metric)
    training, validation, mark = lines(ax)
    np.testing.assert_allclose(training.get_ydata(), [row[metric] for row in fine.history])
    np.testing.assert_allclose(validation.get_ydata(), [row[f"val_{metric}"] for row in fine.history])
    assert training.get_linewidth() < validation.get_linewidth()
    assert training.get_linestyle() != validation.get_linestyle()
    assert mark.get_xdata().tolist() == [3]  # the first epoch of the phase "all"


def test_each_run_keeps_its_colour_even_if_another_has_no_history(fine, coarse):
    ax = plot_curves([replace(coarse, history=[]), fine])
    assert {line.get_color() for line in lines(ax)} == {PALETTE[1]}


def test_missing_values_and_missing_validation_are_gaps(fine, diverged):
    ax = plot_curves([fine, diverged], "loss")
    broken = lines(ax)[-1]
    assert np.isnan(broken.get_ydata()).tolist() == [False, True]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[:2] == ["fine", "broken"]


def test_given_axes_are_used_and_none_are_shown(fine, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("plt.show was called"))
    figure, ax = plt.subplots()
    assert plot_curves(fine, ax=ax) is ax
    assert plot_curves({"other": fine}, ax=ax).figure is figure
    assert len(plt.get_fignums()) == 1


def test_nothing_to_draw_is_an_error(fine):
    with pytest.raises(InvalidInputError, match="no run has a history"):
        plot_curves(replace(fine, history=[]))
    with pytest.raises(InvalidInputError, match="at least one"):
        plot_curves([])
    with pytest.raises(InvalidInputError, match="cannot hold a str"):
        plot_curves(["runs/cnn"])
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        plot_curves(fine, "acuracy")
    with pytest.raises(UnknownNameError, match="language"):
        plot_curves(fine, language="fr")


def test_overview_leaves_curves_out_where_there_are_none(fine, coarse, diverged):
    assert len(plot_overview([fine, coarse, diverged]).axes) == 3
    assert len(plot_overview(replace(fine, history=[])).axes) == 1


def test_one_epoch_is_a_visible_dot(fine):
    ax = plot_curves(replace(fine, history=fine.history[:1]))
    assert all(line.get_marker() != "" for line in lines(ax))


def test_seeds_are_a_mean_line_and_a_band_in_one_colour(fine):
    def shift(run, amount, epochs=5):
        return replace(
            run, history=[row | {"val_accuracy": row["val_accuracy"] + amount} for row in run.history[:epochs]]
        )

    ax = plot_curves({"seeds": [fine, shift(fine, 0.02), shift(fine, 0.07, epochs=3)], "one": fine})
    training, validation, mark = lines(ax)[:3]
    values = np.array([row["val_accuracy"] for row in fine.history])
    np.testing.assert_allclose(validation.get_ydata()[:3], values[:3] + 0.03)
    np.testing.assert_allclose(validation.get_ydata()[3:], values[3:] + 0.01)  # the third run ended before
    np.testing.assert_allclose(training.get_ydata(), [row["accuracy"] for row in fine.history])
    (band,) = ax.collections
    edges = band.get_paths()[0].vertices
    first, last = edges[edges[:, 0] == 1, 1], edges[edges[:, 0] == 5, 1]
    np.testing.assert_allclose([first.min(), first.max()], [values[0], values[0] + 0.07])
    np.testing.assert_allclose([last.min(), last.max()], [values[4], values[4] + 0.02])
    assert {line.get_color() for line in (training, validation, mark)} == {PALETTE[0]}
    assert lines(ax)[3].get_color() == PALETTE[1]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[:2] == ["seeds (3 seeds)", "one"]
    assert names[-1] == "band: lowest to highest seed"


def test_without_validation_the_band_is_around_the_training_curve(fine):
    trained = [replace(fine, history=[{"epoch": i, "loss": factor / i} for i in (1, 2)]) for factor in (1.0, 2.0)]
    ax = plot_curves({"seeds": trained}, "loss")
    (band,) = ax.collections
    assert set(band.get_paths()[0].vertices[:, 1].tolist()) == {0.5, 1.0, 2.0}
    assert lines(ax)[0].get_ydata().tolist() == [1.5, 0.75]


def test_overview_takes_seeds(fine, coarse):
    assert len(plot_overview({"seeds": [fine, coarse], "one": fine}, language="ko").axes) == 3
