"""Checks of images and labels, each with the cure in its message."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import DataError, list_some, warn

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

_PIXELS = "pass uint8 pixels 0..255: models of transferkit rescale by themselves, and one of your own begins with keras.layers.Rescaling(1 / 255)"


def _as_array(values: Any, *, name: str) -> NDArray[Any]:
    if isinstance(values, np.memmap):  # stays one, to be read piece by piece
        return values
    if np.ma.is_masked(values):
        raise DataError(
            f"{name} are a masked array with {int(np.ma.getmaskarray(values).sum()):,} masked values, and a mask says nothing to a model. Leave those"
            " images out, or pass the array's .filled(value)."
        )
    try:
        return np.asarray(values)
    except ValueError:  # rows of unequal shape
        return np.array([None], dtype=object)
    except Exception as error:  # noqa: BLE001 - tensors of other libraries raise what they like
        raise DataError(f"{name} cannot be turned into a NumPy array ({type(error).__name__}: {error}).") from None


def _refuse_floats(images: NDArray[Any], *, name: str) -> None:
    finite = np.isfinite(images)
    if not finite.all():
        first = np.argwhere(~finite)[0]
        raise DataError(
            f"{name} hold {images[tuple(first)]} at index {tuple(int(i) for i in first)};"
            " expected pixels 0..255. Remove or repair those images."
        )
    low, high = float(images.min()), float(images.max())
    if low < 0:
        raise DataError(f"{name} look already normalised: {images.dtype} from {low:g} to {high:g}; {_PIXELS}.")
    if high <= 1:
        raise DataError(
            f"{name} look already scaled: {images.dtype} from {low:g} to {high:g}; {_PIXELS}"
            " (np.rint(images * 255).astype('uint8') undoes a division by 255)."
        )
    if high > 255:
        raise DataError(f"{name} go up to {high:g}; expected pixels 0..255. Rescale them to uint8 first.")
    raise DataError(
        f"{name} are {images.dtype} from {low:g} to {high:g}; expected uint8. Pass np.rint(images).astype('uint8')."
    )


def _refuse_dtype(images: NDArray[Any], *, name: str) -> None:
    kind = images.dtype.kind
    if kind == "O" and images.ndim == 0:
        raise DataError(
            f"{name} are of type {type(images.item()).__name__}; expected an array (n, height, width, channels). Of a tf.data.Dataset of "
            "batches, np.concatenate([images for images, _ in dataset]) makes one."
        )
    shapes = {getattr(image, "shape", ()) for image in images.flat} if kind == "O" else set()
    if len(shapes) == 1 and shapes != {()}:
        raise DataError(
            f"{name} are an array of {len(images):,} arrays; expected one array of shape (n, height, width, channels). Pass np.stack(list(images))."
        )
    if kind == "O":
        raise DataError(
            f"{name} have different sizes (an object array or a ragged list); expected one array of shape"
            " (n, height, width, channels). Resize them to one size first, or use load_image_folder."
        )
    if kind == "b":
        raise DataError(f"{name} are bool; expected uint8. Pass images.astype('uint8') * 255.")
    if kind == "f":
        _refuse_floats(images, name=name)
    if kind in "iu":
        low, high = int(images.min()), int(images.max())
        if low < 0 or high > 255:
            raise DataError(
                f"{name} are {images.dtype} from {low} to {high}; expected uint8 pixels 0..255. Rescale first."
            )
        raise DataError(f"{name} are {images.dtype}; expected uint8. Pass images.astype('uint8').")
    raise DataError(f"{name} are of dtype {images.dtype}; expected uint8 pixels 0..255.")


def check_images(
    images: Any, *, name: str, input_shape: Sequence[int | None] | None = None, allow_empty: bool = False
) -> Images:
    """Return images as one uint8 array of shape (n, height, width, channels), or say what is wrong with them.

    Nothing is converted silently: floats, other integers and missing axes are refused with the expression that cures
    them. Memory maps are not read, read-only and non-contiguous arrays are fine, nothing is copied.

    Parameters
    ----------
    images : array_like of uint8, shape (n, height, width, channels)
        Pixels from 0 to 255.
    name : str
        What to call them in errors, for example ``"training images"``.
    input_shape : sequence of int or None, optional
        Height, width and channels that a model expects; None stands for any. Not checked if not given.
    allow_empty : bool, default False
        Whether n may be 0.

    Returns
    -------
    ndarray of uint8, shape (n, height, width, channels)
        The same memory.

    Raises
    ------
    DataError
        If anything is otherwise.

    Examples
    --------
    >>> check_images(np.zeros((2, 28, 28, 1), np.uint8), name="images").shape
    (2, 28, 28, 1)
    >>> check_images(np.zeros((2, 28, 28), np.uint8), name="images")
    Traceback (most recent call last):
    transferkit.errors.DataError: images need 4 axes (n, height, width, channels); got shape (2, 28, 28). For grey images pass images[..., None].
    """
    array = _as_array(images, name=name)
    shape = tuple(int(size) for size in array.shape)
    wanted = f"{name} need 4 axes (n, height, width, channels); got shape {shape}."
    if array.dtype != object:
        if array.ndim == 3:
            one = " For one colour image pass images[None]." if shape[2] in (1, 3, 4) else ""
            raise DataError(f"{wanted} For grey images pass images[..., None].{one}")
        if array.ndim == 2:
            side = round(shape[1] ** 0.5)
            flat = (
                f"images.reshape(-1, {side}, {side}, 1)" if side * side == shape[1] and side > 1 else "images.reshape"
            )
            raise DataError(f"{wanted} For flattened images pass {flat}; for one grey image images[None, ..., None].")
        if array.ndim != 4:
            raise DataError(wanted)
        if not len(array):
            if allow_empty and array.dtype == np.uint8:
                return array
            if not allow_empty:
                raise DataError(f"{name} are empty: shape {shape}.")
        if 0 in shape[1:]:
            raise DataError(f"{name} have no pixels: shape {shape}.")
        if shape[1] in (1, 3) and shape[3] > 4:
            raise DataError(
                f"{name} look channels-first: shape {shape}; expected (n, height, width, channels)."
                " Pass images.transpose(0, 2, 3, 1)."
            )
    if array.dtype != np.uint8:
        if not array.size:
            raise DataError(f"{name} are of dtype {array.dtype}; expected uint8.")
        _refuse_dtype(array, name=name)
    if input_shape is not None:
        check_fits_model(shape[1:], input_shape, name=name)
    return array


def warn_if_scaled_before_cast(images: Images, *, name: str) -> None:
    """Warn if all pixels are 0 or 1, as after ``(images / 255).astype("uint8")``."""
    highest = 0
    for start in range(0, len(images), 1024):  # almost always decided by the first piece
        highest = max(highest, int(images[start : start + 1024].max()))
        if highest > 1:
            return
    if highest == 1:
        warn(
            f"{name} hold only 0 and 1. If they were divided by 255 before they became uint8, pass the original pixels."
        )


def check_fits_model(shape: Sequence[int], input_shape: Sequence[int | None], *, name: str) -> None:
    """Raise `DataError` unless images of `shape` fit a model of `input_shape`, both (height, width, channels)."""
    expected = tuple(input_shape)
    if len(expected) == len(shape) and all(want in (None, have) for have, want in zip(shape, expected, strict=True)):
        return
    raise DataError(
        f"{name} have shape {tuple(shape)}, but the model takes {expected}. Build the model with input_shape={tuple(shape)}."
    )


ONE_LABEL = (
    "Multi-label data are not supported: transferkit gives each image exactly one class. Train one model per label, each on"
    " labels of 0 and 1, or use Keras with sigmoid outputs and binary cross-entropy."
)


def _is_list(label: object) -> bool:
    return isinstance(label, (list, tuple, set, frozenset))


def _refuse_rows(labels: NDArray[Any], *, name: str) -> None:
    """Say what labels with several columns are: one-hot, multi-hot, probabilities, or something else."""
    if labels.dtype.kind in "biuf" and len(labels):
        sums = labels.sum(axis=1, dtype=float)
        whole = bool(np.isin(labels, (0, 1)).all())
        if whole and (sums == 1).all():
            raise DataError(f"{name} look one-hot: shape {labels.shape}; expected (n,). Pass labels.argmax(axis=1).")
        if whole:
            raise DataError(
                f"{name} look multi-label (multi-hot): shape {labels.shape}, rows with {sums.min():.0f} to {sums.max():.0f}"
                f" ones. {ONE_LABEL}"
            )
        if np.allclose(sums, 1) and (labels >= 0).all():
            raise DataError(
                f"{name} look like probabilities: shape {labels.shape}, rows that sum to 1; expected class indices (n,)."
                " Pass labels.argmax(axis=1) if the most probable class is the true one."
            )
    raise DataError(
        f"{name} must have one axis (n,), a class index for each image; got shape {labels.shape}. Several numbers for an"
        " image (regression, boxes, key points) are not supported."
    )


def _refuse_label_dtype(labels: NDArray[Any], *, name: str) -> None:
    kind = labels.dtype.kind
    if kind == "f":
        bad = np.flatnonzero(~np.isfinite(labels))
        if len(bad):
            raise DataError(
                f"{name} hold {labels[bad[0]]} at index {bad[0]}; expected class indices. Drop those images."
            )
        if (labels != np.round(labels)).any():
            raise DataError(
                f"{name} look like regression targets: {labels.dtype} such as {labels[labels != np.round(labels)][0]:g}; expected"
                " class indices. Regression is not supported: sort the images into classes, for example with numpy.digitize."
            )
        raise DataError(f"{name} are {labels.dtype}; expected integers. Pass labels.astype('int64').")
    if kind == "b":
        raise DataError(f"{name} are bool; expected integers. Pass labels.astype('int64').")
    if kind in "OUST":
        raise DataError(
            f"{name} are not numbers (first: {labels.flat[0]!r}); expected class indices 0, 1, ...."
            " class_names, labels = np.unique(labels, return_inverse=True) makes them."
        )
    raise DataError(f"{name} are of dtype {labels.dtype}; expected integers.")


def _refuse_range(labels: NDArray[Any], num_classes: int, *, name: str) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low == 1 and high == num_classes:
        raise DataError(f"{name} look 1-based: from 1 to {high}; expected 0 to {num_classes - 1}. Pass labels - 1.")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    hint = " -1 and 255 often mean 'no label': drop those images." if {low, high} & {-1, 255} else ""
    raise DataError(
        f"{name} hold {labels[outside[0]]} at index {outside[0]} ({len(outside)} such);"
        f" expected 0 to {num_classes - 1} for {num_classes} classes.{hint}"
    )


def check_labels(labels: Any, *, num_classes: int | None, name: str, length: int | None = None) -> Labels:
    """Return labels as an int64 vector of class indices, or say what is wrong with them.

    Parameters
    ----------
    labels : array_like of int, shape (n,) or (n, 1)
        Class indices from 0.
    num_classes : int or None
        How many classes there are. If None, it is not checked that labels stay below it.
    name : str
        What to call them in errors, for example ``"training labels"``.
    length : int, optional
        How many images there are. Not checked if not given.

    Returns
    -------
    ndarray of int64, shape (n,)
        The same values.

    Raises
    ------
    DataError
        If they are one-hot, 1-based, negative, too large, strings, floats, bools, or of another length.

    Examples
    --------
    >>> check_labels([0, 2, 1], num_classes=3, name="labels")
    array([0, 2, 1])
    >>> check_labels([1, 2, 3], num_classes=3, name="labels")
    Traceback (most recent call last):
    transferkit.errors.DataError: labels look 1-based: from 1 to 3; expected 0 to 2. Pass labels - 1.
    """
    array = _as_array(labels, name=name)
    if array.ndim == 2 and array.shape[1] > 1:
        _refuse_rows(array, name=name)
    if array.dtype == object and isinstance(labels, Sequence | np.ndarray) and any(map(_is_list, labels)):
        raise DataError(f"{name} look multi-label: an image has a list of labels. {ONE_LABEL}")
    if array.ndim == 2:  # CIFAR's column of labels: the meaning is clear
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{name} must have one axis (n,); got shape {array.shape}.")
    if length is not None and len(array) != length:
        raise DataError(f"{name} are {len(array):,}, but there are {length:,} images. Pass one label per image.")
    if not len(array):
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        _refuse_label_dtype(array, name=name)
    if int(array.min()) < 0 or (num_classes is not None and int(array.max()) >= num_classes):
        _refuse_range(array, num_classes if num_classes is not None else int(array.max()) + 1, name=name)
    if int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{name} hold {int(array.max())}, which no int64 can hold; expected class indices 0, 1, ....")
    return array.astype(np.int64, copy=False)


def check_class_names(class_names: Iterable[Any]) -> tuple[str, ...]:
    """Return class names as a tuple of two or more distinct non-empty strings, or raise `DataError`."""
    if isinstance(class_names, str):
        raise DataError(f"class_names must be a list of strings; got the string {class_names!r}.")
    names = tuple(str(name) if isinstance(name, str) else name for name in class_names)  # no numpy.str_
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise DataError(f"class_names must be non-empty strings; got {wrong[0]!r}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"class_names hold {list_some(map(repr, twice), most=5)} more than once. Give each class its own name."
        )
    if len(names) < 2:
        raise DataError(
            f"there is one class only ({list_some(names, most=5) or 'none'}); classification needs at least two."
        )
    return names


def infer_num_classes(labels: Labels, *, name: str) -> int:
    """Return how many classes training labels have, which must be 0, 1, ... without a gap; else raise `DataError`."""
    values = np.unique(labels)
    if np.array_equal(values, np.arange(len(values))):
        return len(values)
    if values[0] == 1 and np.array_equal(values, np.arange(1, len(values) + 1)):
        raise DataError(
            f"{name} look 1-based: from 1 to {len(values)}; expected 0 to {len(values) - 1}. Pass labels - 1."
        )
    hint = " 255 often means 'no label': drop those images." if values[-1] == 255 else ""
    raise DataError(
        f"{name} have gaps: {len(values)} different values, the last {values[-1]}; expected 0 to {len(values) - 1}.{hint}"
        " Pass class_names if a class is missing, or np.unique(labels, return_inverse=True)[1]."
    )


def check_classes_present(labels: Labels, class_names: Sequence[str], *, name: str, required: bool) -> None:
    """Raise `DataError` (or warn, if not `required`) when a class has no image in a split that is not empty."""
    missing = describe_missing_classes(labels, class_names, name=name)
    if missing and required:
        raise DataError(
            f"{missing.partition(', so')[0]}. Add images of it, or leave the class out of class_names and the labels."
        )
    if missing:
        warn(f"{missing}.")


def describe_missing_classes(labels: Labels, class_names: Sequence[str], *, name: str) -> str | None:
    """Say which classes have no image in a split that is not empty; None if all have."""
    if not len(labels):
        return None
    counts = np.bincount(labels, minlength=len(class_names))
    empty = [repr(name) for name, count in zip(class_names, counts, strict=True) if not count]
    return (
        f"the {name} split has no image of class {list_some(empty, most=5)}, so nothing is measured for it"
        if empty
        else None
    )


def digest_image(image: Images) -> bytes:
    """Return 16 bytes that are equal for two images of one shape if and only if all their pixels are."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _digests(images: Images) -> list[bytes]:
    return [digest_image(image) for image in images]


