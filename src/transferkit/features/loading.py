"""load_features: Parquet files of features as a dataset on which heads are trained, without the images."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.dataset import Dataset, Split
from transferkit.data.description import DatasetRecord, DecodingRecord
from transferkit.data.dividing import Plan, check_plan, divide, find_conflicts
from transferkit.data.listing import ImageFile, Listing, count, named_as, split_of
from transferkit.data.notices import say
from transferkit.data.tables import read_labels
from transferkit.errors import DataError, InvalidInputError, UnknownNameError, list_some
from transferkit.features.calls import former_files
from transferkit.features.feature_file import FeatureFile

Values = str | Callable[[Any], Any] | Mapping[Any, Any]

_INDEX: Final = "index.json"
_SCHEMA: Final = 2
_ROWS: Final = "rows.f32"


@dataclass(frozen=True, eq=False, repr=False)
class FeatureDataset(Dataset):
    """Features and labels in three splits: a `Dataset` whose images are somewhere else.

    The ``images`` of its splits are float32 features, memory maps of shape (n, ...); ``paths`` are the keys. `train`, `fit_head`,
    `repeat` and `train_label_budgets` take it for a model whose frozen part computed these features, as long as that stays frozen and
    nothing augments the images.

    Parameters
    ----------
    name : str
        What the dataset is called.
    class_names : tuple of str
        One name per class, in the order of the labels.
    train, validation, test : Split
        Features and labels.
    labels_per_class, source, split_seed, decoding
        See `Dataset`.
    network : dict
        What computed the features: ``digest``, ``engine``, ``versions``, ``model``, ``shape``, ``image_shape``.

    Examples
    --------
    `load_features` makes one of files. By hand:

    >>> import numpy as np
    >>> import transferkit as tk
    >>> part = tk.Split(np.eye(6, 4, dtype=np.float32), np.array([0, 1] * 3))
    >>> data = tk.FeatureDataset("toy", ("cat", "dog"), part, part, part, network={"image_shape": (96, 96, 3)})
    >>> data.image_shape, data.describe()["train_size"]
    ((96, 96, 3), 6)
    """

    network: dict[str, Any] = field(default_factory=dict)

    @property
    @override
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the features are of."""
        height, width, channels = self.network["image_shape"]
        return height, width, channels

    @override
    def describe(self) -> DatasetRecord:
        """Return the facts that a `transferkit.Run` records about its data, without the keys: there may be millions.

        Returns
        -------
        dict
            As `Dataset.describe`, without ``validation_files`` and ``test_files``.
        """
        return cast(
            "DatasetRecord",
            {
                name: value
                for name, value in super().describe().items()
                if name not in ("validation_files", "test_files")
            },
        )


