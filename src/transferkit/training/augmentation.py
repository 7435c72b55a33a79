"""Named augmentations of uint8 images: the same rules for every model and backend, drawn from the run's seed."""

import functools
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import InvalidInputError, UnknownNameError

Images = NDArray[np.uint8]
Draws = NDArray[np.float64]
VIEWS = 4  # of each image that a frozen network is asked about, where there are more epochs than that
_SHIFT_FRACTION = 1 / 14  # 2 px of Fashion-MNIST's 28
_LEAST_CROP, _CROP_ASPECT = 0.5, 4 / 3
_DEGREES, _ZOOM = 15.0, 1.2
_BRIGHTNESS, _CONTRAST = 0.2, 0.2
_ERASED, _ERASED_ASPECT = (0.02, 0.2), 3.0


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


def crop(draws: Draws, height: int, width: int) -> NDArray[np.float64]:
    """Cut out a part of 50 to 100% of the area, 3:4 to 4:3 as wide as the image (Szegedy et al. 2015, section 6)."""
    area = _LEAST_CROP + (1 - _LEAST_CROP) * draws[:, 0]
    aspect = _CROP_ASPECT ** (2 * draws[:, 1] - 1)
    high, wide = np.minimum(1, np.sqrt(area / aspect)), np.minimum(1, np.sqrt(area * aspect))
    down, right = (1 - high) * (draws[:, 2] - 0.5) * height, (1 - wide) * (draws[:, 3] - 0.5) * width
    return _matrices(high, 0.0, 0.0, wide, down, right)


def rotate(draws: Draws, height: int, width: int) -> NDArray[np.float64]:  # noqa: ARG001 - one signature for all
    """Turn by up to 15 degrees either way."""
    angle = np.radians(_DEGREES) * (2 * draws[:, 0] - 1)
    return _matrices(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle), 0.0, 0.0)


def zoom(draws: Draws, height: int, width: int) -> NDArray[np.float64]:  # noqa: ARG001 - one signature for all
    """Show everything up to 1.2 times as large or as small."""
    factor = _ZOOM ** (2 * draws[:, 0] - 1)
    return _matrices(factor, 0.0, 0.0, factor, 0.0, 0.0)


def colour(images: Images, draws: Draws) -> Images:
    """Change the brightness by up to 20% of full white, and the contrast by up to 20%."""
    moved = 255 * _BRIGHTNESS * (2 * draws[:, 0] - 1)
    stretched = (1 + _CONTRAST * (2 * draws[:, 1] - 1)).astype(np.float32)[:, None, None, None]
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    found = (images - mean) * stretched + (mean + moved.astype(np.float32)[:, None, None, None])
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def erase(images: Images, draws: Draws) -> Images:
    """Fill a rectangle of 2 to 20% of the area with the image's mean colour, in every other image (Zhong et al. 2020)."""
    _, height, width, _ = images.shape
    least, most = _ERASED
    area, aspect = least + (most - least) * draws[:, 1], _ERASED_ASPECT ** (2 * draws[:, 2] - 1)
    high, wide = np.minimum(1, np.sqrt(area / aspect)) * height, np.minimum(1, np.sqrt(area * aspect)) * width
    rows = inside(height, (height - high) * draws[:, 3], high)
    columns = inside(width, (width - wide) * draws[:, 4], wide)
    hidden = (draws[:, 0] < 0.5)[:, None, None] & rows[:, :, None] & columns[:, None, :]
    mean = np.rint(images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)).astype(np.uint8)
    return np.where(hidden[..., None], mean, images)


_MOVES: dict[str, tuple[Callable[[Draws, int, int], NDArray[np.float64]], int]] = {
    "crop": (crop, 4),
    "rotate": (rotate, 1),
    "zoom": (zoom, 1),
}
_PAINTS: dict[str, tuple[Callable[[Images, Draws], Images], int]] = {"colour": (colour, 2), "erase": (erase, 5)}
MIXES = ("mixup", "cutmix")
"""Those that take two images, and change the targets too; `transferkit.training.mixing` does them."""
AUGMENTATIONS = ("flip", "shift", *_MOVES, *_PAINTS, *MIXES)
"""Names of the augmentations, in the order in which they are applied."""
PRESETS: dict[str, tuple[str, ...]] = {
    "photo": ("flip", "crop", "colour"),
    "centred": ("shift", "rotate", "zoom"),
    "garment": ("flip", "shift"),
}
"""What usually fits a kind of images: photographs, one thing in the middle that may not be mirrored, clothes."""


