"""Dataset: images and labels in three splits, checked once and then trusted."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.description import DatasetRecord
from transferkit.errors import InvalidInputError

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Split(NamedTuple):
    """Images and their labels; unpacks like the pairs of ``keras.datasets``.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, channels)
        Pixels from 0 to 255, in memory or a memory map.
    labels : ndarray of int64, shape (n,)
        Class indices.

    Examples
    --------
    >>> import numpy as np
    >>> import transferkit as tk
    >>> split = tk.Split(np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 1, 1, 0]))
    >>> images, labels = split
    >>> split.images.shape
    (4, 28, 28, 1)
    """

    images: Images
    labels: Labels


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False  # a dataset's fingerprint must stay true
    return view


def take(split: Split, indices: NDArray[np.integer]) -> Split:
    """Return the images and labels at `indices`, copied into memory."""
    return Split(_read_only(split.images[indices]), _read_only(split.labels[indices]))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels in three splits, with the names of the classes.

    Unpacks like the loaders of Keras, with the validation split in between::

        (x_train, y_train), (x_val, y_val), (x_test, y_test) = dataset

    The validation split chooses (the epoch, the recipe); the test split only measures. The arrays are read-only views.
    Make one with `from_arrays`, `transferkit.load_fashion_mnist`, `transferkit.load_mnist` or
    `transferkit.load_image_folder`; those check, this class trusts.

    Parameters
    ----------
    name : str
        What the dataset is called.
    class_names : tuple of str
        One name per class, in the order of the labels.
    train, validation, test : Split
        Images, uint8 of shape (n, height, width, channels), and labels, int64 of shape (n,). A split without images
        has arrays of length 0.
    labels_per_class : int, optional
        How many training images of each class were kept. All of them if None.
    source : str, default ""
        Where the images come from, in words.
    split_seed : int, default 0
        The seed that made the splits.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> (x_train, y_train), (x_val, y_val), (x_test, y_test) = data
    >>> x_train.shape, y_val.shape
    ((100, 28, 28, 1), (100,))
    >>> data.subset(3)
    Dataset('fashion-mnist', 10 classes, 28x28x1, train 30, validation 100, test 10,000)
    >>> data.describe()["labels_per_class"]
    10
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    labels_per_class: int | None = None
    source: str = ""
    split_seed: int = 0

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.validation, self.test))

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return (
            f"Dataset({self.name!r}, {self.num_classes} classes, {height}x{width}x{channels},"
            f" train {len(self.train.labels):,}, validation {len(self.validation.labels):,},"
            f" test {len(self.test.labels):,})"
        )

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the images and labels of each split, in order."""
        names = ("train", "validation", "test")
        return {name: files.sha256_arrays(*split) for name, split in zip(names, self, strict=True)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the class names and all three splits; the same data has the same one wherever it came from."""
        content = json.dumps([self.class_names, self.fingerprints], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    def describe(self) -> DatasetRecord:
        """Return the facts that a `transferkit.Run` records about its data, as plain JSON values.

        Returns
        -------
        dict
            Name, source, fingerprints, sizes, label budget, seed and image shape.
        """
        return {
            "name": self.name,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "train_fingerprint": self.fingerprints["train"],
            "validation_fingerprint": self.fingerprints["validation"],
            "test_fingerprint": self.fingerprints["test"],
            "train_size": len(self.train.labels),
            "validation_size": len(self.validation.labels),
            "test_size": len(self.test.labels),
            "labels_per_class": self.labels_per_class,
            "split_seed": self.split_seed,
            "image_shape": list(self.image_shape),
        }

    def subset(self, labels_per_class: int, *, seed: int = 0) -> "Dataset":
        """Keep the same number of training images of each class; validation and test stay as they are.

        Subsets of one dataset with one seed are nested: the 10 images per class are among the 100 per class.

        Parameters
        ----------
        labels_per_class : int
            How many training images of each class.
        seed : int, default 0
            Decides which ones.

        Returns
        -------
        Dataset
            With ``labels_per_class`` images in each class of ``train``, in their old order.

        Raises
        ------
        InvalidInputError
            If a class has fewer.
        """
        indices = splits.pick_per_class(self.train.labels, labels_per_class, seed=splits.check_seed(seed))
        return replace(self, train=take(self.train, indices), labels_per_class=int(labels_per_class))

    @classmethod
    def from_arrays(
        cls,
        train: tuple[ArrayLike, ArrayLike],
        test: tuple[ArrayLike, ArrayLike],
        validation: tuple[ArrayLike, ArrayLike] | float | None = None,
        *,
        class_names: Iterable[str] | None = None,
        name: str = "dataset",
        seed: int = 0,
        allow_overlap: bool = False,
    ) -> "Dataset":
        """Make a dataset of your own arrays, after checking everything about them.

        Parameters
        ----------
        train, test : tuple of array_like
            Images, uint8 of shape (n, height, width, channels), and labels, int of shape (n,). Memory maps are not
            loaded, and nothing is copied.
        validation : tuple of array_like, int or float, optional
            The pair itself, or how many training images (a count, or a fraction below 1) to take out for it, stratified
            (equal images stay on one side, so it may be a few less). No validation split if None or 0: then nothing can be chosen, and the last epoch of a training counts.
        class_names : iterable of str, optional
            One name per class. ``"0"``, ``"1"``, ... if None.
        name : str, default "dataset"
            What to call it.
        seed : int, default 0
            Decides which training images become validation images.
        allow_overlap : bool, default False
            Whether images may lie, pixel for pixel, in two splits. The check reads all images once.

        Returns
        -------
        Dataset
            With read-only views of the arrays.

        Raises
        ------
        DataError
            If images or labels are not as they should be, a class has no training image, or splits overlap. The
            message names the cure.
        InvalidInputError
            If a split is no pair of images and labels, the splits have images of different shapes, or an option makes no sense.

        Warns
        -----
        TransferKitWarning
            If a class has no validation or test image, or all pixels are 0 or 1.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> images = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
        >>> labels = np.arange(60) % 3
        >>> Dataset.from_arrays(train=(images[:40], labels[:40]), test=(images[40:], labels[40:]), validation=10)
        Dataset('dataset', 3 classes, 8x8x1, train 30, validation 10, test 20)
        """
        split_seed = splits.check_seed(seed)
        names = None if class_names is None else checks.check_class_names(class_names)
        num_classes = len(names) if names else None
        checked = _check_pair(train, name="training", num_classes=num_classes)
        if names is None:
            num_classes = checks.infer_num_classes(checked.labels, name="training labels")
            names = checks.check_class_names(str(index) for index in range(num_classes))
        checks.check_classes_present(checked.labels, names, name="training", required=True)
        checks.warn_if_scaled_before_cast(checked.images, name="training images")
        shape = checked.images.shape[1:]
        held = _check_pair(test, name="test", num_classes=num_classes, shape=shape)
        checks.check_classes_present(held.labels, names, name="test", required=False)
        if not allow_overlap:
            checks.check_no_overlap(held.images, checked.images, name="test", reference_name="training")
        if isinstance(validation, tuple | list):
            chosen = _check_pair(validation, name="validation", num_classes=num_classes, shape=shape, allow_empty=True)
            if not allow_overlap:
                checks.check_no_overlap(chosen.images, checked.images, name="validation", reference_name="training")
                checks.check_no_overlap(held.images, chosen.images, name="test", reference_name="validation")
        else:
            size = splits.resolve_size(0 if validation is None else validation, len(checked.labels), name="validation")
            groups = checks.group_equal_images(checked.images) if size and not allow_overlap else None
            checked, chosen = hold_out_validation(checked, size, seed=split_seed, groups=groups)
            splits.check_held_out(len(chosen.labels), size, name=f"validation={validation!r}")
        checks.check_classes_present(chosen.labels, names, name="validation", required=False)
        checks.check_classes_present(checked.labels, names, name="training", required=True)
        return cls(name, names, checked, chosen, held, source="arrays", split_seed=split_seed)


def _check_pair(
    pair: Any, *, name: str, num_classes: int | None, shape: tuple[int, ...] | None = None, allow_empty: bool = False
) -> Split:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InvalidInputError(f"{name} data must be a pair (images, labels); got {type(pair).__name__}.")
    images = checks.check_images(pair[0], name=f"{name} images", allow_empty=allow_empty)
    if shape is not None and images.shape[1:] != shape:
        raise InvalidInputError(
            f"{name} images have shape {images.shape[1:]}, but training images have {shape}. Bring them to one size."
        )
    labels = checks.check_labels(pair[1], num_classes=num_classes, name=f"{name} labels", length=len(images))
    return Split(_read_only(images), _read_only(labels))


def hold_out_validation(
    train: Split, size: int, *, seed: int, groups: NDArray[np.integer] | None = None
) -> tuple[Split, Split]:
    """Take a stratified validation split out of the training split; nothing is copied if `size` is 0."""
    if not size:
        return train, Split(train.images[:0], train.labels[:0])
    kept, held = splits.split_holdout(train.labels, size, seed=seed, groups=groups)
    return take(train, kept), take(train, held)
