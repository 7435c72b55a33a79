"""Example images of every class."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.style import plot_texts, shown_name
from transferkit.runs.metrics import check_labels
from transferkit.training.augmentation import apply, check_augmentations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPLITS = ("train", "validation", "test")
_MOST_CLASSES = 40


def plot_samples(
    data: Dataset | tuple[ArrayLike, ArrayLike],
    class_names: Sequence[str] | None = None,
    *,
    per_class: int = 8,
    split: Literal["train", "validation", "test"] = "train",
    augment: str | Iterable[str] | None = None,
    seed: int = 0,
) -> "Figure":
    """Draw the first images of each class, one row a class.

    Parameters
    ----------
    data : Dataset, or pair of images and labels
        Images of uint8, shape (n, height, width) or (n, height, width, 1 or 3); labels of shape (n,).
    class_names : sequence of str, optional
        Names of the classes. The dataset's own, or the indices of the labels, if None.
    per_class : int, default 8
        Images a class.
    split : {"train", "validation", "test"}, default "train"
        Which images of a dataset are drawn.
    augment : str or iterable of str, optional
        Draw them as a training with this augmentation sees them; see `transferkit.train`.
    seed : int, default 0
        Of the augmentation.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; classes after the 40th are left out.

    Raises
    ------
    InvalidInputError
        If images and labels do not fit together, or there is no image.
    UnknownNameError
        If the split is not one of the above, or there is no such augmentation.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> figure = tk.plot_samples(data, per_class=5)
    >>> len(figure.axes)
    50
    """
    if per_class < 1:
        raise InvalidInputError(f"per_class must be at least 1; got {per_class!r}.")
    augmentations = check_augmentations(augment)
    images, labels, names = _unpack(data, class_names, split)
    if augmentations:
        chosen = np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)])
        images, labels = images[chosen].reshape(len(chosen), *images.shape[1:3], -1), labels[chosen]
        images = apply(augmentations, images, np.random.default_rng(seed))
    with plot_texts("en", names):
        import matplotlib.pyplot as plt

        figure = plt.figure(layout="constrained")
        draw_samples(figure, images, labels, names, per_class=per_class)
    return figure


def draw_samples(
    figure: "Figure", images: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str], *, per_class: int
) -> None:
    """Draw one row a class on `figure`, and set its size."""
    shown = [label for label in range(len(names)) if (labels == label).any()][:_MOST_CLASSES]
    figure.set_size_inches(1.8 + 0.62 * per_class, 0.66 * len(shown))
    for row, label in zip(figure.subplots(len(shown), per_class, squeeze=False), shown, strict=True):
        _draw_row(row, images, np.flatnonzero(labels == label)[:per_class])
        row[0].set_ylabel(shown_name(names[label], 24), rotation=0, ha="right", va="center")


def _draw_row(row: NDArray[Any], images: NDArray[Any], indices: NDArray[np.int64]) -> None:
    for ax in row:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
    for ax, index in zip(row, indices, strict=False):
        ax.imshow(images[index].squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _unpack(
    data: Dataset | tuple[ArrayLike, ArrayLike], class_names: Sequence[str] | None, split: str
) -> tuple[NDArray[Any], NDArray[np.int64], list[str]]:
    if split not in _SPLITS:
        raise UnknownNameError("split", split, _SPLITS)
    if isinstance(data, Dataset):
        images, labels = getattr(data, split)
        class_names = data.class_names if class_names is None else class_names
    else:
        try:
            images, labels = data
        except (TypeError, ValueError):
            raise InvalidInputError(
                f"data must be a Dataset or a pair (images, labels); got {type(data).__name__}."
            ) from None
    array = images if isinstance(images, np.ndarray) else np.asarray(images)
    indices = check_labels(labels)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise InvalidInputError(
            f"images must have shape (n, height, width) or (n, height, width, 1 or 3); got {array.shape}."
        )
    if array.dtype != np.uint8:
        raise InvalidInputError(f"images must be uint8, 0 to 255; got {array.dtype}. Draw them before any rescaling.")
    if len(array) != len(indices) or not len(array):
        raise InvalidInputError(
            f"images and labels must be equally many, at least one; got {len(array)} and {len(indices)}."
        )
    names = (
        [str(name) for name in class_names] if class_names is not None else [str(i) for i in range(indices.max() + 1)]
    )
    if indices.max() >= len(names):
        raise InvalidInputError(f"the labels go up to {indices.max()}, but there are only {len(names)} class names.")
    return array, indices, names