def group_equal(digests: Sequence[bytes]) -> NDArray[np.int64] | None:
    """Return a number from 0 for each digest, the same for equal ones; None if all are different."""
    numbers: dict[bytes, int] = {}
    groups = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], dtype=np.int64)
    return groups if len(numbers) < len(groups) else None


def group_equal_images(images: Images) -> NDArray[np.int64] | None:
    """Return a number from 0 for each image, the same for equal ones; None if all are different."""
    return group_equal(_digests(images))


def describe_duplicates(groups: NDArray[np.integer] | None, *, name: str = "test") -> str | None:
    """Say how many images of a split equal another one of it; None if none does."""
    if groups is None or not len(groups):
        return None
    sizes = np.bincount(groups)
    repeated = sizes[sizes > 1]
    if not len(repeated):
        return None
    return (
        f"{repeated.sum():,} of {len(groups):,} {name} images equal another {name} image pixel by pixel ({len(repeated):,} different"
        " pictures), so each of them counts several times. Remove the copies"
    )


def find_overlap(images: Images, reference: Images) -> list[tuple[int, int]]:
    """Return (index, index in `reference`) of each image that also lies, pixel for pixel, in `reference`."""
    if not len(images) or not len(reference):
        return []
    places: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(reference)):
        places.setdefault(digest, index)
    return [(index, places[digest]) for index, digest in enumerate(_digests(images)) if digest in places]


def check_no_overlap(images: Images, reference: Images, *, name: str, reference_name: str) -> None:
    """Raise `DataError` if an image of one split also lies in another."""
    pairs = find_overlap(images, reference)
    if not pairs:
        return
    if len(pairs) == len(images):
        whole = f" All of the {name} split lies in the {reference_name} split: was the same array given twice?"
    else:
        whole = ""
    listed = list_some((f"{name}[{index}] = {reference_name}[{other}]" for index, other in pairs), most=5)
    raise DataError(
        f"{len(pairs):,} of {len(images):,} {name} images are also {reference_name} images ({listed}), so the result would"
        f" be too good.{whole} Remove them from one side, or pass allow_overlap=True."
    )
