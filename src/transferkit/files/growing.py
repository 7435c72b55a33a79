"""Files that grow piece by piece, and arrays that need more room than the memory has."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import CacheError
from transferkit.files.faults import explained
from transferkit.files.places import cache_home, can_be_written


@contextmanager
def open_for_appending(path: Path, *, what: str) -> Iterator[IO[bytes]]:
    """Open a file for reading and writing, created empty if it does not exist. Hold a lock around it.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it holds, as the user knows it, for errors.

    Raises
    ------
    CacheError
        If the disk is full or read-only, or the folder forbidden. What was written before and flushed stays.
    """
    with explained(path, what=what, kind=CacheError, all_of_them=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with explained(path, what=what, kind=CacheError), path.open("r+b") as stream:
        yield stream  # buffered: an unbuffered write may stop half-way without an error


def temporary_array(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array on the cache's disk that disappears with its last user.

    Where the cache cannot be written, it lies where the system keeps temporary files.

    Raises
    ------
    CacheError
        If the disk is full.
    """
    if not all(shape):
        return np.empty(shape, dtype)
    folder = cache_home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = can_be_written(folder)
    except OSError:
        usable = False
    if not usable:
        folder = Path(tempfile.gettempdir())
    with (
        explained(folder / "array", what="a temporary array", kind=CacheError, all_of_them=True),
        tempfile.TemporaryFile(dir=folder) as stream,
    ):
        if hasattr(os, "posix_fallocate"):
            # Without space of its own, a disk that fills up later would kill the process.
            os.posix_fallocate(stream.fileno(), 0, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.memmap(stream, dtype, "w+", shape=shape)
