"""The reliability diagram."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError, RunError
from transferkit.plots.reliability import plot_reliability
from transferkit.runs.metrics import calibration_error
from transferkit.runs.run import Run


def read_bins(ax):
    """Return what is drawn of the bins that hold images: their number, mean confidence and accuracy."""
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    heights = np.array([bar.get_height() for bar in ax.child_axes[0].patches])
    assert len(heights) == 15
    return heights[heights > 0], dots.get_xdata(), dots.get_ydata()


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 200), classes=st.integers(2, 12))
def test_bins_add_up_to_the_calibration_error(seed, count, classes):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), count)
    probabilities[: count // 4] = np.eye(classes)[rng.integers(0, classes, count // 4)]  # certain ones lie on an edge
    labels = rng.integers(0, classes, count)
    run = Run(
        name="random", class_names=[str(i) for i in range(classes)], test_probabilities=probabilities,
        test_labels=labels, seed=0,
    )  # fmt: skip
    counts, confidence, accuracy = read_bins(plot_reliability(run))
    plt.close("all")
    assert counts.sum() == count
    expected = calibration_error(labels, run.test_probabilities)
    assert (np.abs(accuracy - confidence) * counts).sum() / count == pytest.approx(expected, abs=1e-6)
    assert (accuracy * counts).sum() == pytest.approx(run.test_correct.sum())


def test_numbers_of_images_and_error_are_written(coarse):
    ax = plot_reliability(coarse)
    counts, _, _ = read_bins(ax)
    assert f"{coarse.metrics['calibration_error']:.1%}" in ax.get_legend().get_title().get_text()
    (above,) = ax.child_axes
    written = [text.get_text() for text in above.texts]
    assert [text for text in written if text[:1].isdigit()] == [f"{count:,.0f}" for count in counts]
    assert above.get_title() == "coarse"


def test_it_is_drawn_in_korean_and_on_given_axes(coarse):
    _, ax = plt.subplots()
    assert plot_reliability(coarse, ax=ax, language="ko") is ax
    assert ax.get_ylabel() == "정확도"


def test_what_has_no_predictions_is_refused(diverged, coarse):
    with pytest.raises(RunError, match="'broken' has no test predictions"):
        plot_reliability(diverged)
    with pytest.raises(InvalidInputError, match="must be a Run; got"):
        plot_reliability(coarse.test_probabilities)
