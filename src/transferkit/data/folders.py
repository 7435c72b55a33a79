"""Folders of image files: decoded and resized once into a memory map, then split."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.dataset import Dataset, Split
from transferkit.data.decoding import MAX_PIXELS, ColorMode, Decoding, Fit, decode_all, decode_image
from transferkit.data.listing import SUFFIXES, ImageFile, Listing, list_images, list_some, show_path
from transferkit.errors import DataError, InvalidInputError, TransferKitError, warn

_SCHEMA = 1
_BATCH = 32


@dataclass(frozen=True)
class Plan:
    """How images are divided: sizes as given, and the seed."""

    validation: float
    test: float
    seed: int
    allow_overlap: bool


def load_image_folder(
    path: str | os.PathLike[str],
    *,
    image_size: int | tuple[int, int],
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    color_mode: ColorMode = "rgb",
    fit: Fit = "stretch",
    on_error: Literal["raise", "skip"] = "raise",
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    labels_per_class: int | None = None,
    allow_overlap: bool = False,
) -> Dataset:
    """Load a folder of images, one subfolder per class, or train, validation and test folders of such.

    Every file is decoded and resized once, on all cores, into a memory map in transferkit's cache, so a folder larger
    than memory works. The same folder with the same options is not decoded again; a changed, added or removed file
    is noticed by its size and times.

    JPEG, PNG, BMP, GIF and WebP files are read (of an animation the first frame), also in subfolders of a class. Hidden
    files and other kinds are left out. EXIF orientation is respected, transparency becomes white.

    Parameters
    ----------
    path : path-like
        The folder. Subfolders named ``train``, ``validation`` (or ``val``) and ``test`` are taken as splits if nothing
        else lies beside them; otherwise each subfolder is a class.
    image_size : int or tuple of int
        Height and width of the resized images; one number for squares.
    validation, test : int or float, default 0.15
        How many of all images make the split, as a count or a fraction; stratified. Not used for a split that has its
        own folder. ``validation=0`` makes none.
    seed : int, default 0
        Decides which images go where and, with `labels_per_class`, which training images are kept.
    color_mode : {"rgb", "grayscale"}, default "rgb"
        Three channels or one.
    fit : {"stretch", "crop", "pad"}, default "stretch"
        How an image of another aspect ratio is fitted: distorted, cut around its centre, or padded with white.
    on_error : {"raise", "skip"}, default "raise"
        Whether files that cannot be read are all named in one error, or left out with a warning that names them.
    max_pixels : int, default 89,478,485
        Larger images are refused before they are decompressed. Above 178,956,970 Pillow refuses them as well.
    name : str, optional
        What to call the dataset. The folder's name if None.
    labels_per_class : int, optional
        Keep this many training images of each class, copied into memory. All of them if None.
    allow_overlap : bool, default False
        Whether equal images may lie in the folders of two splits.

    Returns
    -------
    Dataset
        Images are uint8 of shape (n, height, width, 1 or 3), slices of one memory map; labels int64 of shape (n,).
        Classes are sorted by name, and the images of a split by path.

    Raises
    ------
    DataError
        If there are no classes, too few images, files that cannot be read, or equal images in two split folders.
    InvalidInputError
        If an option makes no sense.

    Warns
    -----
    TransferKitWarning
        If files were skipped, images of other formats are there, one image lies in two classes, or a split lacks a class.

    Notes
    -----
    Images that are equal pixel for pixel after resizing always come into the same split, so that no test image was
    trained on. An image that lies in two classes stays in the training split. A split may be a few images smaller for it.

    What was decoded stays in the cache's ``folders`` until you delete it; each set of options has its own copy.

    Examples
    --------
    >>> import transferkit as tk
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> rng = np.random.default_rng(0)
    >>> for kind in ("daisy", "rose"):  # noise in place of flowers
    ...     Path("flowers", kind).mkdir(parents=True)
    ...     for number in range(20):
    ...         pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    ...         Image.fromarray(pixels).save(f"flowers/{kind}/{number}.png")
    >>> tk.load_image_folder("flowers", image_size=32)
    Dataset('flowers', 2 classes, 32x32x3, train 28, validation 6, test 6)
    """
    decoding = _check_decoding(image_size, color_mode, fit, max_pixels)
    plan = Plan(validation, test, splits.check_seed(seed), bool(allow_overlap))
    _check_choice("on_error", on_error, ("raise", "skip"))
    if labels_per_class is not None:
        splits.check_labels_per_class(labels_per_class)
    listing = list_images(Path(path).expanduser())
    _check_plan(listing, plan)
    target = files.cache_home() / "folders" / _store_key(listing, decoding, plan)
    try:
        store = _read_store(target, decoding)
        if store is None:
            with files.lock(target):
                store = _read_store(target, decoding)
                if store is None:
                    files.remove_leftovers(target)
                    _write_store(target, listing, decoding, plan, on_error=on_error)
                    store = _read_store(target, decoding)
    except TransferKitError:
        raise
    except OSError as error:
        raise DataError(
            f"the decoded images cannot be kept in {target.parent} ({error.strerror or error})."
            " Free some space there, or set TRANSFERKIT_HOME to another folder."
        ) from error
    if store is None:
        raise DataError(f"{target} was changed while it was read. Run it again.")
    return _make_dataset(
        listing,
        store,
        on_error=on_error,
        name=name or listing.root.name,
        seed=plan.seed,
        labels_per_class=labels_per_class,
    )


def load_image(
    path: str | os.PathLike[str],
    *,
    image_size: int | tuple[int, int],
    color_mode: ColorMode = "rgb",
    fit: Fit = "stretch",
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Load one image, decoded as `load_image_folder` decodes those of a folder, to predict it.

    Parameters
    ----------
    path : path-like
        A JPEG, PNG, BMP, GIF or WebP file.
    image_size : int or tuple of int
        Height and width, as `load_image_folder` was given them; one number for squares.
    color_mode : {"rgb", "grayscale"}, default "rgb"
        As `load_image_folder` was given it.
    fit : {"stretch", "crop", "pad"}, default "stretch"
        As `load_image_folder` was given it.
    max_pixels : int, default 89,478,485
        Larger images are refused before they are decompressed.

    Returns
    -------
    ndarray of uint8, shape (height, width, 1 or 3)
        Pixels from 0 to 255.

    Raises
    ------
    DataError
        If the file cannot be read; the message says why.
    InvalidInputError
        If an option makes no sense.

    Examples
    --------
    >>> import transferkit as tk
    >>> from PIL import Image
    >>> Image.new("RGB", (40, 30), "navy").save("photo.png")
    >>> image = tk.load_image("photo.png", image_size=32)
    >>> image.shape, image[0, 0].tolist()
    ((32, 32, 3), [0, 0, 128])
    """
    decoding = _check_decoding(image_size, color_mode, fit, max_pixels)
    file = Path(path).expanduser()
    try:
        return decode_image(file, decoding)
    except DataError as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def _check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}.")


