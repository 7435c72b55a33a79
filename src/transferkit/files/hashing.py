"""SHA-256 of files and arrays."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.files.paths import open_file

_CHUNK_BYTES = 1 << 22


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits; errors as `open_file`."""
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_arrays(*arrays: NDArray[Any]) -> str:
    """Return one SHA-256 over dtypes, shapes and values, reading memory maps piece by piece."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes)) if array.ndim else 1
        pieces = (array[i : i + rows] for i in range(0, len(array), rows)) if array.ndim else (array,)
        for piece in map(np.ascontiguousarray, pieces):
            # bfloat16 and its like are unknown to Python's buffers.
            digest.update(piece.data if piece.dtype.isbuiltin != 2 else piece.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
