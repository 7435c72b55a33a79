"""Dataset: images and labels in three splits, checked once and then trusted."""

import hashlib
import html
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.description import DatasetRecord, DecodingRecord
from transferkit.errors import InvalidInputError, warn
from transferkit.progress import printable

if TYPE_CHECKING:
    import pandas as pd

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

_SHOWN_CLASSES = 24


class _Pair(NamedTuple):
    images: Images
    labels: Labels


class Split(_Pair):
    """Images and their labels; unpacks like the pairs of ``keras.datasets``.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, channels)
        Pixels from 0 to 255, in memory or a memory map.
    labels : ndarray of int64, shape (n,)
        Class indices.
    paths : sequence of str, optional
        The file of each image, relative to the folder that was loaded. None for images that are not from files.
    groups : ndarray of int, shape (n,), optional
        Equal numbers mark images that belong together, for example photos of one object.

    Examples
    --------
    >>> import numpy as np
    >>> import transferkit as tk
    >>> split = tk.Split(np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 1, 1, 0]))
    >>> images, labels = split
    >>> split
    Split(4 images, 28x28x1)
    """

    paths: tuple[str, ...] | None
    groups: NDArray[np.int64] | None

    def __new__(
        cls,
        images: Images,
        labels: Labels,
        paths: Iterable[str] | None = None,
        groups: NDArray[np.integer] | None = None,
    ) -> Self:
        """Make a split; the pair is what it unpacks to."""
        split = super().__new__(cls, images, labels)
        split.paths = None if paths is None else tuple(paths)
        split.groups = None if groups is None else np.asarray(groups, dtype=np.int64)
        return split

    def __repr__(self) -> str:
        shape = "x".join(map(str, np.shape(self.images)[1:]))
        return f"Split({len(self.labels):,} images, {shape})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"  # not the arrays, as of any tuple

    def clusters(self) -> NDArray[np.int64]:
        """Return a number for each image, the same for images of one group and for images that are equal pixel by pixel.

        Such images are no independent evidence. All images are read once.

        Returns
        -------
        ndarray of int64, shape (n,)
            Numbers from 0, in order of first appearance.

        Examples
        --------
        >>> images = np.zeros((4, 8, 8, 1), np.uint8)
        >>> images[2] = 255
        >>> Split(images, np.zeros(4, np.int64)).clusters()
        array([0, 0, 1, 0])
        """
        equal = checks.group_equal_images(self.images)
        return splits.merge_groups(len(self.labels), equal, self.groups)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False  # a dataset's fingerprint must stay true
    return view


