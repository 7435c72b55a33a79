"""Named augmentations of uint8 images: the same rules for every model, drawn from the run's seed."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import UnknownNameError

Images = NDArray[np.uint8]
_SHIFT_FRACTION = 1 / 14  # 2 px of Fashion-MNIST's 28


def flip(images: Images, rng: np.random.Generator) -> Images:
    """Mirror each image left to right with probability one half; shape (n, height, width, channels)."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def shift(images: Images, rng: np.random.Generator) -> Images:
    """Move each image by up to 1/14 of its height and width (2 px of 28), repeating the border pixels."""
    count, height, width, _ = images.shape
    offsets = []
    for size in (height, width):
        most = max(1, round(size * _SHIFT_FRACTION))
        moves = rng.integers(-most, most + 1, size=(count, 1))
        offsets.append(np.clip(np.arange(size) + moves, 0, size - 1))
    rows, columns = offsets
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


AUGMENTATIONS: dict[str, Callable[[Images, np.random.Generator], Images]] = {"flip": flip, "shift": shift}


def check_augmentations(augment: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names as a tuple in a fixed order; an unknown one raises `UnknownNameError`."""
    names = {augment} if isinstance(augment, str) else set(augment)
    for name in sorted(names, key=str):
        if name not in AUGMENTATIONS:
            raise UnknownNameError("augmentation", name, AUGMENTATIONS)
    return tuple(name for name in AUGMENTATIONS if name in names)


def apply(names: Iterable[str], images: Images, rng: np.random.Generator) -> Any:
    """Apply the named augmentations one after the other."""
    for name in names:
        images = AUGMENTATIONS[name](images, rng)
    return images
