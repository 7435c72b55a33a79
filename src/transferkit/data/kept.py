"""Decoded images that are kept in the cache, and read back only if nothing of them was changed.

A kept folder has two files: ``images.npy``, all images in the order of the splits, and a sealed ``index.json`` with their labels,
their paths, the sizes of the splits and the SHA-256 of each split. Reading computes these sums again: they are the fingerprints
that a training asks for anyhow, so the check costs nothing more.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import DataError

_IMAGES: Final = "images.npy"
_INDEX: Final = "index.json"
_SPLITS: Final = ("train", "validation", "test")
_PIECE_BYTES: Final = 1 << 26


@dataclass(frozen=True)
class KeptImages:
    """Decoded images in split order, and the record of how they came about."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split_sizes: tuple[int, int, int]
    skipped: dict[str, str]
    conflicts: tuple[str, ...]
    paths: tuple[str, ...]
    groups: NDArray[np.int64] | None
    bits: tuple[int, int] | None  # how many images have room for more than 8 bits, and how many bits they use
    fingerprints: dict[str, str]


def read_kept(folder: Path) -> KeptImages | None:
    """Return what a folder holds; None if it is not there, or a single bit of it was changed."""
    try:
        index = files.read_sealed_json(folder / _INDEX)
        images = _map_images(folder / _IMAGES, tuple(index["shape"]))
    except (OSError, DataError, KeyError):
        return None
    labels = np.array(index["labels"], dtype=np.int64)
    labels.flags.writeable = False
    if _fingerprint(images, labels, index["split_sizes"]) != index["fingerprints"]:
        return None
    return KeptImages(
        images,
        labels,
        tuple(index["split_sizes"]),
        index["skipped"],
        tuple(index["conflicts"]),
        tuple(index["paths"]),
        None if index["groups"] is None else np.array(index["groups"], dtype=np.int64),
        None if index["bits"] is None else tuple(index["bits"]),
        index["fingerprints"],
    )


def write_kept(
    folder: Path,
    decoded: Path,
    shape: tuple[int, ...],
    parts: Sequence[NDArray[np.integer]],
    labels: NDArray[np.int64],
    **facts: Any,
) -> None:
    """Write decoded images in the order of the splits, with an index.

    Parameters
    ----------
    folder : Path
        An empty folder that appears under its name when all is written.
    decoded : Path
        The images, one after the other, in any order.
    shape : tuple of int
        Of `decoded`: (n, height, width, channels).
    parts : sequence of ndarray
        The positions in `decoded` of the training, validation and test images.
    labels : ndarray of int64, shape (n,)
        Of the images in `decoded`.
    **facts
        The other fields of `KeptImages`, as plain values.
    """
    source = np.memmap(decoded, dtype=np.uint8, mode="r", shape=shape)
    order = np.concatenate(parts)
    rows = max(1, _PIECE_BYTES // int(np.prod(shape[1:])))
    with (folder / _IMAGES).open("wb") as stream:
        _write_header(stream, (len(order), *shape[1:]))
        for start in range(0, len(order), rows):
            stream.write(source[order[start : start + rows]].data)
    del source  # Windows deletes no file that is mapped
    images = _map_images(folder / _IMAGES, (len(order), *shape[1:]))
    sizes = [len(part) for part in parts]
    record = {
        "shape": list(images.shape),
        "split_sizes": sizes,
        "labels": labels[order].tolist(),
        "fingerprints": _fingerprint(images, labels[order], sizes),
        **facts,
    }
    files.write_sealed_json(folder / _INDEX, record, what="the decoded images")


def _write_header(stream: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _map_images(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a read-only memory map, or raise `DataError`: the header is compared, so that nothing reads a damaged one."""
    header = io.BytesIO()
    _write_header(header, shape)
    expected = header.getvalue()
    with files.open_file(file) as stream:
        found, size = stream.read(len(expected)), stream.seek(0, io.SEEK_END)
    if found != expected or size != len(expected) + int(np.prod(shape)):
        raise DataError(f"{file} is damaged: it does not hold images of shape {shape}.")
    return np.memmap(file, dtype=np.uint8, mode="r", offset=len(expected), shape=shape)


def _fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64], sizes: Sequence[int]) -> dict[str, str]:
    ends = np.cumsum(sizes).tolist()
    return {
        name: files.sha256_arrays(images[end - size : end], labels[end - size : end])
        for name, end, size in zip(_SPLITS, ends, sizes, strict=True)
    }
