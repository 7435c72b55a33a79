"""mixup and cutmix: training images that are two at once, and targets that say how much of each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transferkit.training.augmentation import Images, inside

Rows = NDArray[np.float32]
_MIXUP_ALPHA, _CUTMIX_ALPHA = 0.2, 1.0


def mixup(images: Images, partners: Images, rng: np.random.Generator) -> tuple[Images, Rows]:
    """Blend each image with another one (Zhang et al. 2018, doi:10.48550/arXiv.1710.09412).

    Parameters
    ----------
    images, partners : ndarray of uint8, shape (n, height, width, channels)
        The images, and what each is mixed with.
    rng : numpy.random.Generator
        Draws the share of each image from Beta(0.2, 0.2), which the paper uses for ImageNet (section 3.1).

    Returns
    -------
    images : ndarray of uint8, shape (n, height, width, channels)
        The mixed images.
    shares : ndarray of float32, shape (n,)
        How much of the first image each is.
    """
    shares = rng.beta(_MIXUP_ALPHA, _MIXUP_ALPHA, len(images)).astype(np.float32)
    parts = shares[:, None, None, None]
    return np.rint(images * parts + partners * (1 - parts)).astype(np.uint8), shares


def cutmix(images: Images, partners: Images, rng: np.random.Generator) -> tuple[Images, Rows]:
    """Put a rectangle of another image into each (Yun et al. 2019, doi:10.1109/ICCV.2019.00612).

    The rectangle has the image's proportions, its share of the area is drawn from Beta(1, 1) and its middle from everywhere, as in
    the paper (sections 3.1 and 4.1); what lies outside is cut off, and the shares are of the pixels that are left. Parameters and
    results are those of `mixup`.
    """
    count, height, width, _ = images.shape
    side = np.sqrt(1 - rng.beta(_CUTMIX_ALPHA, _CUTMIX_ALPHA, count))
    high, wide = side * height, side * width
    rows = inside(height, rng.random(count) * height - high / 2, high)
    columns = inside(width, rng.random(count) * width - wide / 2, wide)
    pasted = rows[:, :, None] & columns[:, None, :]
    shares = 1 - pasted.mean(axis=(1, 2), dtype=np.float32)
    return np.where(pasted[..., None], partners, images), shares


_MIXES = {"mixup": mixup, "cutmix": cutmix}


def mix(
    names: Sequence[str], images: Images, targets: Rows, weights: Rows | None, rng: np.random.Generator
) -> tuple[Images, Rows, Rows | None]:
    """Mix each image of a batch with another one of it, by one of the named ways.

    Parameters
    ----------
    names : sequence of str
        ``"mixup"``, ``"cutmix"``, or both; one is drawn for the batch.
    images : ndarray of uint8, shape (n, height, width, channels)
        A batch.
    targets : ndarray of float32, shape (n, classes)
        One row an image, smoothed or not.
    weights : ndarray of float32, shape (n,), optional
        How much each image counts.
    rng : numpy.random.Generator
        What to draw from.

    Returns
    -------
    images, targets, weights
        Of the mixed images. Their cross-entropy is that of both parts, each with its share and its own weight.
    """
    partners = rng.permutation(len(images))
    mixed, shares = _MIXES[names[int(rng.integers(len(names)))]](images, images[partners], rng)
    first = shares if weights is None else shares * weights
    second = 1 - shares if weights is None else (1 - shares) * weights[partners]
    total = first + second
    part = np.divide(first, total, out=shares.copy(), where=total > 0)[:, None]
    return mixed, targets * part + targets[partners] * (1 - part), None if weights is None else total
