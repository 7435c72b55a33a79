"""The features of one frozen prefix: computed once for each image, kept on disk, read as a memory map.

They are addressed by the program that computes them, and each use compares a few with what the layers give now.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import CacheError, DataError, InvalidInputError, LockTimeoutError, TransferKitError, warn
from transferkit.features.agreement import largest_difference, tolerance
from transferkit.features.engine import Engine, choose_engine, engine_version, live_values, load_engine
from transferkit.features.litert import Compute
from transferkit.features.prefix import Prefix
from transferkit.features.store import FeatureStore, Rows

_FACTS = "features.json"
_ROWS = "rows.f32"
_PIECE_BYTES = 1 << 24
_CHECK_IMAGES = 8


class FeatureCache:
    """Features of images of one shape.

    Parameters
    ----------
    prefix : Prefix
        What computes them.
    sample : ndarray, shape (n, height, width, channels)
        A few of the images; their shape and dtype are those of all.
    engine : {"auto", "litert", "keras"}
        LiteRT on a CPU and Keras on an accelerator if ``"auto"``.
    """

    def __init__(self, prefix: Prefix, sample: NDArray[Any], *, engine: Engine = "auto") -> None:
        self._prefix = prefix
        self._sample = np.asarray(sample[:_CHECK_IMAGES])
        self._compute: Compute | None = None
        self._grew = self._checked = False
        self.computed = 0
        """How many images were computed here, not found."""
        self.engine: str = choose_engine(engine)
        with _explained():
            if self.engine == "litert" and not self._folder.exists():
                self._compute = load_engine(prefix, "litert", self._sample, folder=self._folder)
                if self._compute is None:
                    self.engine = "keras"
            self._store = self._open_store()

    def locate(self, images: NDArray[Any] | Iterable[NDArray[Any]]) -> Rows:
        """Return where the features of all images are, after computing those that are not there yet.

        The first time, a few of them are compared with what the layers give now. If they differ, all are dropped and computed anew, with
        a warning.

        Parameters
        ----------
        images : ndarray or iterable of ndarray
            Images of shape (n, height, width, channels), whole or in pieces.

        Raises
        ------
        InvalidInputError
            If the layers give other values each time they run.
        CacheError
            If the features cannot be kept on disk.
        """
        limit = limit_bytes()
        with _explained():
            rows = self._locate_checked(images)
        with suppress(OSError):
            os.utime(self._folder / _FACTS)  # last used now
        if self._grew:
            evict(keep=self._folder, limit=limit)
            self._grew = False
        return rows

    def _locate_checked(self, images: NDArray[Any] | Iterable[NDArray[Any]]) -> Rows:
        if isinstance(images, np.ndarray):
            return self._store.locate(pieces_of(images), self._run) if self._checked else self._locate_first(images)
        if self._checked:
            return self._store.locate(images, self._run)
        pieces = iter(images)
        first = next(pieces, None)
        if first is None:
            return self._store.locate([], self._run)
        self._locate_first(first)
        return self._store.locate(itertools.chain([first], pieces), self._run)

    def _locate_first(self, images: NDArray[Any]) -> Rows:
        """Locate images, and compare some of their features, of those kept before if there are any, with what the layers give now."""
        for _ in range(4):  # as kept, computed anew; the same once more by Keras
            known = self._kept_bytes // self.row_bytes
            rows = self._store.locate(pieces_of(images), self._run)
            candidates = np.flatnonzero(rows < known) if (rows < known).any() else np.arange(len(rows))
            chosen = (
                candidates[np.unique(np.linspace(0, max(0, len(candidates) - 1), _CHECK_IMAGES).astype(int))]
                if len(rows)
                else rows
            )
            expected = live_values(self._prefix, np.asarray(images[chosen])) if len(rows) else self._store.take(rows)
            difference = largest_difference(self._store.take(rows[chosen]), expected)
            if difference <= tolerance(self._prefix.compute_dtype):
                self._checked = bool(len(rows))
                return rows
            self._drop()
            self._compute = None
            if (rows[chosen] < known).all():
                warn(
                    f"kept features of {self._prefix.model.name!r} differ from what its layers give now by {difference:.2g} of the scale. "
                    "They were dropped and are computed anew."
                )
            elif self.engine == "litert":
                warn(
                    f"{self._prefix.model.name}: LiteRT differs from Keras by {difference:.2g} of the scale; Keras computes, more slowly."
                )
                self.engine = "keras"
            else:
                break
            self._store = self._open_store()
        raise InvalidInputError(
            f"the frozen layers of {self._prefix.model.name!r} give other values each time they run (by {difference:.2g} of the scale), so "
            "nothing can be kept of them. Train with engine='plain'."
        )

    def _drop(self) -> None:
        try:
            busy = not _remove_unless_busy(self._folder) or self._folder.exists()
        except OSError:
            busy = True
        if busy:
            raise CacheError(
                f"the features kept in {self._folder} are not those of {self._prefix.model.name!r}, and cannot be removed: the folder is "
                "read-only, or another process uses it. Set TRANSFERKIT_HOME to another folder, or train with engine='plain'."
            )

    def take(self, rows: Rows) -> NDArray[np.float32]:
        """Return the features in these rows, shape (n, ...)."""
        return self._store.take(rows)

    def array(self, rows: Rows) -> NDArray[np.float32]:
        """Return the features in these rows as a memory map, without copying where they lie one after the other."""
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self._store.table()[rows[0] : rows[0] + len(rows)]
        gathered = files.temporary_array((len(rows), *self._store.shape), np.float32)
        for start in range(0, len(rows), self._store.chunk_images):
            chosen = slice(start, start + self._store.chunk_images)
            gathered[chosen] = self.take(rows[chosen])
        return gathered

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's features."""
        return self._store.shape

    @property
    def row_bytes(self) -> int:
        """Size of one image's features on disk."""
        return 4 * int(np.prod(self._store.shape))

    @property
    def room_bytes(self) -> int:
        """How much these features may take: what they take already and what is free on the disk but 1 GB, within the cache's limit."""
        free = files.free_bytes(files.cache_home()) - 1_000_000_000
        return max(self._kept_bytes, min(limit_bytes(), free + self._kept_bytes))

    @property
    def _kept_bytes(self) -> int:
        file = self._folder / _ROWS
        return file.stat().st_size if file.is_file() else 0

    def _run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        if self._compute is None:
            self._compute = load_engine(self._prefix, self.engine, self._sample, folder=self._folder)
            if self._compute is None:  # the converted file was lost, and LiteRT fails now
                self._compute = load_engine(self._prefix, "keras", self._sample, folder=self._folder)
        assert self._compute is not None  # noqa: S101 - Keras always runs
        self._grew = True
        self.computed += len(images)
        return self._compute(images)

    @property
    def _folder(self) -> Path:
        shape, dtype = self._sample.shape[1:], self._sample.dtype
        facts = f"{self._prefix.digest} {shape} {dtype} {engine_version(self.engine)}"
        return files.cache_home() / "features" / hashlib.sha256(facts.encode()).hexdigest()[:32]

    def _open_store(self) -> FeatureStore:
        """Open the folder, whose facts say that it is this one and which shape its rows have; a damaged or foreign one is dropped."""
        file = self._folder / _FACTS
        known = _read_facts(file, self._folder.name)
        if known is None:
            if self._folder.exists() and (file.exists() or any(self._folder.glob("rows*"))):
                self._drop()
            shape: tuple[Any, ...] = self._prefix.shape[1:]
            if None in shape:
                shape = live_values(self._prefix, self._sample[:1]).shape[1:]
            model = self._prefix.model.name
            files.write_json(
                file, {"address": self._folder.name, "shape": list(shape), "model": model, "engine": self.engine}
            )
            return FeatureStore(self._folder, shape)
        with suppress(OSError):
            os.utime(file)  # last used now
        return FeatureStore(self._folder, known)


