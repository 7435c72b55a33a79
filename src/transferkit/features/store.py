"""Rows of features on disk, each found by the content of the image that it belongs to.

A store is one folder for one prefix and engine: ``rows.f32``, to which rows are appended chunk by chunk, and for each chunk
a sealed index with the images' digests and the rows' checksum. An index appears, atomically, after its rows are on disk:
rows without one were never written. Whatever is damaged, in the rows or the index, is forgotten and computed anew.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.checks import digest_image
from transferkit.errors import CacheError, DataError
from transferkit.features.litert import BATCH_SIZE

Rows = NDArray[np.int64]
_ROWS = "rows.f32"
_INDEX = ".index"
_DIGEST_BYTES = 16
_HEAD_BYTES = 40  # the first row's number and the rows' SHA-256
_CHUNK_IMAGES = 512  # a killed extraction loses at most as many
_CHUNK_BYTES = 1 << 26
_WAITING_BYTES = 1 << 27  # of images that wait for a chunk
_REMOVED = (
    "kept features were removed, by clear_cache() or another process, while they were in use. Run this again; what was trained "
    "with folder= goes on where it stopped."
)


class FeatureStore:
    """The features of one prefix.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    shape : tuple of int
        Of one image's features.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self._folder = folder
        self.shape = shape
        self._width = int(np.prod(shape))
        self.chunk_images = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (4 * self._width)))
        self._known: dict[bytes, int] = {}
        self._read: set[str] = set()
        self._file = folder / _ROWS
        self._identity: tuple[int, int] | None = None  # of the file that `_known` is about
        self._map: NDArray[np.float32] | None = None

    def locate(self, pieces: Iterable[NDArray[Any]], compute: Callable[[NDArray[Any]], NDArray[np.float32]]) -> Rows:
        """Return the row of each image, computing what is missing.

        Parameters
        ----------
        pieces : iterable of ndarray
            The images, in order, in pieces that fit in memory.
        compute : callable
            From images to features; called only if something is missing, by one process at a time.
        """
        self._refresh()
        digests: list[bytes] = []
        pieces = iter(pieces)
        for piece in pieces:
            found = [digest_image(image) for image in piece]
            if all(digest in self._known for digest in found):
                digests += found
                continue
            with self._appending() as append:
                self._refresh()
                pending = _Pending(self, append, compute)
                pending.add(piece, found)
                digests += found
                for later in pieces:
                    found = [digest_image(image) for image in later]
                    pending.add(later, found)
                    digests += found
                pending.flush()
        try:
            rows = np.array([self._known[digest] for digest in digests], np.int64)
        except KeyError:
            raise CacheError(_REMOVED) from None
        if len(rows):
            self._map = self._open()
        return rows

    def take(self, rows: Rows) -> NDArray[np.float32]:
        """Return the features in these rows."""
        if not len(rows):
            return np.empty((0, *self.shape), np.float32)
        return self.table()[rows]

    def table(self) -> NDArray[np.float32]:
        """Return all rows as a read-only memory map, which lives on where the file is removed meanwhile."""
        if self._map is None:
            self._map = self._open()
        return self._map

    def _open(self) -> NDArray[np.float32]:
        if self._identify() != self._identity:
            raise CacheError(_REMOVED)
        count = self._file.stat().st_size // (4 * self._width)
        return np.memmap(self._file, np.float32, "r", shape=(count, *self.shape))

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            files.remove(self._file)
            return None
        return found.st_dev, found.st_ino

    def knows(self, digest: bytes) -> bool:
        """Whether the features of an image are on disk."""
        return digest in self._known

    def _refresh(self) -> None:
        """Read the index files that are new, checking their rows; a damaged chunk is forgotten."""
        identity = self._identify()
        if identity != self._identity:
            if self._map is not None:  # rows were handed out that are not those of the new file
                raise CacheError(_REMOVED)
            self._known, self._read, self._identity = {}, set(), identity
        for file in sorted(self._folder.glob(f"*{_INDEX}")):
            if file.name in self._read:
                continue
            try:
                index = _Index.of(files.read_sealed(file))
            except DataError:
                files.remove(file)
                continue
            if self._checksum(index.start, len(index.digests)) != index.checksum:
                files.remove(file)
                continue
            self._remember(file.name, index)

    def _remember(self, name: str, index: "_Index") -> None:
        self._read.add(name)
        self._known |= {digest: index.start + row for row, digest in enumerate(index.digests)}

    def _checksum(self, start: int, count: int) -> bytes:
        size = 4 * self._width
        try:
            with files.open_file(self._file) as stream:
                stream.seek(start * size)
                return hashlib.sha256(stream.read(count * size)).digest()
        except (FileNotFoundError, DataError):
            return b""

    @contextmanager
    def _appending(self) -> Iterator[Callable[[NDArray[np.float32], list[bytes]], None]]:
        with (
            files.lock(self._folder / _ROWS, what="these features", timeout_seconds=files.LONG_WAIT_SECONDS),
            files.open_for_appending(self._file, what="features") as stream,
        ):

            def append(features: NDArray[np.float32], digests: list[bytes]) -> None:
                if features.shape != (len(digests), *self.shape):
                    raise CacheError(
                        f"features of shape {features.shape[1:]} do not fit {self._folder}, where they have {self.shape}."
                    )
                size = 4 * self._width
                start = -(-stream.seek(0, os.SEEK_END) // size)  # a torn row may stand at the end
                stream.seek(start * size)
                data = np.ascontiguousarray(features, np.float32)
                stream.write(data.data)
                stream.flush()
                os.fsync(stream.fileno())
                index = _Index(start, hashlib.sha256(data.data).digest(), digests)
                file = self._folder / f"{start:012d}{_INDEX}"
                files.write_sealed(file, index.encode(), what="features")
                self._remember(file.name, index)

            yield append


class _Pending:
    """Images that wait until they fill a chunk."""

    def __init__(self, store: FeatureStore, append: Any, compute: Any) -> None:
        self._store, self._append, self._compute = store, append, compute
        self._images: dict[bytes, NDArray[Any]] = {}
        self._bytes = 0

    def add(self, images: NDArray[Any], digests: list[bytes]) -> None:
        for image, digest in zip(images, digests, strict=True):
            if not self._store.knows(digest) and digest not in self._images:
                self._images[digest] = image
                self._bytes += image.nbytes
                count = len(self._images)
                enough = self._bytes >= _WAITING_BYTES and not count % BATCH_SIZE
                if count == self._store.chunk_images or enough:
                    self.flush()

    def flush(self) -> None:
        if self._images:
            self._append(self._compute(np.stack(list(self._images.values()))), list(self._images))
            self._images, self._bytes = {}, 0


class _Index(NamedTuple):
    """Which images a chunk of rows belongs to."""

    start: int
    checksum: bytes
    digests: list[bytes]

    def encode(self) -> bytes:
        return self.start.to_bytes(8, "little") + self.checksum + b"".join(self.digests)

    @classmethod
    def of(cls, content: bytes) -> Self:
        digests = content[_HEAD_BYTES:]
        pieces = [digests[place : place + _DIGEST_BYTES] for place in range(0, len(digests), _DIGEST_BYTES)]
        return cls(int.from_bytes(content[:8], "little"), content[8:_HEAD_BYTES], pieces)
