"""Stratified, seeded splits and nested subsets, as indices into a label vector."""

from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import DataError, InvalidInputError

Indices = NDArray[np.int64]

# One stream of random numbers per purpose, so that the same seed does not pick the same images twice over.
_HOLDOUT_STREAM = 0
_SUBSET_STREAM = 1


def is_int(value: object) -> TypeGuard[int]:
    """Return whether `value` is an integer of Python or NumPy, and no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_seed(seed: object) -> int:
    """Return `seed` as a Python int of 0 or more.

    Raises
    ------
    InvalidInputError
        If it is anything else; ``None`` would make the result irreproducible.
    """
    if not is_int(seed) or seed < 0:
        raise InvalidInputError(f"seed must be an int of 0 or more; got {seed!r}.")
    return int(seed)


def resolve_size(size: object, total: int, *, name: str) -> int:
    """Turn a count, or a fraction of `total`, into a count.

    Parameters
    ----------
    size : int or float
        A number of images, or a fraction in [0, 1).
    total : int
        How many images there are.
    name : str
        What the size is called in the error.

    Returns
    -------
    int
        From 0 to ``total - 1``.

    Raises
    ------
    InvalidInputError
        If `size` is no such number, or nothing would be left.

    Examples
    --------
    >>> resolve_size(0.15, 1000, name="validation")
    150
    """
    if isinstance(size, float | np.floating) and 0 <= size < 1:
        return round(float(size) * total)
    if not is_int(size) or size < 0:
        raise InvalidInputError(f"{name} must be a number of images or a fraction in [0, 1); got {size!r}.")
    if size >= max(total, 1):
        raise InvalidInputError(f"{name}={size} leaves nothing to train on: there are {total} images. Choose less.")
    return int(size)


def permute_classes(labels: NDArray[np.integer], *, seed: int, stream: int) -> dict[int, Indices]:
    """Return the indices of each class in a seeded random order.

    The order of one class depends on the seed and on that class alone.
    """
    order = {}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order[int(label)] = np.random.default_rng([seed, stream, int(label)]).permutation(members)
    return order


def _allot(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Share `size` among classes in proportion to `counts` by largest remainders, leaving each class one if possible."""
    exact = counts * (size / counts.sum())
    quota = np.floor(exact).astype(np.int64)
    for spare in (1, 0):  # first leave one image of each class behind; only an extreme size takes those too
        ceiling = counts - spare
        quota = np.minimum(quota, ceiling)
        while (missing := size - int(quota.sum())) > 0:
            open_classes = np.flatnonzero(quota < ceiling)
            if not len(open_classes):
                break
            by_need = open_classes[np.argsort(quota[open_classes] - exact[open_classes], kind="stable")]
            quota[by_need[:missing]] += 1
    return quota


def _take_whole_groups(members: Indices, count: int, groups: NDArray[np.integer], sizes: NDArray[np.int64]) -> Indices:
    """Take up to `count` of one class's `members` in their order, each group wholly or not at all."""
    by_group: dict[int, list[int]] = {}
    for index in members.tolist():
        by_group.setdefault(int(groups[index]), []).append(index)
    taken: list[int] = []
    for group, together in by_group.items():
        spans_classes = len(together) < sizes[group]  # the same image under two labels: not fit to measure with
        if not spans_classes and len(taken) + len(together) <= count:
            taken += together
    return np.array(taken, dtype=np.int64)


def split_holdout(
    labels: NDArray[np.integer], size: int, *, seed: int, groups: NDArray[np.integer] | None = None
) -> tuple[Indices, Indices]:
    """Hold out a stratified part.

    Each class gives its share (largest remainders), and keeps at least one image wherever `size` permits. With the same
    seed and equal class shares, a smaller part lies inside a larger one.

    Groups of equal images are held out together or not at all, and groups that span classes never are. The part held
    out may then be smaller than asked for.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class indices.
    size : int
        How many to hold out, 0 to n.
    seed : int
        Decides which ones.
    groups : ndarray of int, shape (n,), optional
        Equal numbers from 0 mark images that belong together. Each image by itself if None.

    Returns
    -------
    kept : ndarray of int64
        Indices of the rest, ascending.
    held : ndarray of int64
        Indices of the part held out, ascending. Together every index from 0 to n - 1 once.

    Examples
    --------
    >>> kept, held = split_holdout(np.array([0, 1, 0, 1, 0, 1]), 2, seed=0)
    >>> len(kept), len(held)
    (4, 2)
    """
    if size < 0 or size > len(labels):
        raise InvalidInputError(f"cannot hold out {size} of {len(labels)} images.")
    order = permute_classes(labels, seed=seed, stream=_HOLDOUT_STREAM)
    held_mask = np.zeros(len(labels), dtype=bool)
    if size:
        quota = _allot(np.array([len(members) for members in order.values()], dtype=np.int64), size)
        for members, count in zip(order.values(), quota, strict=True):
            if groups is None:
                held_mask[members[:count]] = True
            else:
                held_mask[_take_whole_groups(members, int(count), groups, np.bincount(groups))] = True
    return np.flatnonzero(~held_mask), np.flatnonzero(held_mask)


def check_labels_per_class(labels_per_class: object) -> int:
    """Return `labels_per_class` as a Python int of 1 or more, or raise `InvalidInputError`."""
    if not is_int(labels_per_class) or labels_per_class < 1:
        raise InvalidInputError(f"labels_per_class must be an int of 1 or more; got {labels_per_class!r}.")
    return int(labels_per_class)


def pick_per_class(labels: NDArray[np.integer], labels_per_class: int, *, seed: int) -> Indices:
    """Pick the same number of images of each class; smaller picks lie inside larger ones of the same seed.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class indices.
    labels_per_class : int
        How many of each class.
    seed : int
        Decides which ones.

    Returns
    -------
    ndarray of int64
        Indices in ascending order.

    Raises
    ------
    InvalidInputError
        If a class has fewer.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> small, large = (pick_per_class(labels, k, seed=0) for k in (5, 20))
    >>> len(large), bool(np.isin(small, large).all())
    (40, True)
    """
    check_labels_per_class(labels_per_class)
    order = permute_classes(labels, seed=seed, stream=_SUBSET_STREAM)
    short = {label: len(members) for label, members in order.items() if len(members) < labels_per_class}
    if short:
        label, count = min(short.items(), key=lambda item: item[1])
        raise InvalidInputError(
            f"labels_per_class={labels_per_class} asks for more than there is: class {label} has {count} training images."
            f" Choose {count} or less."
        )
    picked = [members[:labels_per_class] for members in order.values()]
    return np.sort(np.concatenate(picked)) if picked else np.zeros(0, dtype=np.int64)


def check_held_out(count: int, wanted: int, *, name: str) -> None:
    """Raise `DataError` if images were to be held out and none could be; `name` is the option that asked for them."""
    if wanted and not count:
        raise DataError(
            f"{name}: no image could be held out, since equal images stay together and most are equal to others. Remove the "
            "duplicates, or pass allow_overlap=True."
        )
