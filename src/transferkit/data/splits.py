"""Stratified, seeded splits and nested subsets, as indices into a label vector."""

import warnings
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.errors import DataError, InvalidInputError

Indices = NDArray[np.int64]

# One stream of random numbers per purpose, so that the same seed does not pick the same images twice over.
_HOLDOUT_STREAM = 0
_SUBSET_STREAM = 1
_TIE_STREAM = 2
_GROUP_STREAM = 3


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


def _allot(counts: NDArray[np.int64], size: int, *, reserve: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Share `size` among classes in proportion to `counts`, by largest remainders; chance decides between equals.

    A class gets at least one where it has more than `reserve`, and leaves `reserve` behind, as far as `size` permits.
    """
    exact = counts * (size / counts.sum())
    chance = rng.permutation(len(counts))
    quota = np.minimum(np.maximum(np.floor(exact).astype(np.int64), 1), np.maximum(counts - reserve, 0))
    while (
        excess := int(quota.sum()) - size
    ) > 0:  # more classes than images, or small ones that got more than their share
        several = np.flatnonzero(quota > 1) if (quota > 1).any() else np.flatnonzero(quota)
        by_surplus = several[np.lexsort((chance[several], exact[several] - quota[several]))]
        quota[by_surplus[:excess]] -= 1
    for spare in (reserve, 1, 0):  # only an extreme size takes what a class should leave behind
        ceiling = np.maximum(counts - spare, 0)
        while (missing := size - int(quota.sum())) > 0:
            open_classes = np.flatnonzero(quota < ceiling)
            if not len(open_classes):
                break
            by_need = open_classes[np.lexsort((chance[open_classes], quota[open_classes] - exact[open_classes]))]
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


def number_groups(groups: ArrayLike, length: int) -> Indices:
    """Return numbers from 0 for groups that are named by anything, in order of first appearance.

    Raises
    ------
    InvalidInputError
        If there is not one group for each of `length` images, or a group is missing.
    """
    import pandas as pd

    named = np.asarray(groups)
    if named.shape != (length,):
        raise InvalidInputError(f"groups must be one for each of the {length:,} images; got shape {named.shape}.")
    codes, _ = pd.factorize(named)
    if len(codes) and codes.min() < 0:
        raise InvalidInputError(
            f"groups: image {int(np.flatnonzero(codes < 0)[0])} has none (NaN or None). Give each image a group."
        )
    return codes.astype(np.int64)


def merge_groups(length: int, *partitions: NDArray[np.integer] | None) -> Indices:
    """Return numbers from 0 for what hangs together by any of several partitions; None stands for one that joins nothing.

    Examples
    --------
    >>> merge_groups(4, np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    array([0, 1, 1, 1])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known = [np.unique(groups, return_inverse=True)[1].astype(np.int64) for groups in partitions if groups is not None]
    if not known or not length:
        return np.arange(length, dtype=np.int64)
    offsets = length + np.cumsum([0, *(groups.max() + 1 for groups in known)])
    rows = np.tile(np.arange(length), len(known))
    columns = np.concatenate([groups + offset for groups, offset in zip(known, offsets[:-1], strict=True)])
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(offsets[-1], offsets[-1]))
    _, found = connected_components(graph, directed=False)
    _, first, inverse = np.unique(found[:length], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


_FOLDS = 20  # a part held out by groups is made of twentieths


def _hold_out_groups(
    labels: NDArray[np.integer], size: int, *, seed: int, groups: NDArray[np.integer], reserve: int
) -> Indices:
    """Return the indices of about `size` images, whole groups, with the classes in their proportions where groups permit."""
    from sklearn.model_selection import StratifiedGroupKFold

    free = np.flatnonzero(~_are_needed(labels, groups, reserve))
    folds = min(_FOLDS, len(np.unique(groups[free])), int(np.bincount(labels[free], minlength=1).max()))
    rng = np.random.default_rng([seed, _GROUP_STREAM])
    parts = []
    if folds > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than folds
            state = int(rng.integers(2**32))  # scikit-learn takes no larger seed
            kfold = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
            parts = [free[part] for _, part in kfold.split(free, labels[free], groups[free])]
    # The first folds hold the largest groups, whatever the seed, so their order is drawn.
    parts = [parts[place] for place in rng.permutation(len(parts))]
    number = int(labels.max()) + 1
    _, first = np.unique(np.stack([groups, labels]), axis=1, return_index=True)  # an image of each group in each class
    alone = np.isin(np.arange(len(labels)), first)

    def count_groups(part: Indices) -> Indices:
        return np.bincount(labels[part[alone[part]]], minlength=number)

    left = count_groups(np.arange(len(labels)))
    fit = [part for part in parts if len(part) and _leaves_enough(left, count_groups(part), reserve)]
    if not fit:
        total = len(np.unique(groups))
        keeps, cure = ("one", "") if reserve == 1 else (f"{reserve}, one of them for validation", "validation=0, ")
        raise DataError(
            f"all {len(labels)} images belong to {'one group' if total == 1 else f'{total} groups'}, of which none can be held out, since "
            f"each class must keep {keeps}. Give more groups, {cure}or groups=None."
        )
    held = np.empty(0, np.int64)
    for part in fit:  # the next one joins while that brings the part nearer to its size
        nearer = abs(len(held) + len(part) - size) < abs(len(held) - size)
        if nearer and _leaves_enough(left, count_groups(part), reserve):
            held, left = np.concatenate([held, part]), left - count_groups(part)
    if not len(held):
        held = min(fit, key=len)
        left = left - count_groups(held)
    missing = np.setdiff1d(labels[free], labels[held]) if size >= number else np.empty(0, np.int64)
    for label in missing:  # otherwise nothing is measured for it
        members = [np.flatnonzero(groups == group) for group in np.unique(groups[free][labels[free] == label])]
        spare = sorted((one for one in members if _leaves_enough(left, count_groups(one), reserve)), key=len)
        if spare and label not in labels[held]:
            chosen = spare[int(rng.integers((len(spare) + 1) // 2))]  # one of the smaller
            held, left = np.concatenate([held, chosen]), left - count_groups(chosen)
    return np.sort(held).astype(np.int64)


def _leaves_enough(left: Indices, taken: Indices, reserve: int) -> bool:
    return not ((left - taken)[taken > 0] < reserve).any()


def _are_needed(labels: NDArray[np.integer], groups: NDArray[np.integer], reserve: int) -> NDArray[np.bool_]:
    """Return which images belong to a group that holds a class of which no more than `reserve` groups have images."""
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    return np.isin(groups, pairs[0][np.bincount(pairs[1])[pairs[1]] <= reserve])


def split_holdout(
    labels: NDArray[np.integer],
    size: int,
    *,
    seed: int,
    equal: NDArray[np.integer] | None = None,
    groups: NDArray[np.integer] | None = None,
    reserve: int = 1,
) -> tuple[Indices, Indices]:
    """Hold out a stratified part.

    Each class gives its share (largest remainders; at least one image where it has enough, and `size` permits), and keeps
    `reserve` images. With the same seed and equal class shares, a smaller part lies inside a larger one.

    Equal images are held out together or not at all, and those that span classes never are. Groups are held out whole
    too, by scikit-learn's ``StratifiedGroupKFold``. The part held out may then be smaller or larger than asked for.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class indices.
    size : int
        How many to hold out, 0 to n.
    seed : int
        Decides which ones.
    equal : ndarray of int, shape (n,), optional
        Equal numbers from 0 mark images that are equal. Each image by itself if None.
    groups : ndarray of int, shape (n,), optional
        Equal numbers mark images that belong together, also of several classes.
    reserve : int, default 1
        How many images of each class the rest must have; with `groups`, how many groups that hold such images.

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
    held_mask = np.zeros(len(labels), dtype=bool)
    if size and groups is not None:
        joined = merge_groups(len(labels), equal, groups)
        fit = np.flatnonzero(~np.isin(joined, joined[_spans_classes(labels, equal)]))
        size = min(size, len(fit))
        held_mask[fit[_hold_out_groups(labels[fit], size, seed=seed, groups=joined[fit], reserve=reserve)]] = True
    elif size:
        order = permute_classes(labels, seed=seed, stream=_HOLDOUT_STREAM)
        counts = np.array([len(members) for members in order.values()], dtype=np.int64)
        quota = _allot(counts, size, reserve=reserve, rng=np.random.default_rng([seed, _TIE_STREAM]))
        for members, count in zip(order.values(), quota, strict=True):
            if equal is None:
                held_mask[members[:count]] = True
            else:
                held_mask[_take_whole_groups(members, int(count), equal, np.bincount(equal))] = True
    return np.flatnonzero(~held_mask), np.flatnonzero(held_mask)


def _spans_classes(labels: NDArray[np.integer], equal: NDArray[np.integer] | None) -> NDArray[np.bool_]:
    """Return which images also lie in another class."""
    if equal is None:
        return np.zeros(len(labels), dtype=bool)
    pairs = np.unique(np.stack([equal, labels]), axis=1)
    values, counts = np.unique(pairs[0], return_counts=True)
    return np.isin(equal, values[counts > 1])


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