def load_features(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    labels: Values,
    split: Values | None = None,
    groups: Values | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split_seed: int = 0,
    name: str | None = None,
    allow_overlap: bool = False,
) -> FeatureDataset:
    """Load Parquet files that `extract_features` wrote, with labels, to train heads on them.

    The features are copied once, in the order of the splits, into a file in transferkit's cache that is read as a memory map; the same
    call finds it again. Keys and labels are held in memory, features are not. All rows are compared with their checksums.

    Parameters
    ----------
    path : path or sequence of path
        The folder that `extract_features` wrote to, or some files in it. Of a folder of images that has changed since, and was computed
        again, the former files are left out.
    labels : str, mapping or callable
        The class of each image: a column of the files; a mapping from keys, such as a column of a table,
        ``table.set_index("key")["label"]``; or a function of the key. Images that a mapping does not name are left out.
    split : str, mapping or callable, optional
        Says train, validation or test, in the same ways. What it leaves empty trains.
    groups : str, mapping or callable, optional
        What an image belongs to, in the same ways: images of one group come into one split.
    validation, test, split_seed
        See `load_image_folder`.
    name : str, optional
        What to call the dataset. The folder's name if None.
    allow_overlap : bool, default False
        See `load_image_folder`. Images with equal features count as equal.

    Returns
    -------
    FeatureDataset
        A `Dataset` whose ``images`` are float32 features, memory maps of shape (n, ...), and whose ``paths`` are the keys. Classes are
        sorted by name, and the images of a split by key. `train`, `fit_head`, `repeat` and `train_label_budgets` take it for a model whose
        frozen part computed these features.

    Raises
    ------
    DataError
        If there are no such files, they are damaged or of different networks, a key is there twice or has no features, a label is
        missing, or there are too few images.
    InvalidInputError
        If an option makes no sense.
    UnknownNameError
        If a column is not there.
    MissingDependencyError
        If pyarrow is not installed.

    Warns
    -----
    TransferKitWarning
        If images with equal features lie in two classes.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import transferkit as tk
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> rng = np.random.default_rng(0)
    >>> for kind in ("daisy", "rose"):  # noise in place of flowers
    ...     Path("flowers", kind).mkdir(parents=True)
    ...     for number in range(20):
    ...         Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(f"flowers/{kind}/{number}.png")
    >>> cnn = tk.build_cnn((32, 32, 3), preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(cnn.inputs, cnn.get_layer("pool").output)
    >>> model = tk.build_transfer_model(backbone, freeze=True, num_classes=2, input_shape=(32, 32, 3))
    >>> files = tk.extract_features(model, "flowers", output="features")
    >>> data = tk.load_features("features", labels=lambda key: key.split("/")[0])
    >>> data
    FeatureDataset('features', 2 classes, 32x32x3, train 28, validation 6, test 6)
    >>> tk.fit_head(model, data, verbose=False)
    Run('...', completed, ...)
    """
    found = _open_files(path)
    table = _read_keys(found, labels, split, groups)
    plan = Plan(validation, test, splits.check_seed(split_seed), bool(allow_overlap))
    title = name or (files.as_path(path, "path").name if isinstance(path, str | os.PathLike) else "features")
    listing = Listing(Path(title), table.class_names, tuple(table.images))
    check_plan(listing, plan)
    rows, sizes, order, conflicts = _keep_table(found, table, listing, plan)
    if conflicts:
        say(
            f"{title}: ",
            [f"{len(conflicts)} images with equal features lie in more than one class: {list_some(conflicts, most=5)}"],
        )
    parts, start = [], 0
    numbers = np.array([image.label for image in table.images], np.int64)[order]
    grouped = None if groups is None else np.array([image.group for image in table.images], np.int64)[order]
    for size in sizes:
        chosen = slice(start, start + size)
        keys = [table.images[position].path for position in order[chosen]]
        own = numbers[chosen].copy()
        own.flags.writeable = False
        parts.append(Split(cast("Any", rows[chosen]), own, keys, None if grouped is None else grouped[chosen]))
        start += size
    network = found[0].record["network"]
    source = (
        f"features of {network['model']!r} ({network['engine']}, {network['versions']}; program {network['digest'][:12]}): "
        f"{len(order):,} of {table.total:,} images"
    )
    return FeatureDataset(
        title,
        table.class_names,
        parts[0],
        parts[1],
        parts[2],
        source=source,
        split_seed=plan.seed,
        decoding=cast("DecodingRecord", found[0].record["decoding"]),
        network=network,
    )


# The files


def _open_files(path: Any) -> list[FeatureFile]:
    """Return the files, all of one network, sorted by their names."""
    if isinstance(path, str | os.PathLike):
        folder = files.as_path(path, "path")
        former = former_files(folder) if folder.is_dir() else set()
        there = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
        paths = [one for one in there if one.name not in former]
        if left := len(there) - len(paths):
            why = "of images as they were before extract_features ran again"
            say(f"{folder}: ", [f"left out {count(left, 'file')} with features {why}"])
    elif isinstance(path, Iterable) and not isinstance(path, bytes):
        paths = sorted({files.as_path(one, "path") for one in path})
    else:
        raise InvalidInputError(f"path must be a folder or some files; got {type(path).__name__}.")
    if not paths:
        raise DataError(f"{path} holds no Parquet files of features.")
    missing = [str(one) for one in paths if not one.exists()]
    if missing:
        raise DataError(f"{list_some(missing, most=5)} {'does' if len(missing) == 1 else 'do'} not exist.")
    found = [FeatureFile.open(one) for one in paths]
    kinds: dict[str, FeatureFile] = {}
    for one in found:
        kinds.setdefault(json.dumps([one.record["network"], one.record["decoding"]], sort_keys=True), one)
    if len(kinds) > 1:
        named = "; ".join(f"{one.path.name}: {one.record['network']['model']}" for one in kinds.values())
        raise DataError(
            f"these features are of {len(kinds)} networks, or of images decoded in as many ways ({named}). Pass the files of one: "
            "extract_features returns them."
        )
    return found


