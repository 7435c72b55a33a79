"""Named augmentations of uint8 images: the same rules for every model, drawn from the run's seed."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import InvalidInputError, UnknownNameError

Images = NDArray[np.uint8]
VIEWS = 4  # of each image that a frozen network is asked about, where there are more epochs than that
_SHIFT_FRACTION = 1 / 14  # 2 px of Fashion-MNIST's 28


def flip(images: Images, rng: np.random.Generator, view: NDArray[np.int64] | None = None) -> Images:
    """Mirror each image left to right with probability one half; shape (n, height, width, channels)."""
    mirrored = rng.random(len(images)) < 0.5 if view is None else view % 2 == 1
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def shift(images: Images, rng: np.random.Generator, view: NDArray[np.int64] | None = None) -> Images:
    """Move each image by up to 1/14 of its height and width (2 px of 28), repeating the border pixels."""
    count, height, width, _ = images.shape
    offsets = []
    for axis, size in enumerate((height, width)):
        most = max(1, round(size * _SHIFT_FRACTION))
        if view is None:
            moves = rng.integers(-most, most + 1, size=(count, 1))
        else:
            fixed = np.random.default_rng([axis, size]).integers(-most, most + 1, size=1 + view.max(initial=0))
            moves = fixed[view][:, None]
        offsets.append(np.clip(np.arange(size) + moves, 0, size - 1))
    rows, columns = offsets
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


AUGMENTATIONS: dict[str, Callable[..., Images]] = {"flip": flip, "shift": shift}


def check_augmentations(augment: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names as a tuple in a fixed order; an unknown one raises `UnknownNameError`."""
    if augment is not None and not isinstance(augment, str) and not isinstance(augment, Iterable):
        raise InvalidInputError(f"augment must be the name of an augmentation, or several; got {augment!r}.")
    names = {augment} if isinstance(augment, str) else set(augment or ())
    for name in sorted(names, key=str):
        if name not in AUGMENTATIONS:
            raise UnknownNameError("augmentation", name, AUGMENTATIONS)
    return tuple(name for name in AUGMENTATIONS if name in names)


def count_views(names: Iterable[str], *, epochs: int, limit: int | None) -> int:
    """Return how many different views of an image so many epochs can see at most."""
    if "shift" in names:
        return epochs if limit is None else min(limit, epochs)
    return min(2, epochs) if "flip" in names else 1


def apply(names: Iterable[str], images: Images, rng: np.random.Generator, *, views: int | None = None) -> Any:
    """Apply the named augmentations one after the other.

    Parameters
    ----------
    names : iterable of str
        Names of `AUGMENTATIONS`.
    images : ndarray of uint8, shape (n, height, width, channels)
        What to augment.
    rng : numpy.random.Generator
        What to draw from.
    views : int, optional
        Draw each image's view among so many fixed ones, instead of freely.
    """
    view = None if views is None else rng.integers(views, size=len(images))
    for name in names:
        images = AUGMENTATIONS[name](images, rng, view)
    return images