def _read_facts(file: Path, address: str) -> tuple[int, ...] | None:
    """Return the shape of the features in a folder, None if its facts are missing, damaged or those of another folder."""
    if not file.is_file():
        return None
    try:
        facts = files.read_json(file)
        shape = tuple(facts["shape"])
    except (DataError, KeyError, TypeError):
        return None
    return shape if facts.get("address") == address and all(type(size) is int and size > 0 for size in shape) else None


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (CacheError, LockTimeoutError):
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise CacheError(
            f"features cannot be kept in {files.cache_home()} ({reason}). Set TRANSFERKIT_HOME to a folder that can be "
            "written, or train with engine='plain', which keeps none."
        ) from error


def pieces_of(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array, or a memory map of any size, in pieces of a few megabytes; the next is read while one is worked on."""
    count = max(1, _PIECE_BYTES // max(1, images[:1].nbytes))
    pieces = (images[start : start + count] for start in range(0, len(images), count))
    if not isinstance(images, np.memmap):
        yield from map(np.asarray, pieces)
        return
    with ThreadPoolExecutor(1, "reading") as reader:
        ahead: Future[NDArray[Any]] | None = None
        for piece in pieces:
            following = reader.submit(np.array, piece)  # a copy: a view would be read when it is used
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def limit_bytes() -> int:
    """Return how large all features together may be: ``TRANSFERKIT_CACHE_GB`` gigabytes, 20 if that is not set."""
    given = os.environ.get("TRANSFERKIT_CACHE_GB", "20")
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < math.inf:
        raise InvalidInputError(f"TRANSFERKIT_CACHE_GB must be a number of gigabytes; got {given!r}.")
    return int(limit * 1e9)


def evict(*, keep: Path, limit: int) -> None:
    """Remove the least recently used features while all together are larger than `limit` bytes, but not those of `keep`."""
    sizes = {folder: files.folder_bytes(folder) for folder in keep.parent.iterdir() if folder.is_dir()}
    for folder in sorted(sizes, key=_last_used):
        if sum(sizes.values()) <= limit:
            return
        if folder != keep and _remove_unless_busy(folder):
            del sizes[folder]


def _last_used(folder: Path) -> float:
    file = folder / _FACTS
    return file.stat().st_mtime if file.is_file() else 0.0


def _remove_unless_busy(folder: Path) -> bool:
    try:
        with files.lock(folder / _ROWS, timeout_seconds=0):
            files.remove(folder)
    except TransferKitError:
        return False
    return True


def clear_cache() -> int:
    """Remove all features and converted models that were kept, but no downloads and no runs.

    Returns
    -------
    int
        Bytes that were freed.

    Warns
    -----
    TransferKitWarning
        If something could not be removed.

    Examples
    --------
    >>> import transferkit as tk
    >>> freed = tk.clear_cache()
    >>> tk.clear_cache()  # nothing is left
    0
    """
    folder = files.cache_home() / "features"
    before = files.folder_bytes(folder)
    files.remove(folder)
    left = files.folder_bytes(folder)
    if left:
        warn(f"{left / 1e6:,.1f} MB of features in {folder} could not be removed: the folder is read-only, or in use.")
    return before - left
