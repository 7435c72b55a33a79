"""Images of the test or validation split that also lie in the training split, pixel for pixel or nearly so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset, Images, Split
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

SPLITS: Final = ("test", "validation")
_SCREEN_SIDE: Final = 16  # pairs are screened on images of at most 16x16 blocks
_PIECE: Final = 32_768  # images of one split that are held as blocks at a time: 100 MB in colour
_ROWS: Final = 1024
_COLUMNS: Final = 8192  # with _ROWS: 32 MB of products at a time
_VERIFY_BYTES: Final = 1 << 25


@dataclass(frozen=True, eq=False, repr=False)
class Duplicates:
    """What `find_duplicates` found; prints as a summary.

    Parameters
    ----------
    table : DataFrame
        One row for each test or validation image that has a training image within `max_distance`: ``split``, ``index`` (in
        that split), ``train_index`` (of the nearest training image, the first of equals), ``distance`` (root mean square over
        all pixels and channels, in grey levels; 0 for equal images), ``label``, ``train_label``; of images from files also
        ``file`` and ``train_file``. In order of the index.
    max_distance : float
        The largest distance that counts.
    sizes : dict of str to int
        Number of images of each split that was searched.
    fingerprints : dict of str to str
        SHA-256 of each of these splits, as in `transferkit.Dataset.fingerprints`.

    Examples
    --------
    >>> import numpy as np
    >>> import transferkit as tk
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
    >>> images[[40, 43]] = images[[7, 8]]  # test images that are also training images
    >>> labels = np.arange(50) % 2
    >>> data = tk.Dataset.from_arrays((images[:40], labels[:40]), (images[40:], labels[40:]), allow_overlap=True)
    >>> found = tk.find_duplicates(data)
    >>> found.indices("test")
    array([0, 3])
    """

    table: "pd.DataFrame"
    max_distance: float
    sizes: dict[str, int]
    fingerprints: dict[str, str]

    def indices(self, split: Literal["test", "validation"] = "test") -> NDArray[np.int64]:
        """Return the places of a split's images that have a duplicate among the training images.

        Parameters
        ----------
        split : {"test", "validation"}, default "test"
            A split that was searched.

        Returns
        -------
        ndarray of int64
            Ascending.

        Raises
        ------
        UnknownNameError
            If that split was not searched.
        """
        if split not in self.sizes:
            raise UnknownNameError("split", split, self.sizes)
        chosen = self.table.loc[self.table["split"] == split, "index"]
        return chosen.to_numpy(dtype=np.int64)

    def __repr__(self) -> str:
        return "\n".join(self._describe(split, size) for split, size in self.sizes.items())

    def _describe(self, split: str, size: int) -> str:
        found = self.table[self.table["split"] == split]
        equal = int((found["distance"] == 0).sum())
        other = int((found["label"] != found["train_label"]).sum())
        return (
            f"{split}: {len(found):,} of {size:,} images lie within {self.max_distance:g} grey levels of a training image"
            f" ({equal:,} equal it; {other:,} carry another label)"
        )


def find_duplicates(
    data: Dataset, *, max_distance: float = 10.0, splits: Sequence[Literal["test", "validation"]] = SPLITS
) -> Duplicates:
    """Find test and validation images that are, exactly or nearly, training images as well.

    A model may know such an image by heart, so its accuracy is too high by what `transferkit.accuracy_without` tells. The
    search is exact: every pair of images whose distance could be within `max_distance` is compared pixel by pixel.

    Parameters
    ----------
    data : Dataset
        Images in their splits.
    max_distance : float, default 10.0
        Largest root mean square difference of two images, in grey levels from 0 to 255, that counts. With 0 only equal
        images are found. A large one takes long, since few pairs can be left out.
    splits : sequence of {"test", "validation"}, default both
        The splits that are searched for images of the training split.

    Returns
    -------
    Duplicates
        With ``table``, ``indices(split)`` and a summary when printed.

    Raises
    ------
    InvalidInputError
        If `data` is not a dataset or `max_distance` is not from 0 to 255.
    UnknownNameError
        If a split is not one of the above.

    Notes
    -----
    Each image is first reduced to at most 16x16 sums over blocks of pixels. By the Cauchy-Schwarz inequality the distance of
    two images is at least that of their sums, each divided by the square root of the block's size; matrix products find the
    pairs that pass, among images whose norms differ by no more than the distance. At most some 300 MB are needed.

    Fashion-MNIST (all 60,000 training images): 19, 107 and 492 of the 10,000 test images lie within 10.72, 14.29 and 17.86 grey
    levels (300, 400 and 500 in Euclidean distance) of a training image, none is equal to one, and 8 of the 492 carry another label
    than it. `examples/duplicates.py` prints this.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
    >>> images[40] = images[7]  # a test image that is also a training image
    >>> labels = np.arange(50) % 2
    >>> data = Dataset.from_arrays((images[:40], labels[:40]), (images[40:], labels[40:]), allow_overlap=True)
    >>> found = find_duplicates(data)
    >>> found
    test: 1 of 10 images lie within 10 grey levels of a training image (1 equal it; 1 carry another label)
    >>> found.table.to_dict("records")[0]["train_index"]
    7
    """
    import pandas as pd

    if not isinstance(data, Dataset):
        raise InvalidInputError(f"data must be a Dataset; got {type(data).__name__}. Dataset.from_arrays makes one.")
    if not 0 <= max_distance <= 255:
        raise InvalidInputError(
            f"max_distance must be from 0 to 255 grey levels, for example 10; got {max_distance!r}."
        )
    if data.train.images.dtype != np.uint8:
        raise InvalidInputError(
            f"{data.name!r} holds features, and distances are those of pixels. Give the dataset of the images."
        )
    splits = cast("Any", (splits,)) if isinstance(splits, str) else splits
    for split in splits:
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
    searched = [split for split in SPLITS if split in splits and len(getattr(data, split).labels)]
    tables = []
    for name in searched:
        split = getattr(data, name)
        squared, places = _nearest_within(split.images, data.train.images, max_distance, name)
        found = np.flatnonzero(places >= 0)
        tables.append(
            pd.DataFrame(
                {
                    "split": pd.Series([name] * len(found), dtype=object),
                    "index": found,
                    "train_index": places[found],
                    "distance": np.sqrt(squared[found] / _pixels(split.images)),
                    "label": split.labels[found],
                    "train_label": data.train.labels[places[found]],
                }
                | _name_files(split, found, "file")
                | _name_files(data.train, places[found], "train_file")
            )
        )
    columns = {"split": object, "index": int, "train_index": int, "distance": float, "label": int, "train_label": int}
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    return Duplicates(
        table=pd.concat(tables, ignore_index=True) if tables else empty,
        max_distance=float(max_distance),
        sizes={name: len(getattr(data, name).labels) for name in searched},
        fingerprints={name: data.fingerprints[name] for name in searched},
    )


def _name_files(split: Split, places: NDArray[np.int64], column: str) -> dict[str, Any]:
    """Return a column with the files of the images at these places; none if they are from no files."""
    return {} if split.paths is None else {column: np.array([split.paths[place] for place in places], dtype=object)}


def _pixels(images: Images) -> int:
    return int(np.prod(images.shape[1:]))


def _pieces(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _nearest_within(
    images: Images, train: Images, max_distance: float, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the squared distance to, and the place of, the nearest training image; -1 if none is near enough."""
    limit = int(max_distance**2 * _pixels(images) * (1 + 1e-12))  # squared distances are whole numbers
    squared = np.full(len(images), limit + 1, dtype=np.int64)
    places = np.full(len(images), -1, dtype=np.int64)
    with progress_bar(f"Comparing {name} with training images") as advance:
        for rows in _pieces(len(images), _PIECE):
            screened = _Screen(images[rows])
            for columns in _pieces(len(train), _PIECE):
                for row, column in screened.pairs_within(_Screen(train[columns]), limit):
                    _keep_nearest(images, train, row + rows.start, column + columns.start, squared, places)
                advance((rows.stop - rows.start) * (columns.stop - columns.start), len(images) * len(train))
    return squared, places


