"""Which class is taken for which."""

from typing import TYPE_CHECKING, Any

import numpy as np

from transferkit.plots.style import new_axes, plot_texts, predicted_run, shown_name, shown_title
from transferkit.runs.metrics import confusion_matrix
from transferkit.runs.run import Run
from transferkit.translation import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_confusion(run: Run, *, ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw the confusion matrix of a run on the test images: the truth on the rows, the prediction on the columns.

    Each cell holds a number of images (zero is left empty) and is the darker, the larger its part of the row.

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

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_baseline("naive_bayes"), data, verbose=False)
    >>> ax = tk.plot_confusion(run)
    >>> ax.get_ylabel()
    'True class'
    """
    chosen = predicted_run(run)
    with plot_texts(language, [chosen.name, *chosen.class_names]) as say:
        size = min(14.0, 2.4 + 0.42 * len(chosen.class_names))
        target = new_axes(size + 0.6, size) if ax is None else ax
        draw_confusion(target, chosen, say)
    return target


def draw_confusion(ax: Any, run: Run, say: Translator) -> None:
    """Draw the matrix on `ax`."""
    names = [shown_name(name, 30) for name in run.class_names]
    matrix = confusion_matrix(run.test_labels, run.test_predictions, num_classes=len(names))
    totals = matrix.sum(axis=1, keepdims=True)
    parts = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    ax.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 30:  # more would not be legible
        for i, j in zip(*np.nonzero(matrix), strict=True):
            color = "white" if parts[i, j] > 0.55 else "#202020"
            ax.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=color, fontsize="small")
    if len(names) <= 60:
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.set_xlabel(say("Predicted class"))
    ax.set_ylabel(say("True class"))
    share = f"{np.trace(matrix) / matrix.sum():.2%}"
    summary = say("{accuracy} of {total:,} right", accuracy=share, total=int(matrix.sum()))
    ax.set_title(f"{shown_title(run.name, 40)}\n{summary}", fontsize="medium", linespacing=1.4)
