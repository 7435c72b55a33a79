"""The images that one of two models gets right and the other wrong."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, RunError
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


def plot_disagreements(
    run_a: Run, run_b: Run, images: Dataset | ArrayLike, *, count: int = 8, language: str = "en"
) -> "Figure":
    """Draw the test images that one run answers correctly and the other does not, both ways.

    McNemar's test counts exactly these images. The title above each image is the truth, below it stands what each run
    predicts and the probability that it gives, and the name of its file. Those on which the probabilities of the true class differ most come first.

    Parameters
    ----------
    run_a, run_b : Run
        Two completed runs that were tested on the same images.
    images : Dataset, or array-like of uint8, shape (n, height, width) or (n, height, width, channels)
        The dataset they were tested on, or the images of its test split. Their fingerprint is compared with the runs'.
    count : int, default 8
        How many images of each kind at most.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(file)``.

    Raises
    ------
    RunError
        If a run has no test predictions, or the images are not those it was tested on.
    InvalidInputError
        If the images are not images or another number than the predictions, `count` is below 1, the classes differ, or
        the runs are right on the same images.
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
    >>> runs = [
    ...     tk.train(tk.build_baseline(name), data, verbose=False) for name in ("naive_bayes", "k_nearest_neighbors")
    ... ]
    >>> figure = tk.plot_disagreements(*runs, data, count=4)
    >>> figure.savefig("disagreements.png")
    """
    runs = predicted_run(run_a), predicted_run(run_b)
    if count < 1:
        raise InvalidInputError(f"count must be at least 1; got {count!r}.")
    if runs[0].class_names != runs[1].class_names:
        raise InvalidInputError(
            f"runs {runs[0].name!r} and {runs[1].name!r} have other classes, or another order of them."
        )
    array, _ = (match_images(run, images) for run in runs)
    if not np.array_equal(runs[0].test_labels, runs[1].test_labels):
        raise RunError(f"runs {runs[0].name!r} and {runs[1].name!r} have other test labels.")
    chosen = find_disagreements(*runs)
    most = max(map(len, chosen))
    if not most:
        raise InvalidInputError(
            f"runs {runs[0].name!r} and {runs[1].name!r} are right on the same images, so there is nothing to draw."
        )
    with plot_texts(language, [runs[0].name, runs[1].name, *runs[0].class_names]) as say:
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
        draw_disagreements(figure, runs, array, say, count=count, columns=min(count, 8, most))
    return figure


def draw_disagreements(
    figure: "Figure",
    runs: tuple[Run, Run],
    array: NDArray[np.uint8],
    say: Translator,
    *,
    count: int,
    columns: int,
) -> None:
    """Draw up to `count` images of each kind on `figure`, this many beside each other, and set its size."""
    shown = [(letter, places) for letter, places in zip("AB", find_disagreements(*runs), strict=True) if len(places)]
    rows = [-(-min(count, len(places)) // columns) for _, places in shown]
    width = max(4.5, columns * TILE_WIDTH)
    figure.set_size_inches(
        width, 0.6 + sum(rows) * (min(width / columns, WIDEST_TILE) + text_height(runs[0]) + 0.1) + 0.3 * len(rows)
    )
    title = [shown_title(f"{letter}: {run.name}", int(13 * width)) for letter, run in zip("AB", runs, strict=True)]
    figure.suptitle("\n".join(title), fontsize="medium", x=0.01, ha="left")
    parts = figure.subfigures(len(shown), 1, squeeze=False, height_ratios=[n + 0.2 for n in rows])[:, 0]
    for part, (letter, places), lines in zip(parts, shown, rows, strict=True):
        heading = say(
            "Only {letter} is right: {count:,} of {total:,} images", letter=letter, count=len(places), total=len(array)
        )
        part.suptitle(heading, fontsize="medium")
        axes = part.subplots(lines, columns, squeeze=False).ravel()
        _draw_part(axes, array, places[:count], runs, say, columns=columns)


def find_disagreements(run_a: Run, run_b: Run) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the images that only the first, and only the second run answers correctly.

    Those on which the probabilities of the true class differ most come first.
    """
    labels = run_a.test_labels
    right_a, right_b = run_a.test_correct, run_b.test_correct
    every = np.arange(len(labels))
    lead = run_a.test_probabilities[every, labels] - run_b.test_probabilities[every, labels]
    only_a, only_b = np.flatnonzero(right_a & ~right_b), np.flatnonzero(right_b & ~right_a)
    return only_a[np.argsort(-lead[only_a], kind="stable")], only_b[np.argsort(lead[only_b], kind="stable")]


def _draw_part(
    axes: NDArray[Any],
    array: NDArray[np.uint8],
    places: NDArray[np.int64],
    runs: tuple[Run, Run],
    say: Translator,
    *,
    columns: int,
) -> None:
    names = runs[0].class_names
    for ax in axes[len(places) :]:
        ax.set_axis_off()
    for ax, place in zip(axes, places, strict=False):
        lines = []
        for letter, run in zip("AB", runs, strict=True):
            predicted = int(run.test_predictions[place])
            lines.append(
                f"{letter}: {shown_name(names[predicted], NAME_COLUMNS)} {run.test_probabilities[place, predicted]:.0%}"
            )
        truth = say("truth: {name}", name=shown_name(names[runs[0].test_labels[place]], NAME_COLUMNS))
        draw_tile(ax, array[place], truth, "\n".join(lines) + name_file(runs[0], place), columns=columns)