class _Screen:
    """Sums over blocks of pixels, scaled so that their distance never exceeds that of the images, ordered by norm."""

    def __init__(self, images: Images) -> None:
        sums = np.concatenate([_sum_blocks(images[piece]) for piece in _pieces(len(images), _ROWS)])
        squared_norms = np.einsum("ij,ij->i", sums, sums, dtype=np.float64)
        self.order = np.argsort(squared_norms, kind="stable")
        self.norms = np.sqrt(squared_norms[self.order])
        # with these two more columns, swapped on one side, a product is minus half the squared distance
        more = np.column_stack([np.ones(len(sums)), -squared_norms / 2]).astype(np.float32)
        self.rows = np.hstack([sums, more])[self.order]

    def pairs_within(self, other: "_Screen", limit: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the places of all pairs whose squared distance may be `limit` or less, and a few more."""
        # how much rounding to float32 can change a squared distance
        slack = 1.0 + 1e-7 * self.rows.shape[1] * float(self.norms[-1] ** 2 + other.norms[-1] ** 2)
        reach = (limit + slack) ** 0.5
        for rows in _pieces(len(self.rows), _ROWS):
            left = np.hstack([self.rows[rows, :-2], self.rows[rows, :-3:-1]])
            low = int(np.searchsorted(other.norms, self.norms[rows.start] - reach, side="left"))
            high = int(np.searchsorted(other.norms, self.norms[rows.stop - 1] + reach, side="right"))
            for start in range(low, high, _COLUMNS):
                near = left @ other.rows[start : min(start + _COLUMNS, high)].T >= -(limit + slack) / 2
                row, column = np.divmod(np.flatnonzero(near), near.shape[1])
                yield self.order[row + rows.start], other.order[column + start]


def _sum_blocks(images: Images) -> NDArray[np.float32]:
    """Return one row an image: sums over blocks of pixels, each divided by the square root of the block's size."""
    sums: NDArray[Any] = np.asarray(images, dtype=np.float32)
    for axis in (1, 2):
        size = images.shape[axis]
        starts = np.arange(0, size, -(-size // _SCREEN_SIDE))
        lengths = np.diff(np.append(starts, size)).astype(np.float32)
        sums = np.add.reduceat(sums, starts, axis=axis)
        sums /= np.sqrt(lengths).reshape([-1 if i == axis else 1 for i in range(4)])
    return sums.reshape(len(images), -1)


def _keep_nearest(
    images: Images,
    train: Images,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    squared: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    """Compare pairs pixel by pixel and update the nearest training image found so far; of equals the first counts."""
    for piece in _pieces(len(rows), max(1, _VERIFY_BYTES // (4 * _pixels(images)))):
        row, column = rows[piece], columns[piece]
        difference = (images[row].astype(np.int32) - train[column]).reshape(len(row), -1)
        distance = np.einsum("ij,ij->i", difference, difference, dtype=np.int64)
        best = np.lexsort((column, distance, row))
        best = best[np.diff(row[best], prepend=-1) > 0]  # the first of each row
        row, column, distance = row[best], column[best], distance[best]
        closer = (distance < squared[row]) | ((distance == squared[row]) & (column < places[row]))
        squared[row[closer]], places[row[closer]] = distance[closer], column[closer]
