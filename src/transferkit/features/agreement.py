"""Whether two ways to compute the same values agree."""

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-3  # rounding between kernels stays below 2e-5 of the scale on an ImageNet MobileNet
_ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
_ROUNDINGS = 8.0  # mixed_bfloat16: at most 3 of them between eager and compiled Keras on four backbones


def tolerance(dtype: str) -> float:
    """Return the largest difference, relative to the scale of a channel, that rounding explains where layers compute in `dtype`."""
    return max(_TOLERANCE, _ROUNDINGS * _ROUNDING.get(dtype, 0.0))


def largest_difference(
    computed: NDArray[np.float32], expected: NDArray[np.float32], *, scale_at_least: float = 0.0
) -> float:
    """Return the largest difference between two arrays, relative to the scale of each channel.

    Parameters
    ----------
    computed, expected : ndarray of float32, shape (n, ..., channels)
        Values of the same images.
    scale_at_least : float, default 0
        1 makes the differences of values below 1 absolute.

    Returns
    -------
    float
        The scale of a channel is its largest expected magnitude, or, if that is larger, the median of those of all channels that are not
        0 everywhere: few images leave many channels dark. 0 if all are equal, infinity if shapes, or the places of NaN and infinity, differ.
    """
    if computed.shape != expected.shape:
        return float("inf")
    one, two = (np.asarray(values, np.float64).reshape(-1, values.shape[-1]) for values in (computed, expected))
    finite = np.isfinite(two)
    if not np.array_equal(one[~finite], two[~finite], equal_nan=True) or not np.isfinite(one[finite]).all():
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = np.where(finite, np.abs(one - two), 0.0).max(axis=0, initial=0.0)
    channels = np.where(finite, np.abs(two), 0.0).max(axis=0, initial=0.0)
    live = channels[channels > 0]
    scale = np.maximum(channels, max(float(np.median(live)) if live.size else 0.0, scale_at_least, 1e-30))
    return float((difference / scale).max(initial=0.0))
