"""Accuracy against cost."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.cost import plot_cost
from transferkit.statistics.intervals import wilson_interval


@pytest.fixture
def runs(make_run):
    def make(name, step, seconds):
        phases = [{"name": "train", "seconds": seconds / 2}, {"name": "all", "seconds": seconds / 2}]
        info = {"parameters": 1000 * seconds}
        return make_run(name, step, phases=phases, model_info=info, test_seconds=float(seconds) / 10)

    return [make("coarse", 4, 10), make("fine", 1, 300)]


def dots(ax):
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]


def test_dots_stand_at_cost_and_accuracy(runs):
    accuracies = [run.metrics["accuracy"] for run in runs]
    images = len(runs[0].test_labels)
    for cost, values in {
        "training_time": [10, 300],
        "latency": [1 / images, 30 / images],
        "parameters": [10_000, 300_000],
    }.items():
        ax = plot_cost(runs, cost)
        assert ax.get_xscale() == "log"
        np.testing.assert_allclose(dots(ax), list(zip(values, accuracies, strict=True)))
    interval = ax.lines[0].get_ydata()
    assert tuple(interval) == wilson_interval(round(accuracies[0] * images), images)


def test_names_stand_inside_and_do_not_overlap(runs, make_run):
    close = [make_run(f"the model number {i}", 1, test_seconds=1 + i / 50) for i in range(4)]
    ax = plot_cost([*runs, *close], "latency")
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    frame = ax.get_window_extent()
    assert len(boxes) == 6
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_a_line_leads_to_a_name_that_is_not_beside_its_dot(make_run):
    crowd = [make_run(f"the model number {i}", 1, test_seconds=1) for i in range(10)]
    ax = plot_cost(crowd, "latency")
    far = [text for text in ax.texts if text.get_text() and abs(text.xyann[1]) > 9]
    assert far
    assert len([text for text in ax.texts if text.arrow_patch is not None]) == len(far)


def test_seeds_are_one_dot_at_their_mean(runs):
    ax = plot_cost({"both": runs}, "parameters")
    mean = sum(run.metrics["accuracy"] for run in runs) / 2
    np.testing.assert_allclose(dots(ax), [(155_000, mean)])


def test_runs_that_do_not_record_it_are_named(runs, fine, diverged):
    ax = plot_cost([*runs, fine, diverged], "parameters")
    assert "not recorded: fine, broken" not in [text.get_text() for text in ax.texts]  # one name, three runs
    ax = plot_cost({"a": runs[0], "b": fine, "c": diverged}, "parameters", language="ko")
    assert "기록 없음: b, c" in [text.get_text() for text in ax.texts]
    with pytest.raises(InvalidInputError, match="no completed run records 'latency'"):
        plot_cost([fine, diverged], "latency")


def test_given_axes_are_used_and_unknown_costs_refused(runs):
    _, ax = plt.subplots()
    assert plot_cost(runs, ax=ax) is ax
    assert any("s" in label.get_text() or "min" in label.get_text() for label in ax.get_xticklabels())
    with pytest.raises(UnknownNameError, match="cost 'memory'"):
        plot_cost(runs, "memory")