# Keys and labels


@dataclass(frozen=True)
class _Table:
    """Images with labels, sorted by key, and where each one's features are."""

    images: list[ImageFile]  # a path is a key
    class_names: tuple[str, ...]
    places: list[tuple[int, int]]  # file and row
    total: int


def _read_keys(found: Sequence[FeatureFile], labels: Values, split: Values | None, groups: Values | None) -> _Table:
    import pandas as pd

    keys: list[Any] = []
    columns: dict[str, list[Any]] = {value: [] for value in (labels, split, groups) if isinstance(value, str)}
    places: list[tuple[int, int]] = []
    for number, file in enumerate(found):
        if not file.rows:  # a part without images, which has no columns either
            continue
        table = file.read_table()
        for column in columns:
            if column not in table.column_names:
                raise UnknownNameError(f"column of {file.path.name}", column, table.column_names)
            columns[column] += table.column(column).to_pylist()
        some = table.column("key").to_pylist()
        keys += some
        places += [(number, row) for row in range(len(some))]
    index = pd.Index(keys)
    double = index[index.duplicated()].unique()
    if len(double):
        raise DataError(
            f"{len(double)} keys are there more than once: {list_some(map(str, double), most=5)}. Keep one of each: pass the "
            "files that the last extract_features returned, not their folder."
        )

    def values_of(what: str, values: Values, *, needed: bool) -> list[Any]:
        if isinstance(values, str):
            return columns[values]
        if callable(values):
            return [values(key) for key in keys]
        if not hasattr(values, "items"):
            raise InvalidInputError(
                f"{what} must be a column, a mapping from keys, or a function; got {type(values).__name__}."
            )
        if getattr(getattr(values, "index", None), "is_unique", True) is False:  # a column of a table
            twice = values.index[values.index.duplicated()].unique()  # type: ignore[attr-defined]
            raise DataError(f"{what} name {len(twice)} keys more than once: {list_some(map(str, twice), most=5)}.")
        named = named_as(dict(values.items()), keys)
        unknown = named.keys() - set(keys)
        if unknown and needed:
            raise DataError(
                f"{len(unknown)} keys of {what} have no features: {list_some(sorted(map(str, unknown)), most=5)}. Compute them, or leave "
                "these rows out."
            )
        return [named.get(key, _ABSENT) for key in keys]

    given = values_of("labels", labels, needed=True)
    kept = [position for position, label in enumerate(given) if label is not _ABSENT]
    bad = [str(keys[position]) for position in kept if _is_missing(given[position])]
    if bad:
        raise DataError(
            f"{len(bad)} images have no label: {list_some(bad, most=5)}. Leave these rows out, or label them."
        )
    if not kept:
        raise DataError("no image has a label.")
    class_names, codes = read_labels(pd.Series([given[position] for position in kept], name="labels"))
    roles = None if split is None else values_of("split", split, needed=False)
    together = None if groups is None else values_of("groups", groups, needed=False)
    if together is not None:
        lacking = [str(keys[position]) for position in kept if _is_missing(together[position])]
        if lacking:
            raise DataError(f"{len(lacking)} images have no group: {list_some(lacking, most=5)}.")
        numbers = splits.number_groups([str(together[position]) for position in kept], len(kept)).tolist()
    images = [
        ImageFile(
            str(keys[position]),
            int(codes[row]),
            None if roles is None else _role(roles[position]),
            None if together is None else numbers[row],
        )
        for row, position in enumerate(kept)
    ]
    order = sorted(range(len(images)), key=lambda row: images[row].path)
    return _Table([images[row] for row in order], class_names, [places[kept[row]] for row in order], len(keys))


_ABSENT: Final = object()


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is _ABSENT or pd.isna(value) is True


