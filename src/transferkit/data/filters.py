"""Filters that people designed before networks learned them."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.errors import InvalidInputError

_FILTERS: Final[dict[str, tuple[tuple[float, ...], ...]]] = {
    "sobel_x": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "sobel_y": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
}


def hand_designed_filters() -> dict[str, NDArray[np.float32]]:
    """Return the classical filters by name.

    Returns
    -------
    dict of str to ndarray of float32, shape (3, 3)
        ``"sobel_x"`` (vertical edges) and ``"sobel_y"`` (horizontal ones), ``"laplacian"`` (edges of any direction), ``"blur"``
        (the mean of nine pixels), ``"sharpen"``.

    References
    ----------
    .. [1] Gonzalez & Woods, "Digital Image Processing", 4th edition 2018, chapter 3.

    Examples
    --------
    >>> hand_designed_filters()["sobel_x"]
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]], dtype=float32)
    """
    return {name: np.array(rows, np.float32) for name, rows in _FILTERS.items()}


def filter_images(images: ArrayLike, kernel: ArrayLike) -> NDArray[np.float32]:
    """Slide a filter over images as a convolutional layer does.

    Parameters
    ----------
    images : array-like, shape (n, height, width) or (n, height, width, channels)
        Pixels of any scale.
    kernel : array-like of float, shape (rows, columns)
        The filter, of odd size; it is not turned round, so this is what signal processing calls a correlation.

    Returns
    -------
    ndarray of float32, shape of `images`
        One response a pixel; beyond the border the image counts as zero ("same" padding). Each channel by itself.

    Raises
    ------
    InvalidInputError
        If the shapes are not as above.

    Examples
    --------
    >>> step = np.array([[[0, 0, 1, 1]] * 4])
    >>> filter_images(step, hand_designed_filters()["sobel_x"])[0, 1]
    array([ 0.,  4.,  4., -4.], dtype=float32)
    """
    from scipy.ndimage import correlate

    pixels, weights = np.asarray(images, np.float32), np.asarray(kernel, np.float32)
    if pixels.ndim not in (3, 4):
        raise InvalidInputError(
            f"images must have shape (n, height, width) or (n, height, width, channels); got {pixels.shape}."
        )
    if weights.ndim != 2 or not all(length % 2 for length in weights.shape):
        raise InvalidInputError(
            f"the kernel must have two axes of odd length, for example (3, 3); got {weights.shape}."
        )
    # One on each side for the axes over which the filter does not slide.
    shape = (1, *weights.shape) if pixels.ndim == 3 else (1, *weights.shape, 1)
    filtered: NDArray[np.float32] = correlate(pixels, weights.reshape(shape), mode="constant")
    return filtered
