"""The pairs of classes that a model confuses most."""

from typing import TYPE_CHECKING, Any

import numpy as np

from transferkit.errors import InvalidInputError
from transferkit.plots.style import (
    color_of,
    new_axes,
    paper,
    plot_texts,
    predicted_run,
    quiet_frame,
    shown_name,
    shown_title,
)
from transferkit.runs.metrics import confusion_matrix
from transferkit.runs.run import Run
from transferkit.translation import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_confused_pairs(run: Run, *, count: int = 10, ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw the pairs of true and predicted class that hold most errors, truth → prediction, the most frequent on top.

    Parameters
    ----------
    run : Run
        A completed run.
    count : int, default 10
        How many pairs at most.
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
        If it is not a run, its probabilities are not probabilities, `count` is below 1, or there is no error.
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
    >>> ax = tk.plot_confused_pairs(run, count=3)
    >>> [label.get_text() for label in ax.get_yticklabels()]  # truth → prediction
    ['... → ...', '... → ...', '... → ...']
    """
    chosen = predicted_run(run)
    if count < 1:
        raise InvalidInputError(f"count must be at least 1; got {count!r}.")
    pairs = find_confused_pairs(chosen)[:count]
    if not pairs:
        raise InvalidInputError(f"run {chosen.name!r} makes no error on its test images, so there is nothing to draw.")
    with plot_texts(language, [chosen.name, *chosen.class_names]) as say:
        target = new_axes(6.4, 1.3 + 0.3 * len(pairs)) if ax is None else ax
        draw_confused_pairs(target, chosen, pairs, say)
    return target


def find_confused_pairs(run: Run) -> list[tuple[int, int, int, float]]:
    """Return true class, predicted class, number of images and its share of the true class, the most frequent first."""
    matrix = confusion_matrix(run.test_labels, run.test_predictions, num_classes=len(run.class_names))
    totals = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [(i, j, int(matrix[i, j]), float(matrix[i, j] / totals[i])) for i, j in pairs if matrix[i, j]]


def draw_confused_pairs(ax: Any, run: Run, pairs: list[tuple[int, int, int, float]], say: Translator) -> None:
    """Draw one bar a pair on `ax`."""
    from matplotlib.ticker import MaxNLocator

    names = [shown_name(name, 24) for name in run.class_names]
    counts = [count for _, _, count, _ in pairs]
    bars = ax.barh(range(len(pairs)), counts, color=color_of(0), height=0.68)
    numbers = [f"{count:,} ({share:.1%})" for _, _, count, share in pairs]
    ax.bar_label(bars, numbers, padding=4, fontsize="small", bbox=paper(ax))
    listed = [say("{truth} → {predicted}", truth=names[i], predicted=names[j]) for i, j, _, _ in pairs]
    ax.set_yticks(range(len(pairs)), listed)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_xlim(0, 1.24 * max(counts))  # room for the number beside the longest bar
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel(say("Test images (share of the true class)"))
    ax.set_title(shown_title(run.name, 40), fontsize="medium")
    quiet_frame(ax, grid="x")
