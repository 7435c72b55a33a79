"""How far a model's confidence is from its accuracy."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transferkit.plots.style import color_of, new_axes, plot_texts, predicted_run, quiet_frame, shown_title
from transferkit.runs.metrics import CALIBRATION_BINS, bin_by_confidence, check_pair
from transferkit.runs.run import Run
from transferkit.statistics.intervals import wilson_interval
from transferkit.translation import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_reliability(run: Run, *, ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw the reliability diagram of a run on the test images [1]_.

    The predictions are sorted into 15 bins of equal width by the probability of the predicted class. A dot shows mean
    confidence and accuracy of a bin, with Wilson's 95% interval: on the diagonal the model is as right as it is sure, below
    it is too sure. The numbers above say how many images each bin holds. The calibration error is the mean distance from the
    diagonal, weighted by these.

    Parameters
    ----------
    run : Run
        A completed run.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn. On a new figure if None.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; save the picture with ``ax.figure.savefig(file)``.

    Raises
    ------
    RunError
        If the run has no test predictions.
    InvalidInputError
        If it is not a run, or its probabilities are not probabilities.
    UnknownNameError
        If the language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.

    References
    ----------
    .. [1] Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML. arXiv:1706.04599

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_baseline("naive_bayes"), data, verbose=False)
    >>> ax = tk.plot_reliability(run)
    >>> ax.get_xlabel()
    'Confidence (probability of the predicted class)'
    """
    chosen = predicted_run(run)
    with plot_texts(language, [chosen.name]) as say:
        target = new_axes(5.6, 5.4) if ax is None else ax
        draw_reliability(target, chosen, say)
    return target


def draw_reliability(ax: Any, run: Run, say: Translator) -> None:
    """Draw the diagram on `ax`, and the numbers of images above it."""
    from matplotlib.ticker import PercentFormatter

    counts, sums, right = bin_by_confidence(*check_pair(run.test_labels, run.test_probabilities), CALIBRATION_BINS)
    filled = np.flatnonzero(counts)
    accuracy = right[filled] / counts[filled]
    ends = np.array([wilson_interval(int(right[i]), int(counts[i])) for i in filled])
    errors = np.abs(ends.T - accuracy)
    width = 1 / CALIBRATION_BINS
    color = color_of(0)
    ax.bar((filled + 0.5) * width, accuracy, width=0.94 * width, color=color, alpha=0.25, linewidth=0)
    neutral = ax.xaxis.label.get_color()
    ax.plot([0, 1], [0, 1], color=neutral, linewidth=1, linestyle=(0, (4, 2)), label=say("confidence = accuracy"))
    ax.errorbar(
        sums[filled] / counts[filled],
        accuracy,
        yerr=errors,
        color=color,
        linestyle="",
        marker="o",
        markersize=5,
        linewidth=1.6,
    )
    ax.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel=say("Confidence (probability of the predicted class)"),
        ylabel=say("Accuracy"),
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    quiet_frame(ax, grid="y")
    error = f"{run.metrics['calibration_error']:.1%}"
    title = say("Calibration error {value}", value=error)  # below: above the diagonal there may be bars
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), title=title, frameon=False)
    _draw_counts(ax, counts, say, run.name)


def _draw_counts(ax: Any, counts: NDArray[np.intp], say: Translator, name: str) -> None:
    above = ax.inset_axes([0, 1.03, 1, 0.15], sharex=ax)
    width = 1 / CALIBRATION_BINS
    centres = (np.arange(CALIBRATION_BINS) + 0.5) * width
    bars = above.bar(centres, counts, width=0.94 * width, color=color_of(6), alpha=0.6, linewidth=0)
    above.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize="x-small", padding=1)
    above.tick_params(axis="x", labelbottom=False, length=0)
    above.set_yticks([])
    above.margins(y=0.35)
    above.spines[["left", "top", "right"]].set_visible(False)
    above.annotate(say("test images"), (0, 1), xycoords="axes fraction", va="top", fontsize="x-small")
    above.set_title(shown_title(name, 40), fontsize="medium")
