"""Accuracies and learning curves in one figure."""

from typing import TYPE_CHECKING

from transferkit.plots.accuracy import draw_accuracy
from transferkit.plots.curves import METRICS, draw_curves, has_curve
from transferkit.plots.style import list_runs, plot_texts
from transferkit.runs.grouping import Runs, group_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_overview(runs: Runs, *, language: str = "en") -> "Figure":
    """Draw the accuracies above, the curves of accuracy and loss below.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        What is drawn; the curves are left out where no run has a history.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(file)``.

    Raises
    ------
    InvalidInputError
        If there is no run, a run's probabilities are not probabilities, or runs of one name have different test images.
    UnknownNameError
        If the language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.
    """
    chosen = list_runs(runs)
    metrics = [metric for metric in METRICS if any(has_curve(run, metric) for run in chosen)]
    with plot_texts(language, [run.name for run in chosen]) as say:
        import matplotlib.pyplot as plt

        top = 1.0 + 0.36 * len(group_runs(chosen))
        rows = [["accuracy_dots"] * max(1, len(metrics)), *([metrics] if metrics else [])]
        heights = [top, 3.8][: len(rows)]
        figure, axes = plt.subplot_mosaic(
            rows, figsize=(10 if metrics else 6.4, sum(heights)), height_ratios=heights, layout="constrained"
        )
        draw_accuracy(axes["accuracy_dots"], chosen, say)
        handles = [draw_curves(axes[metric], chosen, metric, say, legend="none") for metric in metrics]
        if handles:
            longest = max(handles, key=len)
            figure.legend(handles=longest, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure
