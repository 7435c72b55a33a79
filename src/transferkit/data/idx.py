"""The IDX format of the MNIST family: read and check, plain or gzip-compressed."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import DataError
from transferkit.files import describe_content, open_file

MAX_PAYLOAD_BYTES = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"
_UINT8_TYPE = 0x08


def read_payload(path: Path, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Read a file, decompressed if it is gzip (known by its content, not by its name).

    Parameters
    ----------
    path : Path
        The file.
    max_bytes : int, default 1 GiB
        Most bytes after decompression; a gzip bomb stops there.

    Returns
    -------
    bytes
        The decompressed content.

    Raises
    ------
    DataError
        If the file is missing, unreadable, damaged or too large, or is a pipe, a device or a folder.
    """
    try:
        with open_file(path) as stream:
            compressed = stream.read(2) == _GZIP_MAGIC
            stream.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=stream) as unzipped:
                    payload = unzipped.read(max_bytes + 1)
            else:
                payload = stream.read(max_bytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short ({error}). Delete it and fetch it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(payload) > max_bytes:
        raise DataError(
            f"{path} holds more than the {max_bytes:,} bytes that are expected at most. It is not this data."
        )
    return payload


def parse_idx(payload: bytes, *, name: str) -> NDArray[np.uint8]:
    """Parse an IDX payload of unsigned bytes.

    Parameters
    ----------
    payload : bytes
        Two zero bytes, the type 0x08, the number of axes, each axis as a big-endian uint32, then the values.
    name : str
        What to call it in errors, usually the path.

    Returns
    -------
    ndarray of uint8
        A read-only view of `payload`.

    Raises
    ------
    DataError
        If it is anything else, or the length does not fit the header.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), name="labels")
    array([7, 8, 9], dtype=uint8)
    """
    if payload and (what := describe_content(payload[:64])):
        raise DataError(f"{name} is {what}.")
    if len(payload) < 4 or payload[:2] != b"\0\0":
        raise DataError(f"{name} is not an IDX file: it starts with {payload[:4].hex() or 'nothing'}, not 0000.")
    kind, num_axes = payload[2], payload[3]
    if kind != _UINT8_TYPE:
        raise DataError(f"{name} holds values of IDX type 0x{kind:02x}; expected 0x08, unsigned bytes.")
    header = 4 + 4 * num_axes
    if not num_axes or len(payload) < header:
        raise DataError(f"{name} has a damaged IDX header: {num_axes} axes in a file of {len(payload)} bytes.")
    shape = tuple(int.from_bytes(payload[start : start + 4], "big") for start in range(4, header, 4))
    expected = header + math.prod(shape)
    if len(payload) != expected:
        how = "cut short" if len(payload) < expected else "too long"
        raise DataError(f"{name} is {how}: {len(payload):,} bytes where shape {shape} needs {expected:,}.")
    try:
        return np.frombuffer(payload, dtype=np.uint8, offset=header).reshape(shape)
    except ValueError as error:  # more than NumPy's 64 axes
        raise DataError(f"{name} has an impossible shape ({error}).") from None


def encode_idx(array: NDArray[np.uint8]) -> bytes:
    """Return the IDX payload of a uint8 array, the exact inverse of `parse_idx`.

    Examples
    --------
    >>> encode_idx(np.array([7, 8, 9], dtype=np.uint8)).hex()
    '0000080100000003070809'
    """
    if array.dtype != np.uint8:
        raise DataError(f"only uint8 arrays can be written as IDX here; got {array.dtype}.")
    header = bytes([0, 0, _UINT8_TYPE, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + np.ascontiguousarray(array).tobytes()
