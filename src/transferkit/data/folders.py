"""Folders of image files: decoded and resized once into a memory map, then split."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.dataset import Dataset, Split
from transferkit.data.decoding import MAX_PIXELS, ColorMode, Decoding, Fit, decode_all, decode_image
from transferkit.data.dividing import Plan, check_plan, divide, find_conflicts
from transferkit.data.formats import decoder_versions
from transferkit.data.kept import KeptImages, read_kept, write_kept
from transferkit.data.listing import ImageFile, Listing, list_images, named_as, show_path
from transferkit.data.notices import say
from transferkit.errors import DataError, InvalidInputError, TransferKitError, list_some

_SCHEMA = 4
_FEW_BITS = 14  # of 16 that all images of a folder together use: cameras have 10, 12 or 14


def load_image_folder(
    path: str | os.PathLike[str],
    *,
    image_size: int | tuple[int, int],
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    split_seed: int = 0,
    groups: Callable[[str], Any] | Mapping[str, Any] | None = None,
    split_folders: bool = True,
    color_mode: ColorMode = "rgb",
    fit: Fit = "stretch",
    bit_depth: int = 16,
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

    Every format of pixels that Pillow decodes is read (of an animation or several pages the first), also in subfolders of
    a class and behind links. Hidden files, thumbnails and bins of systems, and files that are no images are left out and
    counted in ``source``; images that are left out are named in a warning. EXIF orientation is respected, transparency
    becomes white.

    Parameters
    ----------
    path : path-like
        The folder. Subfolders named like splits (``train``, ``training_set``, ``val``, ``dev``, ``test``, ``holdout``, ...,
        also ``my_train`` beside ``my_test``) are taken as splits; otherwise each subfolder is a class. Folders that lie one
        in the other before the classes begin are passed through.
    image_size : int or tuple of int
        Height and width of the resized images; one number for squares.
    validation, test : int or float, default 0.15
        How many of all images make the split, as a count or a fraction; stratified. Not used for a split that has its
        own folder. ``validation=0`` makes none.
    seed : int, default 0
        With `labels_per_class`, decides which training images are kept. `transferkit.repeat` passes it.
    split_seed : int, default 0
        Decides which images go where.
    groups : callable or mapping of str, optional
        What each image belongs to, for example the object or person on it, from its path relative to the folder
        (``"cat/tom-1.jpg"``). Images of one group come into one split; the sizes are then met only roughly.
    split_folders : bool, default True
        Whether folders named like splits are splits. With False each subfolder is a class, whatever its name.
    color_mode : {"rgb", "grayscale"}, default "rgb"
        Three channels or one.
    fit : {"stretch", "crop", "pad"}, default "stretch"
        How an image of another aspect ratio is fitted: distorted, cut around its centre, or padded with white.
    bit_depth : int, default 16
        How many bits of a grey file with 16 bits a pixel are used, from 8 to 16; microscopes and X-ray machines often use 12.
        What a TIFF file says of it counts more.
    on_error : {"raise", "skip"}, default "raise"
        Whether files that cannot be read are all named in one error, or left out with a warning that names them.
    max_pixels : int, default 89,478,485
        Larger images are refused before they are decompressed. Above 178,956,970 Pillow refuses them as well.
    name : str, optional
        What to call the dataset. The folder's name if None.
    labels_per_class : int, optional
        Keep this many training images of each class, copied into memory. All of them if None.
    allow_overlap : bool, default False
        Whether equal images, or images of one group, may lie in the folders of two splits, and equal ones several times in
        the test split without a warning.

    Returns
    -------
    Dataset
        Images are uint8 of shape (n, height, width, 1 or 3), slices of one memory map; labels int64 of shape (n,); ``paths``
        of a split are relative to the folder. Classes are sorted by name, and the images of a split by path.

    Raises
    ------
    DataError
        If there are no classes, too few images, files that cannot be read, equal images in two split folders, folders
        named like splits among others, or a link that leads in a circle.
    InvalidInputError
        If an option makes no sense.

    Warns
    -----
    TransferKitWarning
        Once in a program, with all that there is to say of the folder: skipped files, images that are left out, an image in
        two classes, equal test images, a split that lacks a class, values that use few of their bits.

    See Also
    --------
    transferkit.load_image_table : Files and classes from a table.

    Notes
    -----
    Images that are equal pixel for pixel after resizing always come into the same split, so that no test image was
    trained on. An image that lies in two classes stays in the training split. A split may be a few images smaller for it.

    A class gives at least one image to each split where it has enough; chance (`split_seed`) decides which classes get
    the images that cannot be shared out evenly.

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
    >>> data = tk.load_image_folder("flowers", image_size=32)
    >>> print(data)
    Dataset('flowers', 2 classes, 32x32x3, train 28, validation 6, test 6)
           train  validation  test
    class
    daisy     14           3     3
    rose      14           3     3
    >>> data.test.paths[0]
    'daisy/12.png'
    """
    decoding = check_decoding(image_size, color_mode, fit, max_pixels, bit_depth)
    listing = list_images(files.as_path(path, "path"), split_folders=split_folders)
    if groups is not None:
        listing = _with_groups(listing, groups)
    return load_listing(
        listing,
        decoding,
        Plan(validation, test, splits.check_seed(split_seed), bool(allow_overlap)),
        on_error=on_error,
        name=name or listing.root.name,
        seed=seed,
        labels_per_class=labels_per_class,
    )


