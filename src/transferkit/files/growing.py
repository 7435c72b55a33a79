"""Files that grow piece by piece, and arrays that need more room than the memory has."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import CacheError
from transferkit.files.places import cache_home


@contextmanager
def open_for_appending(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading and writing, created empty if it does not exist. Hold a lock around it.

    Raises
    ------
    CacheError
        If the disk is full. What was written before and flushed stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _explain_full_disk(path.parent):
        path.touch()
        with path.open("r+b") as stream:  # buffered: an unbuffered write may stop half-way without an error
            yield stream


@contextmanager
def _explain_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise CacheError(
            f"the disk that holds {folder} is full; what is finished is kept there. Free some space, call "
            "transferkit.clear_cache(), or set TRANSFERKIT_HOME to a folder on another disk."
        ) from None


def temporary_array(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array on the cache's disk that disappears with its last user.

    Raises
    ------
    CacheError
        If the disk is full.
    """
    if not all(shape):
        return np.empty(shape, dtype)
    folder = cache_home()
    folder.mkdir(parents=True, exist_ok=True)
    with _explain_full_disk(folder), tempfile.TemporaryFile(dir=folder) as stream:
        if hasattr(os, "posix_fallocate"):
            # Without space of its own, a disk that fills up later would kill the process.
            os.posix_fallocate(stream.fileno(), 0, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.memmap(stream, dtype, "w+", shape=shape)
