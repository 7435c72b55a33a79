"""The features of one frozen prefix: computed once for each image, kept on disk, read as a memory map."""

import hashlib
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.checks import check_images
from transferkit.errors import CacheError, DataError, InvalidInputError, TransferKitError
from transferkit.features.engine import Compute, Engine, choose_engine, engine_version, load_engine
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.features.store import FeatureStore, Rows

_FACTS = "features.json"
_PIECE_BYTES = 1 << 24


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
        self._sample = np.asarray(sample)
        self._compute: Compute | None = None
        self._grew = False
        self.computed = 0
        """How many images were computed here, not found."""
        self.engine: str = choose_engine(engine)
        try:
            self._open()
        except CacheError:
            raise
        except OSError as error:
            raise CacheError(
                f"features cannot be kept in {files.cache_home()} ({error.strerror or error}). Set TRANSFERKIT_HOME to a folder that can be "
                "written, or train with engine='plain', which keeps none."
            ) from error

    def _open(self) -> None:
        if self.engine == "litert" and not self._folder("litert").exists():
            self._compute = load_engine(self._prefix, "litert", self._sample, folder=self._folder("litert"))
            if self._compute is None:
                self.engine = "keras"
        folder = self._folder(self.engine)
        self._store = FeatureStore(folder, self._shape(folder))

    def locate(self, images: NDArray[Any] | Iterable[NDArray[Any]]) -> Rows:
        """Return where the features of all images are, after computing those that are not there yet.

        Parameters
        ----------
        images : ndarray or iterable of ndarray
            Images of shape (n, height, width, channels), whole or in pieces.
        """
        limit = limit_bytes()
        pieces = pieces_of(images) if isinstance(images, np.ndarray) else images
        rows = self._store.locate(pieces, self._run)
        with suppress(OSError):
            os.utime(self._folder(self.engine) / _FACTS)  # last used now
        if self._grew:
            evict(keep=self._folder(self.engine), limit=limit)
            self._grew = False
        return rows

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
        """How much these features may take: what is free on the disk but 1 GB, and no more than the cache's limit."""
        return max(0, min(limit_bytes(), files.free_bytes(files.cache_home()) - 1_000_000_000))

    def _run(self, images: NDArray[Any]) -> NDArray[np.float32]:
        if self._compute is None:
            folder = self._folder(self.engine)
            self._compute = load_engine(self._prefix, self.engine, self._sample, folder=folder)
            if self._compute is None:  # the converted file was lost, and LiteRT fails now
                self._compute = load_engine(self._prefix, "keras", self._sample, folder=folder)
        assert self._compute is not None  # noqa: S101 - Keras always runs
        self._grew = True
        self.computed += len(images)
        return self._compute(images)

    def _folder(self, engine: str) -> Path:
        shape, dtype = self._sample.shape[1:], self._sample.dtype
        facts = f"{self._prefix.digest} {shape} {dtype} {engine_version(engine)}"
        return files.cache_home() / "features" / hashlib.sha256(facts.encode()).hexdigest()[:32]

    def _shape(self, folder: Path) -> tuple[int, ...]:
        file = folder / _FACTS
        try:
            shape = tuple(int(size) for size in files.read_json(file)["shape"])
        except FileNotFoundError:
            pass
        except (DataError, KeyError, TypeError, ValueError):
            files.remove(file)
        else:
            os.utime(file)  # last used now
            return shape
        shape = _feature_shape(self._prefix, self._sample)
        files.write_json(file, {"shape": list(shape), "model": self._prefix.model.name, "engine": self.engine})
        return shape


def pieces_of(images: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """Yield an array, or a memory map of any size, in pieces of a few megabytes."""
    count = max(1, _PIECE_BYTES // max(1, images[:1].nbytes))
    return (np.asarray(images[start : start + count]) for start in range(0, len(images), count))


def _feature_shape(prefix: Prefix, sample: NDArray[Any]) -> tuple[int, ...]:
    import tensorflow as tf

    spec = tf.TensorSpec((1, *sample.shape[1:]), sample.dtype)
    return tuple(tf.function(prefix).get_concrete_function(spec).output_shapes[1:])


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
        with files.lock(folder / "rows.f32", timeout_seconds=0):
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

    Examples
    --------
    >>> import transferkit as tk
    >>> freed = tk.clear_cache()
    >>> tk.clear_cache()  # nothing is left
    0
    """
    folder = files.cache_home() / "features"
    freed = files.folder_bytes(folder)
    files.remove(folder)
    return freed


def extract_features(model: Any, images: NDArray[np.uint8], *, engine: Engine = "auto") -> NDArray[np.float32]:
    """Compute what the frozen part of a model says about images, once: the next call reads it from disk.

    Parameters
    ----------
    model : keras.Model
        Any functional or sequential model whose first layers are frozen, on raw pixels.
    images : ndarray of uint8, shape (n, height, width, channels)
        In memory or a memory map of any size.
    engine : {"auto", "litert", "keras"}, default "auto"
        What computes: LiteRT with XNNPACK on a CPU, checked against Keras on the first images; Keras on an accelerator.

    Returns
    -------
    ndarray of float32, shape (n, ...)
        A read-only memory map: the value where the frozen part ends. For a frozen backbone these are the pooled
        features, shape (n, features).

    Raises
    ------
    InvalidInputError
        If nothing is frozen from the input on, or the model is no graph from one input to one output.
    DataError
        If the images are not what the model takes.
    CacheError
        If the disk is full; what is finished is kept.

    See Also
    --------
    transferkit.train : Uses these features by itself.
    transferkit.clear_cache : Frees the space.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> tk.extract_features(tk.build_transfer_model("mobilenet"), data.train.images).shape
    (100, 1024)
    """
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"model must be a keras.Model; got {type(model).__name__}.")
    try:
        prefix = find_prefix(model)
    except NoPrefixError as error:
        raise InvalidInputError(f"there are no features to extract: {error}.") from None
    images = check_images(images, name="images", input_shape=model.input_shape[1:])
    cache = FeatureCache(prefix, images[:8], engine=engine)
    return cache.array(cache.locate(images))
