"""The reliability diagram."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError, RunError
from transferkit.plots.reliability import bin_by_confidence, plot_reliability
from transferkit.runs.metrics import calibration_error
from transferkit.runs.run import Run


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
    counts, confidence, right = bin_by_confidence(run)
    assert len(counts) == 15
    assert counts.sum() == count
    filled = counts > 0
    gaps = np.abs(right[filled] / counts[filled] - confidence[filled])
    expected = calibration_error(labels, run.test_probabilities)
    assert (gaps * counts[filled]).sum() / count == pytest.approx(expected, abs=1e-9)


def test_dots_counts_and_error_are_shown(coarse):
    ax = plot_reliability(coarse)
    counts, confidence, right = bin_by_confidence(coarse)
    filled = np.flatnonzero(counts)
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), confidence[filled])
    np.testing.assert_allclose(dots.get_ydata(), right[filled] / counts[filled])
    assert f"{coarse.metrics['calibration_error']:.1%}" in ax.get_legend().get_title().get_text()
    (above,) = ax.child_axes
    written = [text.get_text() for text in above.texts]
    assert [text for text in written if text[:1].isdigit()] == [f"{counts[i]:,}" for i in filled]
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