def _role(value: Any) -> str | None:
    if _is_missing(value) or str(value).strip() in ("", "nan", "<NA>"):
        return None
    role = split_of(str(value))
    if role is None:
        raise DataError(f"{value!r} is the name of no split. Write train, validation or test.")
    return role


# The table in the cache


def _keep_table(
    found: Sequence[FeatureFile], table: _Table, listing: Listing, plan: Plan
) -> tuple[NDArray[np.float32], list[int], NDArray[np.int64], list[str]]:
    """Return all features in the order of the splits, the splits' sizes, the images in that order, and conflicts."""
    facts = [
        _SCHEMA,
        [file.record["rows_sha256"] for file in found],
        [(image.path, image.label, image.split, image.group) for image in table.images],
        [plan.validation, plan.test, plan.seed, plan.allow_overlap],
        found[0].record["network"],
    ]
    address = hashlib.sha256(json.dumps(facts, default=float).encode("ascii")).hexdigest()[:32]
    folder = files.cache_home() / "features" / address
    shape = (len(table.images), *found[0].shape)
    with files.lock(folder / _ROWS, what="the table of features", timeout_seconds=files.LONG_WAIT_SECONDS):
        kept = _read_table(folder, shape)
        if kept is None:
            files.remove(folder / _INDEX)
            _write_table(folder, found, table, listing, plan, shape)
            kept = _read_table(folder, shape)
    if kept is None:
        raise DataError(f"{folder} was changed while it was read. Run it again.")
    return kept


def _read_table(
    folder: Path, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], list[int], NDArray[np.int64], list[str]] | None:
    try:
        index = files.read_sealed_json(folder / _INDEX)
        rows = np.memmap(folder / _ROWS, np.float32, "r", shape=shape)
    except (OSError, DataError, ValueError):
        return None
    # A flipped bit would be trained on; hashing is faster than the disk.
    if files.sha256_arrays(rows) != index["sha256_rows"]:
        return None
    return rows, list(index["sizes"]), np.array(index["order"], np.int64), list(index["conflicts"])


def _write_table(
    folder: Path, found: Sequence[FeatureFile], table: _Table, listing: Listing, plan: Plan, shape: tuple[int, ...]
) -> None:
    needed = 4 * int(np.prod(shape))
    free = files.free_bytes(folder)
    if needed > free:
        raise DataError(
            f"these features need {needed / 1e9:.1f} GB in {folder.parent}, where {free / 1e9:.1f} GB are free. Label fewer images, or "
            "set TRANSFERKIT_HOME to another disk."
        )
    positions: list[dict[int, int]] = [{} for _ in found]
    for position, (number, row) in enumerate(table.places):
        positions[number][row] = position
    digests = [b""] * len(table.images)
    for position, features in _rows_of(found, positions):
        digests[position] = checks.digest_image(cast("Any", features))
    equal = checks.group_equal(digests)
    parts = divide(table.images, listing, plan, equal)
    order = np.concatenate(parts)
    target = np.empty(len(order), np.int64)
    target[order] = np.arange(len(order))
    files.write_json(folder / "features.json", {"address": folder.name, "shape": list(shape[1:]), "table": True})
    with files.open_for_appending(folder / _ROWS, what="features") as stream:
        stream.truncate(needed)
        rows = np.memmap(stream, np.float32, "r+", shape=shape)
        for position, features in _rows_of(found, positions):
            rows[target[position]] = features
        rows.flush()
    record = {
        "sizes": [len(part) for part in parts],
        "order": order.tolist(),
        "conflicts": find_conflicts(table.images, equal),
        "sha256_rows": files.sha256_arrays(rows),
    }
    files.write_sealed_json(folder / _INDEX, record, what="the table of features")


def _rows_of(
    found: Sequence[FeatureFile], positions: Sequence[Mapping[int, int]]
) -> Iterable[tuple[int, NDArray[np.float32]]]:
    """Yield position and features of each image that is wanted, reading the files one after the other."""
    for file, wanted in zip(found, positions, strict=True):
        row = 0
        for _, features in file.read():
            for one in features:
                if row in wanted:
                    yield wanted[row], one
                row += 1
