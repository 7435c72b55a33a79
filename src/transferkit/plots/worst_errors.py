"""The errors of which a model is most sure."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError
from transferkit.plots.images import (
    NAME_COLUMNS,
    TILE_WIDTH,
    WIDEST_TILE,
    draw_tile,
    match_images,
    name_file,
    text_height,
)
from transferkit.plots.style import plot_texts, predicted_run, shown_name, shown_title
from transferkit.runs.run import Run
from transferkit.translation import Translator

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_worst_errors(run: Run, images: Dataset | ArrayLike, *, count: int = 16, language: str = "en") -> "Figure":
    """Draw the test images that a run gets wrong with the highest confidence.

    The title above each image is the truth, below it stand the prediction and its probability, and the name of its file. Among them are often
    images whose label is wrong.

    Parameters
    ----------
    run : Run
        A completed run.
    images : Dataset, or array-like of uint8, shape (n, height, width) or (n, height, width, channels)
        The dataset it was tested on, or the images of its test split. Their fingerprint is compared with the run's.
    count : int, default 16
        How many images at most.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(file)``.

    Raises
    ------
    RunError
        If the run has no test predictions, or the images are not those it was tested on.
    InvalidInputError
        If the images are not images or another number than the predictions, `count` is below 1, or there is no error.
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
    >>> figure = tk.plot_worst_errors(run, data, count=8)
    >>> len(figure.axes)
    8
    """
    chosen = predicted_run(run)
    if count < 1:
        raise InvalidInputError(f"count must be at least 1; got {count!r}.")
    array = match_images(chosen, images)
    places = find_worst_errors(chosen)
    if not len(places):
        raise InvalidInputError(f"run {chosen.name!r} makes no error on its test images, so there is nothing to draw.")
    with plot_texts(language, [chosen.name, *chosen.class_names]) as say:
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
        draw_worst_errors(figure, chosen, array, say, count=count, columns=min(8, count, len(places)))
    return figure


def draw_worst_errors(
    figure: "Figure", run: Run, array: NDArray[np.uint8], say: Translator, *, count: int, columns: int
) -> None:
    """Draw up to `count` errors on `figure`, this many beside each other, and set its size."""
    places = find_worst_errors(run)
    shown = min(count, len(places))
    rows = -(-shown // columns)
    width = max(4.5, columns * TILE_WIDTH)
    figure.set_size_inches(width, 0.5 + rows * (min(width / columns, WIDEST_TILE) + text_height(run)))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    title = say(
        "{name}: the most confident of {count:,} errors on {total:,} test images",
        name=run.name,
        count=len(places),
        total=len(array),
    )
    figure.suptitle(shown_title(title, int(13 * width)), fontsize="medium")
    for ax in axes[shown:]:
        ax.set_axis_off()
    for ax, place in zip(axes, places[:shown], strict=False):
        predicted = int(run.test_predictions[place])
        truth = say("truth: {name}", name=shown_name(run.class_names[run.test_labels[place]], NAME_COLUMNS))
        probability = _write_probability(run.test_probabilities[place, predicted])
        draw_tile(
            ax,
            array[place],
            truth,
            f"{shown_name(run.class_names[predicted], NAME_COLUMNS)} {probability}{name_file(run, place)}",
            columns=columns,
        )


def _write_probability(value: float) -> str:
    return f"{value:.1%}" if value < 0.9995 else "> 99.9%"  # never claim that a model was certain


def find_worst_errors(run: Run) -> NDArray[np.int64]:
    """Return the places of the wrongly answered test images, those with the highest confidence first."""
    wrong = np.flatnonzero(~run.test_correct)
    return wrong[np.argsort(-run.test_probabilities[wrong].max(axis=1), kind="stable")]
