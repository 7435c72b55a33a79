"""Accuracy dots and the confusion matrix."""

from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.plots.accuracy import plot_accuracy
from transferkit.plots.confusion import plot_confusion
from transferkit.report.comparison import compare_runs
from transferkit.runs.metrics import confusion_matrix
from transferkit.statistics.intervals import wilson_interval


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_dots_and_intervals_are_those_of_the_runs(fine, coarse):
    ax = plot_accuracy([coarse, fine])
    for run, (interval, dot) in zip((coarse, fine), (ax.lines[:2], ax.lines[2:4]), strict=True):
        accuracy, n = run.metrics["accuracy"], len(run.test_labels)
        assert dot.get_xdata()[0] == accuracy
        np.testing.assert_allclose(interval.get_xdata(), wilson_interval(round(accuracy * n), n))
        assert f"{accuracy:.1%}" in [text.get_text() for text in ax.texts]
    assert row_names(ax) == ["coarse", "fine"]
    assert ax.yaxis_inverted()  # the first run is on top


def test_order_by_accuracy_puts_the_best_on_top_and_the_diverged_below(fine, coarse, diverged):
    ax = plot_accuracy([diverged, coarse, fine], order="accuracy")
    assert row_names(ax) == ["fine", "coarse", "broken"]
    assert "diverged" in [text.get_text() for text in ax.texts]
    assert "발산" in [text.get_text() for text in plot_accuracy([fine, diverged], language="ko").texts]
    with pytest.raises(UnknownNameError, match="order"):
        plot_accuracy(fine, order="loss")


def test_numbers_stay_inside_the_axes(fine, coarse):
    ax = plot_accuracy([fine, coarse])
    ax.figure.canvas.draw()
    right = ax.get_window_extent().x1
    assert all(text.get_window_extent().x1 <= right for text in ax.texts)


def test_confusion_matrix_has_the_truth_on_the_rows(coarse):
    ax = plot_confusion(coarse)
    matrix = confusion_matrix(coarse.test_labels, coarse.test_probabilities.argmax(1), num_classes=10)
    np.testing.assert_allclose(ax.images[0].get_array(), matrix / matrix.sum(axis=1, keepdims=True))
    assert sum(int(text.get_text()) for text in ax.texts) == len(coarse.test_labels)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("True class", "Predicted class")
    assert plot_confusion(coarse, language="ko").get_ylabel() == "실제 클래스"


def test_a_class_that_never_occurs_is_an_empty_row(make_run):
    run = make_run()
    without = run.test_labels != 3
    part = make_run(test_probabilities=run.test_probabilities[without], test_labels=run.test_labels[without])
    assert np.all(np.asarray(plot_confusion(part).images[0].get_array())[3] == 0)


def test_confusion_of_a_run_without_predictions_is_an_error(diverged, fine):
    with pytest.raises(RunError, match="'broken' has no test predictions"):
        plot_confusion(diverged)
    with pytest.raises(InvalidInputError, match="must be a Run; got ndarray"):
        plot_confusion(fine.test_probabilities)


def test_runs_may_be_those_of_a_comparison_or_of_a_folder(fine, coarse, tmp_path):
    fine, coarse = (replace(run, dataset={"test_fingerprint": "same"}) for run in (fine, coarse))
    for run in (fine, coarse):
        run.save(tmp_path / run.name)
    expected = row_names(plot_accuracy([fine, coarse]))
    assert row_names(plot_accuracy(compare_runs([fine, coarse]))) == expected
    assert sorted(row_names(plot_accuracy(tmp_path))) == sorted(expected)
    for wrong in (5, None, (run for run in (fine, coarse))):
        with pytest.raises(InvalidInputError, match="cannot be a"):
            plot_accuracy(wrong)
    with pytest.raises(InvalidInputError, match="no run to draw"):
        plot_accuracy([])


def test_seeds_of_one_name_share_a_row_with_the_interval_of_the_table(fine, coarse, make_run):
    seeds = [fine, coarse, make_run("third", step=2)]
    ax = plot_accuracy({"seeds": seeds, "one": fine})
    values = [run.metrics["accuracy"] for run in seeds]
    assert row_names(ax) == ["seeds", "one"]
    interval, mean, dots = ax.lines[:3]
    assert dots.get_xdata().tolist() == values
    assert mean.get_xdata()[0] == pytest.approx(np.mean(values))
    told = {"test_fingerprint": "3fa9"}
    listed = [replace(run, name="seeds", seed=seed, key=str(seed), dataset=told) for seed, run in enumerate(seeds)]
    row = compare_runs(listed).table.loc["seeds"]
    np.testing.assert_allclose(interval.get_xdata(), (row["accuracy_low"], row["accuracy_high"]))
    assert f"{np.mean(values):.1%} (3 seeds)" in [text.get_text() for text in ax.texts]
    assert "seeds" in ax.get_xlabel()
    single = ax.lines[3].get_xdata()
    n = len(fine.test_labels)
    np.testing.assert_allclose(single, wilson_interval(round(values[0] * n), n))


def test_seeds_on_other_test_images_have_no_common_accuracy(fine, make_run):
    shorter = make_run("fine", test_probabilities=fine.test_probabilities[:-1], test_labels=fine.test_labels[:-1])
    with pytest.raises(InvalidInputError, match="'fine' were tested on different images"):
        plot_accuracy([fine, shorter])


def test_what_is_no_probability_is_not_drawn(fine):
    with pytest.raises(InvalidInputError, match="finite"):
        plot_accuracy(replace(fine, test_probabilities=fine.test_probabilities * np.nan))


def test_equal_seeds_still_have_an_interval_and_lost_ones_are_counted(fine, diverged):
    ax = plot_accuracy({"same": [fine, fine, diverged]})
    low, high = ax.lines[0].get_xdata()
    assert low < fine.metrics["accuracy"] < high
    assert any("(2 seeds), 1 diverged" in text.get_text() for text in ax.texts)
    assert "diverged" in [text.get_text() for text in plot_accuracy({"lost": [diverged, diverged]}).texts]
    ax.figure.canvas.draw()
    assert all(text.get_window_extent().x1 <= ax.get_window_extent().x1 for text in ax.texts)


def test_no_tick_lies_beyond_all_right(make_run, fine):
    perfect = make_run("perfect", test_probabilities=np.eye(10)[fine.test_labels])
    ax = plot_accuracy([perfect, fine])
    assert max(ax.get_xticks()) <= 1
