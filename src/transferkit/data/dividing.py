"""Divide listed images into training, validation and test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transferkit.data import splits
from transferkit.data.listing import ImageFile, Listing, show_path
from transferkit.errors import DataError, list_some


@dataclass(frozen=True)
class Plan:
    """How images are divided: sizes as given, and the seed."""

    validation: float
    test: float
    seed: int
    allow_overlap: bool


def check_plan(listing: Listing, plan: Plan) -> None:
    """Refuse split sizes that cannot work, before anything is decoded."""
    explicit = {image.split for image in listing.images} - {None}
    counts = np.bincount(
        [image.label for image in listing.images if image.split in (None, "train")], minlength=len(listing.class_names)
    )
    empty = [name for name, count in zip(listing.class_names, counts, strict=True) if not count]
    if empty:
        elsewhere = {listing.class_names[image.label]: image.split for image in listing.images}
        held = [name for name in empty if name in elsewhere]
        if held:
            raise DataError(
                f"class {list_some(map(repr, held))} has {elsewhere[held[0]]} images only; a model cannot learn it. Add some for training, or "
                "remove the class."
            )
        raise DataError(
            f"no images of class {list_some(map(repr, empty))} in {show_path(listing.root)}. Add some, or remove the class."
        )
    total = int(counts.sum())
    num_held = 0
    for name, size in (("test", plan.test), ("validation", plan.validation)):
        if name in explicit:
            continue
        count = splits.resolve_size(size, total, name=name)
        if not count and (name == "test" or size):
            raise DataError(
                f"{name}={size} of {total} images makes no {name} image. Add images, or choose a larger share."
            )
        num_held += count
    if num_held > total - len(listing.class_names):
        raise DataError(
            f"too few images: {total} in {len(listing.class_names)} classes, {num_held} of them to hold out for validation"
            " and test, which leaves no training image for some class. Add images, or choose smaller splits."
        )


def divide(
    members: Sequence[ImageFile], listing: Listing, plan: Plan, equal: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the training, validation and test images; `equal` has equal numbers for equal images."""
    labels = np.array([file.label for file in members], dtype=np.int64)
    groups = None if members[0].group is None else np.array([file.group for file in members], dtype=np.int64)
    explicit = {image.split for image in listing.images} - {None}
    place = {
        name: np.array([i for i, file in enumerate(members) if file.split == name], dtype=np.int64)
        for name in ("validation", "test")
    }
    train = np.array([i for i, file in enumerate(members) if file.split in (None, "train")], dtype=np.int64)
    lost = [name for name in place if name in explicit and not len(place[name])]
    if lost:
        raise DataError(
            f"none of the {lost[0]} images can be read. Repair them, or take them away, to have others held out."
        )
    if not plan.allow_overlap:
        for together, what in ((equal, "are also"), (groups, "belong to the groups of")):
            if together is not None:
                _refuse_overlap(members, together, {"train": train, **place}, what=what)
    total = len(train)
    for name, size in (("test", plan.test), ("validation", plan.validation)):
        if name not in explicit:
            count = splits.resolve_size(size, total, name=name)
            kept, held = splits.split_holdout(
                labels[train],
                min(count, len(train)),
                seed=plan.seed,
                equal=None if equal is None else np.unique(equal[train], return_inverse=True)[1],
                groups=None if groups is None else groups[train],
                reserve=2 if name == "test" and plan.validation and "validation" not in explicit else 1,
            )
            train, place[name] = train[kept], train[held]
            splits.check_held_out(len(held), count, name=f"{name}={size}")
    missing = set(range(len(listing.class_names))) - set(labels[train].tolist())
    if missing:
        names = list_some(repr(listing.class_names[label]) for label in sorted(missing))
        raise DataError(f"no training image is left for class {names}. Add images, or choose smaller splits.")
    return train, place["validation"], place["test"]


def _refuse_overlap(
    members: Sequence[ImageFile], groups: NDArray[np.int64], place: dict[str, NDArray[np.int64]], *, what: str
) -> None:
    """Raise `DataError` if images that belong together lie in the folders of two splits."""
    for name, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        first = {int(groups[position]): int(position) for position in reversed(place[other])}
        pairs = [(int(i), first[int(groups[i])]) for i in place[name] if int(groups[i]) in first]
        if pairs:
            listed = list_some(f"{show_path(members[i].path)} = {show_path(members[j].path)}" for i, j in pairs[:5])
            raise DataError(
                f"{len(pairs)} of {len(place[name])} {name} images {what} {other} images ({listed}{', ...' * (len(pairs) > 5)}),"
                " so the result would be too good. Remove them from one side, or pass allow_overlap=True."
            )


def find_conflicts(members: Sequence[ImageFile], groups: NDArray[np.int64] | None) -> list[str]:
    """Return "path = path" for each image that lies in more than one class."""
    if groups is None:
        return []
    first: dict[int, ImageFile] = {}
    conflicts = []
    for file, group in zip(members, groups.tolist(), strict=True):
        other = first.setdefault(group, file)
        if other.label != file.label:
            conflicts.append(f"{show_path(other.path)} = {show_path(file.path)}")
    return conflicts
