"""Images whose files and classes stand in a table."""

import glob
import os
import unicodedata
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from transferkit import files
from transferkit.data import checks, splits
from transferkit.data.dataset import Dataset
from transferkit.data.decoding import MAX_PIXELS, ColorMode, Fit
from transferkit.data.dividing import Plan
from transferkit.data.folders import check_decoding, load_listing
from transferkit.data.listing import ImageFile, Listing, composed, show_path, split_of
from transferkit.errors import DataError, InvalidInputError, UnknownNameError, list_some

if TYPE_CHECKING:
    import pandas as pd


def load_image_table(
    table: "pd.DataFrame | str | os.PathLike[str]",
    *,
    path: str,
    label: str,
    image_size: int | tuple[int, int],
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    groups: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    split_seed: int = 0,
    color_mode: ColorMode = "rgb",
    fit: Fit = "stretch",
    bit_depth: int = 16,
    on_error: Literal["raise", "skip"] = "raise",
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    labels_per_class: int | None = None,
    allow_overlap: bool = False,
) -> Dataset:
    """Load images whose files and classes are columns of a table.

    The files are decoded and kept as those of `load_image_folder` are.

    Parameters
    ----------
    table : DataFrame or path-like
        One row an image; or a CSV file, in UTF-8.
    path : str
        The column with the files: absolute, or relative to `root`.
    label : str
        The column with the classes: names or whole numbers.
    image_size : int or tuple of int
        Height and width of the resized images; one number for squares.
    root : path-like, optional
        The folder that relative files lie in. The CSV file's folder, or else the current one, if None.
    split : str, optional
        A column that says train, validation or test (or another usual name of these). What it leaves empty trains.
    groups : str, optional
        A column that says what an image belongs to, for example the person on it: images of one group come into one split.
    validation, test, seed, split_seed, color_mode, fit, bit_depth, on_error, max_pixels
        As in `load_image_folder`.
    name : str, optional
        What to call the dataset. The CSV file's name, or ``"table"``, if None.
    labels_per_class, allow_overlap
        As in `load_image_folder`.

    Returns
    -------
    Dataset
        As `load_image_folder` makes it. Classes are sorted; numbers become names in their order.

    Raises
    ------
    DataError
        If the table cannot be read, labels are missing or are no classes, an image has two labels, or anything that
        `load_image_folder` raises.
    InvalidInputError
        If an option makes no sense.
    UnknownNameError
        If a column is not there.

    Warns
    -----
    TransferKitWarning
        As in `load_image_folder`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import transferkit as tk
    >>> from PIL import Image
    >>> rng = np.random.default_rng(0)
    >>> names = [f"{number}.png" for number in range(40)]
    >>> for file in names:
    ...     Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(file)
    >>> table = pd.DataFrame({"file": names, "kind": ["daisy", "rose"] * 20})
    >>> tk.load_image_table(table, path="file", label="kind", image_size=32)
    Dataset('table', 2 classes, 32x32x3, train 28, validation 6, test 6)
    """
    columns: dict[str, Any] = {"path": path, "label": label, "split": split, "groups": groups}
    for what, column in columns.items():
        if not isinstance(column, Hashable) or callable(column):
            raise InvalidInputError(
                f"{what} must be the name of a column of the table; got {type(column).__name__}. Add it to the table."
            )
    frame, home, title = _read_table(table, path, label, (split, groups))
    decoding = check_decoding(image_size, color_mode, fit, max_pixels, bit_depth)
    for column in columns.values():
        if column is not None and column not in frame.columns:
            raise UnknownNameError("column", column, map(str, frame.columns))
        number = list(frame.columns).count(column)
        if number > 1:
            raise DataError(f"the table has {number} columns called {column!r}. Keep one of them.")
    folder = (home if root is None else files.as_path(root, "root")).resolve()
    class_names, numbers = read_labels(frame[label])
    rows = zip(
        _read_paths(frame[path], folder),
        numbers,
        [None] * len(frame) if split is None else map(_read_split, frame[split]),
        [None] * len(frame) if groups is None else splits.number_groups(frame[groups], len(frame)).tolist(),
        strict=True,
    )
    images, remarks = _join_repeated([ImageFile(*row) for row in rows], class_names)
    return load_listing(
        Listing(folder, class_names, tuple(images), remarks=remarks),
        decoding,
        Plan(validation, test, splits.check_seed(split_seed), bool(allow_overlap)),
        on_error=on_error,
        name=name or title,
        seed=seed,
        labels_per_class=labels_per_class,
    )


def _read_table(table: Any, path: str, label: str, others: tuple[str | None, ...]) -> tuple["pd.DataFrame", Path, str]:
    """Return a table, the folder that its paths are relative to, and what to call it."""
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        frame, home, title = table, Path.cwd(), "table"
    elif isinstance(table, str | os.PathLike):
        file = files.as_path(table, "table")
        reader = _READERS.get(file.suffix.lower())
        if reader is not None:
            raise DataError(
                f"{file} is no CSV file. Pass pandas.read_{reader}({str(file)!r}), and in root= the folder of the images."
            )
        try:
            files.check_file(file)
            with file.open(encoding="utf-8-sig") as stream:
                header = stream.readline()
            frame = pd.read_csv(
                file,
                encoding="utf-8-sig",
                sep=max(",;\t", key=header.count),
                keep_default_na=False,  # a class may be called None, NA or null
                na_values=["", "nan", "NaN"],
                dtype=dict.fromkeys((path, label), str),  # files and classes of digits keep their zeros
            )
        except UnicodeDecodeError:
            raise DataError(
                f"{file} is not UTF-8. Give pandas.read_csv({str(file)!r}, encoding='cp949') for one of a Korean Excel, or"
                " 'cp1252' for one of a western one."
            ) from None
        except Exception as error:  # pandas raises many types for files that are no table
            raise DataError(f"{file} cannot be read as a table: {error}") from error
        for column in {*others} & {*frame.columns}:
            frame[column] = frame[column].mask(frame[column].isin(_MISSING))
        if label in frame.columns and not frame[label].str.fullmatch(r"\s*0\d+\s*").any():
            frame[label] = _numbers_if_all_are(frame[label])
        home, title = file.resolve().parent, file.stem
    else:
        raise InvalidInputError(f"table must be a DataFrame or the path of a CSV file; got {type(table).__name__}.")
    if not len(frame):
        raise DataError("the table has no rows.")
    return frame, home, title


