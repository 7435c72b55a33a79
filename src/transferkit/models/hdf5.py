"""Look into an HDF5 or Keras file before anything reads it: a weight file holds numbers, and nothing else."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transferkit.errors import DataError
from transferkit.files import describe_content, open_file

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"
KERAS_MEMBER = "model.weights.h5"
_MOST_LEVELS = 64  # a group that contains itself has no end


class BadFileError(ValueError):
    """A file is not what its name says; the message is the reason, without the file's name."""


def check_signature(path: Path) -> None:
    """Refuse a file whose first bytes are not those of HDF5 (or of a ``.keras`` archive)."""
    try:
        with open_file(path) as stream:
            head = stream.read(64)
    except DataError as error:
        raise BadFileError(str(error)) from None
    expected, kind = (ZIP_SIGNATURE, "a Keras archive") if path.suffix == ".keras" else (HDF5_SIGNATURE, "an HDF5 file")
    if not head.startswith(expected):
        what = describe_content(head)
        raise BadFileError(f"it is {what}" if what else f"it is not {kind}")


def load_weights(model: Any, path: Path, label: str) -> None:
    """Load an HDF5 file of weights into a model, all of them or none that is used.

    Parameters
    ----------
    model : keras.Model
        Built.
    path : Path
        In Keras's old layout (``.h5``) or its own (``.weights.h5``).
    label : str
        What the message calls the model.

    Raises
    ------
    BadFileError
        If the file is damaged or dangerous, or does not fit the model.
    """
    needed = sum(math.prod(variable.shape) for variable in model.weights)
    check_hdf5(path, max_bytes=most_bytes(model))
    held = sum(math.prod(shape) for shape, _ in list_arrays(path))
    if held < needed:  # Keras leaves what it does not find as it was, with a warning at most
        raise BadFileError(f"its weights do not fit {label} ({held:,} numbers, and {needed:,} are needed)")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)  # files of older Keras
            model.load_weights(path)
    except Exception as error:  # noqa: BLE001 - h5py and Keras raise many types for the same thing
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadFileError(f"its weights do not fit {label} ({reason})") from None


def most_bytes(model: Any) -> int:
    """Return how many bytes a file of weights may claim for a model."""
    # Twice, since a file may hold float64 where the network holds float32; some MiB for an optimiser's state.
    return 2 * 4 * sum(math.prod(variable.shape) for variable in model.weights) + (1 << 24)


def check_hdf5(path: Path, *, max_bytes: int) -> None:
    """Refuse links to elsewhere, virtual data, and data that claims to be larger than it can be.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    max_bytes : int
        The most bytes that all of its arrays may take in memory. The size of the file itself is always allowed.

    Raises
    ------
    BadFileError
        If the file is not, or not only, an honest file of plain numbers.
    """
    declared = sum(math.prod(shape) * itemsize for shape, itemsize in list_arrays(path))
    limit = max(max_bytes, path.stat().st_size)
    if declared > limit:
        raise BadFileError(f"its arrays claim {declared:,} bytes, more than the {limit:,} that this network can use")


def list_arrays(path: Path) -> list[tuple[tuple[int, ...], int]]:
    """Return the shape and bytes per value of each array in a file, none of them read.

    Raises
    ------
    BadFileError
        If the file is damaged, or holds anything but plain numbers.
    """
    import h5py

    check_signature(path)
    try:
        with h5py.File(path, "r") as file:
            return list(_arrays(file, depth=0))
    except (OSError, RuntimeError, KeyError) as error:
        raise BadFileError(f"it is truncated or damaged ({error})") from None


def extract_weights(path: Path, folder: Path, *, max_bytes: int) -> Path:
    """Take the weights alone out of a ``.keras`` archive; its configuration is not read."""
    check_signature(path)
    target = folder / KERAS_MEMBER
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(KERAS_MEMBER).file_size
            limit = max(max_bytes, path.stat().st_size)
            if size > limit:
                raise BadFileError(
                    f"its weights claim {size:,} bytes, more than the {limit:,} that this network can use"
                )
            target.write_bytes(archive.read(KERAS_MEMBER))
    except KeyError:
        raise BadFileError(f"it holds no {KERAS_MEMBER}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise BadFileError(f"it is truncated or damaged ({error})") from None
    return target


def _arrays(group: Any, *, depth: int) -> Iterator[tuple[tuple[int, ...], int]]:
    import h5py

    if depth > _MOST_LEVELS:
        raise BadFileError(f"its groups are nested more than {_MOST_LEVELS} deep")
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise BadFileError(f"it has a link to elsewhere ({type(link).__name__} at {group.name.rstrip('/')}/{name})")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _arrays(item, depth=depth + 1)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise BadFileError(f"its array {item.name} keeps its data in another file")
            if item.dtype.kind not in "fiub":
                raise BadFileError(f"its array {item.name} holds {item.dtype}, not numbers")
            yield item.shape, item.dtype.itemsize
        else:
            raise BadFileError(f"it holds a {type(item).__name__} at {item.name}")