def _never_changes(array: NDArray[Any]) -> bool:
    """Whether the memory of an array can be written through no other one: the caller may keep what a view is of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return not array.flags.writeable and isinstance(array.base, bytes | NoneType)


def _own_copy(array: NDArray[Any], indices: NDArray[np.integer]) -> NDArray[Any]:
    copy = array[indices]
    copy.flags.writeable = False
    return copy


def take(split: Split, indices: NDArray[np.integer]) -> Split:
    """Return the images, labels, paths and groups at `indices`, copied into memory."""
    return Split(
        _own_copy(split.images, indices),
        _own_copy(split.labels, indices),
        None if split.paths is None else [split.paths[index] for index in indices],
        None if split.groups is None else split.groups[indices],
    )


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
    decoding : DecodingRecord, optional
        How files became these images. None for images that are not from files.

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
    decoding: DecodingRecord | None = None

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.validation, self.test))

    def __reduce__(self) -> tuple[Any, ...]:  # what is known is not known of arrays that anybody can write again
        return type(self), tuple(getattr(self, one.name) for one in fields(self))

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return printable(
            f"{type(self).__name__}({self.name!r}, {self.num_classes} classes, {height}x{width}x{channels},"
            f" train {len(self.train.labels):,}, validation {len(self.validation.labels):,},"
            f" test {len(self.test.labels):,})"
        )

    def __str__(self) -> str:
        return printable(f"{self!r}\n{self.class_counts().to_string(max_rows=_SHOWN_CLASSES)}")

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.class_counts().to_html(max_rows=_SHOWN_CLASSES)}"

    def class_counts(self) -> "pd.DataFrame":
        """Return how many images of each class are in each split.

        Returns
        -------
        DataFrame
            One row a class; columns ``train``, ``validation``, ``test``.

        Examples
        --------
        >>> import transferkit as tk
        >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
        >>> data.class_counts().loc["Bag"].tolist()
        [10, 10, 1000]
        """
        import pandas as pd

        counts = [np.bincount(split.labels, minlength=self.num_classes) for split in self]
        columns = dict(zip(("train", "validation", "test"), counts, strict=True))
        return pd.DataFrame(columns, index=pd.Index(self.class_names, name="class"))

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the images and labels of each split, in order; of what they hold now, if they are yours to change."""
        return {
            name: self._of_content(name, split, lambda split: files.sha256_arrays(*split))
            for name, split in zip(("train", "validation", "test"), self, strict=True)
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the class names and all three splits; the same data has the same one wherever it came from."""
        return self._combine(self.fingerprints)

    def _combine(self, fingerprints: dict[str, str]) -> str:
        content = json.dumps([self.class_names, fingerprints], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    @cached_property
    def _known(self) -> dict[str, Any]:
        return {}

    def _of_content(self, name: str, split: Split, compute: Callable[[Split], Any]) -> Any:
        """Return what is computed of a split, once where nobody can change it, else at each use."""
        if name in self._known:
            return self._known[name]
        value = compute(split)
        if _never_changes(split.images) and _never_changes(split.labels):
            self._known[name] = value
        return value

    def describe(self) -> DatasetRecord:
        """Return the facts that a `transferkit.Run` records about its data, as plain JSON values.

        Returns
        -------
        dict
            Name, source, fingerprints, sizes, label budget, seed and image shape. Of images from files also ``decoding``,
            ``validation_files`` and ``test_files``; where images of the test split belong together ``test_clusters``.
        """
        fingerprints = self.fingerprints
        facts: DatasetRecord = {
            "name": self.name,
            "source": self.source,
            "fingerprint": self._combine(fingerprints),
            "train_fingerprint": fingerprints["train"],
            "validation_fingerprint": fingerprints["validation"],
            "test_fingerprint": fingerprints["test"],
            "train_size": len(self.train.labels),
            "validation_size": len(self.validation.labels),
            "test_size": len(self.test.labels),
            "labels_per_class": self.labels_per_class,
            "split_seed": self.split_seed,
            "image_shape": list(self.image_shape),
        }
        if self.decoding is not None:
            facts = facts | {"decoding": self.decoding}
        if self.validation.paths is not None:
            facts = facts | {"validation_files": list(self.validation.paths)}
        if self.test.paths is not None:
            facts = facts | {"test_files": list(self.test.paths)}
        clusters = self.test_clusters
        if len(clusters) and clusters.max() + 1 < len(clusters):
            facts = facts | {"test_clusters": clusters.tolist()}
        return facts

    @property
    def test_clusters(self) -> NDArray[np.int64]:
        """A number for each test image, the same for images that belong together or are equal; see `Split.clusters`."""
        return self._of_content("test_clusters", self.test, Split.clusters)

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
        groups: ArrayLike | None = None,
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
        groups : array_like of int or str, shape (n,), optional
            What each training image belongs to, for example the object on it: images of one group come into one split.
        allow_overlap : bool, default False
            Whether images may lie, pixel for pixel, in two splits, or several times in the test split without a warning. The
            check reads all images once.

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
            If a class has no validation or test image, all pixels are 0 or 1, or test images equal each other.

        Notes
        -----
        From other libraries, with images of one size::

            train, test = tfds.as_numpy(tfds.load("beans", split=["train", "test"], batch_size=-1))
            data = Dataset.from_arrays((train["image"], train["label"]), (test["image"], test["label"]))

            one_split = lambda part: (
                np.stack([np.asarray(row["image"]) for row in part]),
                part["label"],
            )  # Hugging Face
            data = Dataset.from_arrays(one_split(parts["train"]), one_split(parts["test"]))

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
        if groups is not None:
            checked = Split(*checked, groups=splits.number_groups(groups, len(checked.labels)))
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
            equal = checks.group_equal_images(checked.images) if size and not allow_overlap else None
            checked, chosen = hold_out_validation(checked, size, seed=split_seed, groups=equal)
            splits.check_held_out(len(chosen.labels), size, name=f"validation={validation!r}")
        checks.check_classes_present(chosen.labels, names, name="validation", required=False)
        checks.check_classes_present(checked.labels, names, name="training", required=True)
        if not allow_overlap and (repeated := checks.describe_duplicates(checks.group_equal_images(held.images))):
            warn(f"{repeated}.")
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
    """Take a stratified validation split out of the training split; nothing is copied if `size` is 0.

    Images that are equal, by `groups`, or belong together, by the split's own groups, stay on one side.
    """
    if not size:
        return train, Split(train.images[:0], train.labels[:0])
    kept, held = splits.split_holdout(train.labels, size, seed=seed, equal=groups, groups=train.groups)
    return take(train, kept), take(train, held)
