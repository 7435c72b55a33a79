"""The test images of a run: checked to be those it was tested on, and drawn small."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit import files
from transferkit.data.checks import check_images
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, InvalidInputError, RunError
from transferkit.plots.style import columns_of, shown_name
from transferkit.runs.run import Run

TILE_WIDTH: Final = 1.3  # inches
WIDEST_TILE: Final = 1.5
TILE_TEXT: Final = 0.6  # height of the lines above and below an image of this width
NAME_COLUMNS: Final = 15  # that fit under one


def match_images(run: Run, images: Dataset | ArrayLike) -> NDArray[np.uint8]:
    """Return the images that a run was tested on, or say that these are others.

    Parameters
    ----------
    run : Run
        A run with test labels.
    images : Dataset, or array-like of uint8, shape (n, height, width) or (n, height, width, channels)
        A dataset, or the images of its test split.

    Returns
    -------
    ndarray of uint8, shape (n, height, width, channels)
        The images in the order of the run's predictions.

    Raises
    ------
    InvalidInputError
        If they are not images, or not as many as the run was tested on.
    RunError
        If they, or their labels, are not those that the run was tested on.
    """
    if isinstance(images, Dataset) and run.dataset.get("folds"):  # a cross-validation tests them all
        images = np.concatenate([split.images for split in images])
    given = images.test.images if isinstance(images, Dataset) else np.asanyarray(images)
    try:
        array = check_images(given[..., None] if given.ndim == 3 else given, name="test images")
    except DataError as error:
        raise InvalidInputError(str(error)) from None
    if array.shape[3] not in (1, 3):
        raise InvalidInputError(f"images must have 1 or 3 channels to be drawn; got shape {array.shape}.")
    if len(array) != len(run.test_labels):
        raise InvalidInputError(
            f"run {run.name!r} was tested on {len(run.test_labels):,} images; got {len(array):,}. Give the dataset that it was"
            " trained with, or the images of its test split."
        )
    recorded = run.dataset.get("test_fingerprint")
    if isinstance(images, Dataset):
        same = np.array_equal(images.test.labels, run.test_labels)
        same = same and recorded in (None, "", images.fingerprints["test"])
    else:
        same = not recorded or files.sha256_arrays(array, run.test_labels) == recorded
    if not same:
        raise RunError(
            f"these are not the images that run {run.name!r} was tested on: their fingerprint, or a label, differs. Give the"
            " dataset that it was trained with, or the images of its test split in their order."
        )
    return array


def name_file(run: Run, place: int) -> str:
    """Return a line with the name of a test image's file, its end if it is long; nothing if the image is from no file."""
    files = run.dataset.get("test_files")
    if not files:
        return ""
    name = files[place].rpartition("/")[2]
    short = name if columns_of(name) <= NAME_COLUMNS + 3 else f"…{name[-NAME_COLUMNS:]}"
    return "\n" + shown_name(short)


def text_height(run: Run) -> float:
    """Return the height in inches of the lines above and below an image."""
    return TILE_TEXT + (0.15 if run.dataset.get("test_files") else 0.0)


def draw_tile(ax: Any, image: NDArray[np.uint8], above: str, below: str, *, columns: int) -> None:
    """Draw one image with a line above and lines below it; `columns` tiles stand beside each other."""
    size = "small" if columns < 4 else "x-small"
    squeezed = image[..., 0] if image.shape[2] == 1 else image
    ax.imshow(squeezed, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(above, fontsize=size, pad=3)
    ax.set_xlabel(below, fontsize=size, labelpad=3, linespacing=1.35)