def _check_decoding(image_size: object, color_mode: Any, fit: Any, max_pixels: object) -> Decoding:
    pair = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(pair) != 2 or not all(splits.is_int(side) and 1 <= side <= 16_384 for side in pair):
        raise InvalidInputError(f"image_size must be an int, or (height, width), from 1 to 16384; got {image_size!r}.")
    _check_choice("color_mode", color_mode, ("rgb", "grayscale"))
    _check_choice("fit", fit, ("stretch", "crop", "pad"))
    if not splits.is_int(max_pixels) or max_pixels < 1:
        raise InvalidInputError(f"max_pixels must be an int of 1 or more; got {max_pixels!r}.")
    return Decoding(int(pair[0]), int(pair[1]), color_mode, fit, int(max_pixels))


# The store in the cache


def _store_key(listing: Listing, decoding: Decoding, plan: Plan) -> str:
    """Return a name for the result, from everything that determines it except the files' content."""
    from PIL import __version__ as pillow_version

    def state(image: ImageFile) -> tuple[object, ...]:
        try:
            status = (listing.root / image.path).stat()
        except OSError:  # a broken link; decoding it names the file
            return (image.path, None)
        return (image.path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    facts = [_SCHEMA, pillow_version, str(listing.root), listing.class_names, asdict(decoding), asdict(plan)]
    text = json.dumps(
        [facts, [state(image) for image in listing.images]], default=float
    )  # ASCII, so that any file name will do
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


@dataclass(frozen=True)
class Store:
    """Decoded images in split order, and the record of how they came about."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split_sizes: tuple[int, int, int]
    skipped: dict[str, str]
    conflicts: tuple[str, ...]


def _read_store(target: Path, decoding: Decoding) -> Store | None:
    """Return what the cache holds, or None if it is not there or damaged."""
    try:
        index = files.read_json(target / "index.json")
        images = np.load(target / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(target / "labels.npy", allow_pickle=False)
        store = Store(images, labels, tuple(index["split_sizes"]), index["skipped"], tuple(index["conflicts"]))
        complete = (
            images.shape == (len(labels), *decoding.shape)
            and images.dtype == np.uint8
            and sum(store.split_sizes) == len(labels)
            and files.sha256_arrays(labels) == index["labels_sha256"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return store if complete else None


def _write_store(
    target: Path, listing: Listing, decoding: Decoding, plan: Plan, *, on_error: Literal["raise", "skip"]
) -> None:
    _check_space(target, len(listing.images), decoding)
    with files.atomic_folder(target, replace=True) as folder:
        decoded_path = folder / "decoded.tmp"
        with decoded_path.open("wb") as stream:
            digests, failures = decode_all(listing, decoding, stream)
        if failures and on_error == "raise":
            raise DataError(_describe_failures(failures, len(listing.images)))
        good = [(file, digest) for file, digest in zip(listing.images, digests, strict=True) if digest]
        if not good:
            raise DataError(_describe_failures(failures, len(listing.images)))
        members = [file for file, _ in good]
        groups = checks.group_equal([digest for _, digest in good])
        parts = _divide(members, listing, plan, groups)
        order = np.concatenate(parts)
        labels = np.array([file.label for file in members], dtype=np.int64)[order]
        decoded = np.memmap(decoded_path, dtype=np.uint8, mode="r", shape=(len(members), *decoding.shape))
        with (folder / "images.npy").open("wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), *decoding.shape)}
            np.lib.format.write_array_header_1_0(stream, header)
            for start in range(0, len(order), _BATCH):
                stream.write(decoded[order[start : start + _BATCH]].data)
        del decoded  # Windows deletes no file that is mapped
        decoded_path.unlink()
        np.save(folder / "labels.npy", labels, allow_pickle=False)
        index = {
            "schema": _SCHEMA,
            "class_names": listing.class_names,
            "split_sizes": [len(part) for part in parts],
            "files": [show_path(members[position].path) for position in order],
            "skipped": {show_path(path): reason for path, reason in failures.items()},
            "conflicts": _find_conflicts(members, groups),
            "labels_sha256": files.sha256_arrays(labels),
        }
        files.write_json(folder / "index.json", index)


def _check_space(target: Path, num_images: int, decoding: Decoding) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    needed = 2 * num_images * int(np.prod(decoding.shape))  # in file order, then in split order
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DataError(
            f"the decoded images need {needed / 1e9:.1f} GB in {target.parent}, but only {free / 1e9:.1f} GB are free there."
            " Choose a smaller image_size, or set TRANSFERKIT_HOME to another disk."
        )


def _describe_failures(failures: dict[str, str], total: int) -> str:
    listed = list_some((f"  {show_path(path)}: {reason}" for path, reason in failures.items()), separator="\n")
    return f"{len(failures)} of {total} image files cannot be read:\n{listed}\nRepair or remove them, or pass on_error='skip'."


# The splits


def _check_plan(listing: Listing, plan: Plan) -> None:
    """Refuse split sizes that cannot work, before anything is decoded."""
    explicit = {image.split for image in listing.images} - {None}
    counts = np.bincount(
        [image.label for image in listing.images if image.split in (None, "train")], minlength=len(listing.class_names)
    )
    empty = [name for name, count in zip(listing.class_names, counts, strict=True) if not count]
    if empty:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(
            f"no images of class {list_some(map(repr, empty))} in {show_path(listing.root)} (looked for {kinds})."
        )
    total = int(counts.sum())
    num_held = 0
    for name, size in (("test", plan.test), ("validation", plan.validation)):
        count = splits.resolve_size(size, total, name=name)
        if name in explicit:
            continue
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


def _divide(
    members: Sequence[ImageFile], listing: Listing, plan: Plan, groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the training, validation and test images."""
    labels = np.array([file.label for file in members], dtype=np.int64)
    explicit = {image.split for image in listing.images} - {None}
    place = {
        name: np.array([i for i, file in enumerate(members) if file.split == name], dtype=np.int64)
        for name in ("validation", "test")
    }
    train = np.array([i for i, file in enumerate(members) if file.split in (None, "train")], dtype=np.int64)
    if groups is not None and not plan.allow_overlap:
        _refuse_overlap(members, groups, {"train": train, **place})
    total = len(train)
    for name, size in (("test", plan.test), ("validation", plan.validation)):
        if name not in explicit:
            count = splits.resolve_size(size, total, name=name)
            within = None if groups is None else np.unique(groups[train], return_inverse=True)[1]
            kept, held = splits.split_holdout(labels[train], min(count, len(train)), seed=plan.seed, groups=within)
            train, place[name] = train[kept], train[held]
            splits.check_held_out(len(held), count, name=f"{name}={size}")
    missing = set(range(len(listing.class_names))) - set(labels[train].tolist())
    if missing:
        names = list_some(repr(listing.class_names[label]) for label in sorted(missing))
        raise DataError(f"no training image is left for class {names}. Add images, or choose smaller splits.")
    return train, place["validation"], place["test"]


def _refuse_overlap(
    members: Sequence[ImageFile], groups: NDArray[np.int64], place: dict[str, NDArray[np.int64]]
) -> None:
    """Raise `DataError` if equal images lie in the folders of two splits."""
    for name, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        first = {int(groups[position]): int(position) for position in reversed(place[other])}
        pairs = [(int(i), first[int(groups[i])]) for i in place[name] if int(groups[i]) in first]
        if pairs:
            listed = list_some(f"{show_path(members[i].path)} = {show_path(members[j].path)}" for i, j in pairs[:5])
            raise DataError(
                f"{len(pairs)} of {len(place[name])} {name} images are also {other} images ({listed}{', ...' * (len(pairs) > 5)}),"
                " so the result would be too good. Remove them from one side, or pass allow_overlap=True."
            )


def _find_conflicts(members: Sequence[ImageFile], groups: NDArray[np.int64] | None) -> list[str]:
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


def _make_dataset(
    listing: Listing,
    store: Store,
    *,
    on_error: Literal["raise", "skip"],
    name: str,
    seed: int,
    labels_per_class: int | None,
) -> Dataset:
    total = len(listing.images)
    if store.skipped:
        if on_error == "raise":
            raise DataError(_describe_failures(store.skipped, total))
        listed = list_some(f"{path} ({reason})" for path, reason in store.skipped.items())
        warn(f"skipped {len(store.skipped)} of {total} image files that cannot be read: {listed}.")
    if store.conflicts:
        warn(
            f"{len(store.conflicts)} images lie in more than one class, so some labels are wrong:"
            f" {list_some(store.conflicts)}. Remove the wrong copies."
        )
    store.labels.flags.writeable = False
    ends = np.cumsum(store.split_sizes)
    parts = [
        Split(store.images[end - size : end], store.labels[end - size : end])
        for end, size in zip(ends, store.split_sizes, strict=True)
    ]
    for split, split_name in zip(parts[1:], ("validation", "test"), strict=True):
        checks.check_classes_present(split.labels, listing.class_names, name=split_name, required=False)
    source = (
        f"folder {name!r}: {len(store.labels)} images, {len(store.skipped)} skipped, {listing.num_ignored} other files"
    )
    train, validation, test = parts
    dataset = Dataset(name, listing.class_names, train, validation, test, source=source, split_seed=seed)
    return dataset if labels_per_class is None else dataset.subset(labels_per_class, seed=seed)