_READERS: Final = {
    ".gz": "csv",
    ".zip": "csv",
    ".xls": "excel",
    ".xlsx": "excel",
    ".parquet": "parquet",
    ".json": "json",
}
"""What of pandas reads other tables."""

_MISSING: Final = ("NA", "N/A", "n/a", "NULL", "null", "None", "<NA>", "#N/A")
"""What programs write for nothing. In a column of classes these may be classes."""


def _numbers_if_all_are(column: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    known = column.dropna()
    if not known.str.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*").all():  # 2E3, inf and 0x1F are names
        return column
    numbers = pd.to_numeric(column)
    return column if (numbers.abs() >= 2**53).any() else numbers  # two of such could become one


def read_labels(column: "pd.Series[Any]") -> tuple[tuple[str, ...], list[int]]:
    """Return the class names, and each image's class.

    Raises
    ------
    DataError
        If labels are missing, or are no classes.
    """
    import pandas as pd

    what = f"the labels in column {column.name!r}"
    missing = int(column.isna().sum())
    if missing:
        raise DataError(
            f"{what}: {missing} of {len(column)} are missing. Leave these rows out:"
            f" table.dropna(subset=[{column.name!r}])."
        )
    if column.map(lambda value: isinstance(value, list | tuple | set | frozenset | np.ndarray)).any():
        checks.check_labels(column.map(list).tolist(), num_classes=None, name=what)
    values = column.to_numpy()
    if pd.api.types.is_float_dtype(column.dtype) and not (values == np.round(values)).all():
        checks.check_labels(values, num_classes=None, name=what)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype(np.int64)
    codes, names = pd.factorize(column.map(_name_of), sort=True)
    return checks.check_class_names([str(name) for name in names]), codes.tolist()


def _name_of(value: Any) -> Any:
    return composed(value.strip() if isinstance(value, str) else value)  # as of a folder


def _read_paths(column: "pd.Series[Any]", folder: Path) -> list[str]:
    """Return the files, relative to the folder where they lie below it, with ``/`` between folders."""
    if column.isna().any():
        raise DataError(
            f"{int(column.isna().sum())} rows have no file in column {column.name!r}. Leave these rows out."
        )
    paths = []
    for value in column:
        file = _find(folder, str(value).replace("\\", "/"))
        paths.append((file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix())
    missing = [path for path in paths if not _exists(folder / path)]
    if len(missing) == len(paths):
        cure = "Say in root= which folder they lie in."
        suffixed = next((file.suffix for file in folder.glob(f"{glob.escape(Path(missing[0]).name)}.*")), None)
        if suffixed:
            cure = f"They have a suffix: table[{column.name!r}] + {suffixed!r}."
        raise DataError(
            f"none of the files in column {column.name!r} is in {show_path(folder)}, for example {missing[0]}. {cure}"
        )
    return paths


def _find(folder: Path, name: str) -> Path:
    """Return a file by its name in a table; macOS writes names decomposed, others do not, and archives carry that along."""

    def place(form: str) -> Path:  # of ~$name too, the home of a user whom nobody knows
        return Path(os.path.normpath(folder / os.path.expanduser(form)))  # noqa: PTH111

    file = place(name)
    if name.isascii() or _exists(file):
        return file
    others = (place(unicodedata.normalize(form, name)) for form in ("NFC", "NFD"))
    return next(filter(_exists, others), file)


def _exists(file: Path) -> bool:
    return os.path.exists(file)  # noqa: PTH110 - a name that is too long is no error here


def _read_split(value: Any) -> str | None:
    """Return the split that a cell names; None for an empty one."""
    if value is None or str(value).strip() in ("", "nan", "NaT", "<NA>"):
        return None
    role = split_of(str(value))
    if role is None:
        raise DataError(f"{value!r} is the name of no split. Write train, validation or test.")
    return role


def _join_repeated(images: Sequence[ImageFile], class_names: Sequence[str]) -> tuple[list[ImageFile], tuple[str, ...]]:
    """Return the images in order of their paths, each once.

    Raises
    ------
    DataError
        If a file has two labels, splits or groups.
    """
    first: dict[str, ImageFile] = {}
    several = []
    for image in images:
        other = first.setdefault(image.path, image)
        if (other.split, other.group) != (image.split, image.group):
            raise DataError(
                f"{show_path(image.path)} stands in several rows with different splits or groups. Give each file one of each."
            )
        if other.label != image.label:
            names = class_names[other.label], class_names[image.label]
            several.append(f"{show_path(image.path)} is {names[0]} and {names[1]}")
    if several:
        raise DataError(f"{len(several)} files have several labels ({list_some(several, most=5)}). {checks.ONE_LABEL}")
    repeated = len(images) - len(first)
    remarks = (f"{repeated} rows repeat a file and were left out",) if repeated else ()
    return sorted(first.values(), key=lambda image: image.path), remarks