def check_augmentations(augment: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names as a tuple in a fixed order, presets taken apart; an unknown one raises `UnknownNameError`."""
    if augment is not None and not isinstance(augment, str) and not isinstance(augment, Iterable):
        raise InvalidInputError(f"augment must be the name of an augmentation, or several; got {augment!r}.")
    given = {augment} if isinstance(augment, str) else set(augment or ())
    names: set[str] = set()
    for name in sorted(given, key=str):
        if name not in AUGMENTATIONS and name not in PRESETS:
            raise UnknownNameError("augmentation", name, (*AUGMENTATIONS, *PRESETS))
        names.update(PRESETS.get(name, (name,)))
    return tuple(name for name in AUGMENTATIONS if name in names)


def count_views(names: Iterable[str], *, epochs: int, limit: int | None) -> int:
    """Return how many different views of an image so many epochs can see at most."""
    if has_many_views(names):
        return epochs if limit is None else min(limit, epochs)
    return min(2, epochs) if "flip" in names else 1


def has_many_views(names: Iterable[str]) -> bool:
    """Whether augmentation makes more views of a single image than itself and its mirror image."""
    return not {"flip", *MIXES}.issuperset(names)


def apply(names: Iterable[str], images: Images, rng: np.random.Generator, *, views: int | None = None) -> Any:
    """Apply the named augmentations one after the other.

    Parameters
    ----------
    names : iterable of str
        Names of `AUGMENTATIONS`, in their order; those that take two images are left out.
    images : ndarray of uint8, shape (n, height, width, channels)
        What to augment.
    rng : numpy.random.Generator
        What to draw from.
    views : int, optional
        Draw each image's view among so many fixed ones, instead of freely.

    Returns
    -------
    ndarray of uint8, shape (n, height, width, channels)
        The images themselves if nothing is to be done.
    """
    view = None if views is None else rng.integers(views, size=len(images))
    names = tuple(names)
    height, width = images.shape[1:3]
    if "flip" in names:
        images = flip(images, rng, view)
    if "shift" in names:
        images = shift(images, rng, view)
    moves = [
        matrices(_draw(name, count, len(images), rng, view), height, width)
        for name, (matrices, count) in _MOVES.items()
        if name in names
    ]
    if moves:  # all at once, since each resampling blurs
        images = move(images, functools.reduce(np.matmul, moves))
    for name, (paint, count) in _PAINTS.items():
        if name in names:
            images = paint(images, _draw(name, count, len(images), rng, view))
    return images


def _draw(name: str, count: int, images: int, rng: np.random.Generator, view: NDArray[np.int64] | None) -> Draws:
    """Return `count` numbers in [0, 1) for each image: free ones, or those that belong to its view."""
    if view is None:
        return rng.random((images, count))
    return np.random.default_rng(zlib.crc32(name.encode())).random((1 + view.max(initial=0), count))[view]


def _matrices(a: Any, b: Any, c: Any, d: Any, down: Any, right: Any) -> NDArray[np.float64]:
    """Return one matrix for each image, shape (n, 3, 3), from where a pixel lands to where it came from, about the centre."""
    parts = np.broadcast_arrays(a, b, down, c, d, right, 0.0, 0.0, 1.0)
    return np.stack(parts, axis=-1).reshape(-1, 3, 3).astype(np.float64)


def move(images: Images, matrices: NDArray[np.float64]) -> Images:
    """Resample images bilinearly, by Keras on its device; what comes from outside repeats the border pixels."""
    import keras  # samples of images without augmentation are drawn without it

    height, width = images.shape[1:3]
    down, right = (height - 1) / 2, (width - 1) / 2
    (a, b, row), (c, d, column) = (matrices[:, axis].T for axis in (0, 1))
    row, column = row + down - a * down - b * right, column + right - c * down - d * right
    # Keras counts from a corner, and names x before y.
    transforms = np.stack([d, c, column, b, a, row, 0 * a, 0 * a], axis=1).astype(np.float32)
    found = keras.ops.image.affine_transform(
        images.astype(np.float32),
        transforms,
        interpolation="bilinear",
        fill_mode="nearest",
        data_format="channels_last",
    )
    return np.rint(keras.ops.convert_to_numpy(found)).astype(np.uint8)


def inside(size: int, start: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of `size` pixels lie in a stretch, for each image; shape (n, size)."""
    middles = np.arange(size) + 0.5
    return (middles >= start[:, None]) & (middles < (start + length)[:, None])