def _with_groups(listing: Listing, groups: Callable[[str], Any] | Mapping[str, Any]) -> Listing:
    """Return a listing whose images know their group."""
    paths = [image.path for image in listing.images]
    if callable(groups):
        named = [groups(path) for path in paths]
    elif hasattr(groups, "items"):  # a pandas Series too
        table = named_as({str(path): group for path, group in groups.items()}, paths)
        missing = [show_path(path) for path in paths if path not in table]
        if missing:
            raise InvalidInputError(f"groups has no entry for {len(missing)} images: {list_some(missing, most=5)}.")
        named = [table[path] for path in paths]
    else:
        raise InvalidInputError(
            "groups must be a function of an image's path, or a mapping from paths to groups; got"
            f" {type(groups).__name__}. A column of a table is given to load_image_table."
        )
    numbers = splits.number_groups(np.fromiter(named, dtype=object, count=len(named)), len(paths)).tolist()
    images = [replace(image, group=number) for image, number in zip(listing.images, numbers, strict=True)]
    return replace(listing, images=tuple(images))


def load_listing(
    listing: Listing,
    decoding: Decoding,
    plan: Plan,
    *,
    on_error: Literal["raise", "skip"],
    name: str,
    seed: int,
    labels_per_class: int | None,
) -> Dataset:
    """Decode what was listed, or find it in the cache, and make a dataset of it.

    Raises
    ------
    DataError
        If files cannot be read, there are too few images, or the cache cannot be written.
    InvalidInputError
        If an option makes no sense.
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    splits.check_seed(seed)
    if labels_per_class is not None:
        splits.check_labels_per_class(labels_per_class)
    check_plan(listing, plan)
    target = files.cache_home() / "folders" / _store_key(listing, decoding, plan)
    try:
        store = _still_true(read_kept(target), listing, decoding)
        if store is None:
            what = f"the decoded images of {show_path(listing.root)}"
            with files.lock(target, what=what, timeout_seconds=files.LONG_WAIT_SECONDS):
                store = _still_true(read_kept(target), listing, decoding)
                if store is None:
                    files.remove_leftovers(target)
                    _write_store(target, listing, decoding, plan, on_error=on_error)
                    store = read_kept(target)
    except TransferKitError:
        raise
    except OSError as error:
        raise DataError(
            f"the decoded images cannot be kept in {target.parent} ({error.strerror or error})."
            " Free some space there, or set TRANSFERKIT_HOME to another folder."
        ) from error
    if store is None:
        raise DataError(f"{target} was changed while it was read. Run it again.")
    if store.skipped and on_error == "raise":
        raise DataError(_describe_failures(store.skipped, len(listing.images)))
    dataset = _make_dataset(listing, decoding, store, name=name, plan=plan)
    return dataset if labels_per_class is None else dataset.subset(labels_per_class, seed=seed)


def load_image(
    path: str | os.PathLike[str],
    *,
    image_size: int | tuple[int, int],
    color_mode: ColorMode = "rgb",
    fit: Fit = "stretch",
    bit_depth: int = 16,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Load one image, decoded as `load_image_folder` decodes those of a folder, to predict it.

    Parameters
    ----------
    path : path-like
        A file of a format that Pillow reads.
    image_size : int or tuple of int
        Height and width, as `load_image_folder` was given them; one number for squares.
    color_mode : {"rgb", "grayscale"}, default "rgb"
        As `load_image_folder` was given it.
    fit : {"stretch", "crop", "pad"}, default "stretch"
        As `load_image_folder` was given it.
    bit_depth : int, default 16
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
    decoding = check_decoding(image_size, color_mode, fit, max_pixels, bit_depth)
    file = files.as_path(path, "path")
    try:
        return decode_image(file, decoding).array
    except DataError as error:
        raise DataError(f"{file} cannot be read: {error}") from None


FITS: Final = get_args(Fit)


def check_choice(name: str, value: Any, allowed: Sequence[object]) -> Any:
    """Return `value` if it is one of `allowed`, or raise `InvalidInputError`."""
    if value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}.")
    return value


def check_decoding(
    image_size: object, color_mode: Any, fit: Any, max_pixels: object = MAX_PIXELS, bit_depth: object = 16
) -> Decoding:
    """Return how files are decoded, or raise `InvalidInputError` for an option that makes no sense."""
    pair = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(pair) != 2 or not all(splits.is_int(side) and 1 <= side <= 16_384 for side in pair):
        raise InvalidInputError(f"image_size must be an int, or (height, width), from 1 to 16384; got {image_size!r}.")
    check_choice("color_mode", color_mode, ("rgb", "grayscale"))
    check_choice("fit", fit, FITS)
    if not splits.is_int(max_pixels) or max_pixels < 1:
        raise InvalidInputError(f"max_pixels must be an int of 1 or more; got {max_pixels!r}.")
    if not splits.is_int(bit_depth) or not 8 <= bit_depth <= 16:
        raise InvalidInputError(f"bit_depth must be an int from 8 to 16; got {bit_depth!r}.")
    return Decoding(int(pair[0]), int(pair[1]), color_mode, fit, int(max_pixels), int(bit_depth))


# The store in the cache


def _store_key(listing: Listing, decoding: Decoding, plan: Plan) -> str:
    """Return a name for the result, from everything that determines it except the files' content."""

    def state(image: ImageFile) -> tuple[object, ...]:
        try:
            status = (listing.root / image.path).stat()
        except OSError:  # a broken link; decoding it names the file
            return (image.path, None)
        facts = (image.path, image.label, image.split, image.group)
        return (*facts, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    facts = [_SCHEMA, decoder_versions(), str(listing.root), listing.class_names, asdict(decoding), asdict(plan)]
    text = json.dumps(
        [facts, [state(image) for image in listing.images]], default=float
    )  # ASCII, so that any file name will do
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _still_true(store: KeptImages | None, listing: Listing, decoding: Decoding) -> KeptImages | None:
    """Return what was kept, unless a file that could not be read can be now: a network drive has hiccups, and Pillow has switches."""
    if store is None or not store.skipped:
        return store
    for image in listing.images:
        if show_path(image.path) in store.skipped:
            try:
                decode_image(listing.root / image.path, decoding)
            except DataError:
                continue
            return None
    return store


def _write_store(
    target: Path, listing: Listing, decoding: Decoding, plan: Plan, *, on_error: Literal["raise", "skip"]
) -> None:
    _check_space(target, len(listing.images), decoding)
    with files.atomic_folder(target, replace=True, what="the decoded images") as folder:
        decoded_path = folder / "decoded.tmp"
        with decoded_path.open("wb") as stream:
            digests, failures, bits = decode_all(listing, decoding, stream)
        if failures and on_error == "raise":
            raise DataError(_describe_failures(failures, len(listing.images)))
        good = [(file, digest) for file, digest in zip(listing.images, digests, strict=True) if digest]
        if not good:
            raise DataError(_describe_failures(failures, len(listing.images)))
        members = [file for file, _ in good]
        equal = checks.group_equal([digest for _, digest in good])
        parts = divide(members, listing, plan, equal)
        write_kept(
            folder,
            decoded_path,
            (len(members), *decoding.shape),
            parts,
            np.array([file.label for file in members], dtype=np.int64),
            paths=[show_path(members[position].path) for position in np.concatenate(parts)],
            skipped={show_path(path): reason for path, reason in failures.items()},
            conflicts=find_conflicts(members, equal),
            groups=[members[position].group for position in np.concatenate(parts)]
            if members[0].group is not None
            else None,
            bits=[len(bits), max(bits)] if bits else None,
        )
        decoded_path.unlink()


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


# The dataset


def _make_dataset(listing: Listing, decoding: Decoding, store: KeptImages, *, name: str, plan: Plan) -> Dataset:
    ends = np.cumsum(store.split_sizes)
    parts = [
        Split(
            store.images[end - size : end],
            store.labels[end - size : end],
            store.paths[end - size : end],
            None if store.groups is None else store.groups[end - size : end],
        )
        for end, size in zip(ends, store.split_sizes, strict=True)
    ]
    remarks = [*listing.remarks, *_describe_store(store, listing, parts)]
    repeated = None if plan.allow_overlap else checks.describe_duplicates(checks.group_equal_images(parts[2].images))
    say(f"{show_path(listing.root)}: ", remarks if repeated is None else [*remarks, repeated])
    source = (
        f"folder {name!r}: {len(store.labels)} images, {len(store.skipped)} skipped, {listing.num_ignored} other files,"
        f" {listing.num_hidden} hidden"
    )
    train, validation, test = parts
    dataset = Dataset(
        name,
        listing.class_names,
        train,
        validation,
        test,
        source=source,
        split_seed=plan.seed,
        decoding=decoding.describe(),
    )
    dataset._known.update(store.fingerprints)  # just computed, of a file that only transferkit writes
    return dataset


def _describe_store(store: KeptImages, listing: Listing, parts: Sequence[Split]) -> Iterator[str]:
    """Yield what a user should know of decoded images."""
    if store.skipped:
        listed = list_some(f"{path} ({reason})" for path, reason in store.skipped.items())
        yield f"skipped {len(store.skipped)} of {len(listing.images)} image files that cannot be read: {listed}"
    if store.conflicts:
        count = len(store.conflicts)
        yield (
            f"{count} image{' lies' if count == 1 else 's lie'} in more than one class, so some labels are wrong:"
            f" {list_some(store.conflicts)}. Remove the wrong copies"
        )
    if store.bits is not None and store.bits[1] <= _FEW_BITS:
        yield (
            f"{store.bits[0]} images have 16 bits a pixel and use only {store.bits[1]} of them, so they come out dark. If your"
            f" camera has 12 bits, pass bit_depth=12 (grey files), or save them with 8 bits"
        )
    for split, split_name in zip(parts[1:], ("validation", "test"), strict=True):
        missing = checks.describe_missing_classes(split.labels, listing.class_names, name=split_name)
        if missing:
            yield missing
