"""Atomic writes, hashes, locks, downloads and the cache's location.

The only module that creates, replaces or deletes files by itself. Everything that is written appears under its final name
complete or not at all: written to a temporary neighbour, flushed to disk, then renamed.
"""

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np
import platformdirs
from numpy.typing import NDArray

from transferkit.errors import CacheError, DataError, DownloadError, TransferKitError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 22


def cache_home() -> Path:
    """Return the folder for downloads and computed features (``TRANSFERKIT_HOME`` moves it)."""
    home = os.environ.get("TRANSFERKIT_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("transferkit"))


def is_offline() -> bool:
    """Return whether ``TRANSFERKIT_OFFLINE`` forbids the network."""
    return os.environ.get("TRANSFERKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # a rename is durable only once its folder is on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for binary writing; rename it to `path` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private, which a shared cache must not be
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _place_folder(new: Path, path: Path, *, replace: bool) -> None:
    if not path.exists():
        new.replace(path)
        return
    if not replace:  # someone else made it in the meantime
        raise FileExistsError(f"{path} exists already.")
    # A folder cannot be renamed over a full one: the old one steps aside first.
    retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.replace(retired / path.name)
    try:
        new.replace(path)
    except BaseException:
        (retired / path.name).replace(path)
        raise
    finally:
        shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder; rename it to `path` on success.

    Parameters
    ----------
    path : Path
        The final name.
    replace : bool, default False
        Whether an existing `path` is replaced. Otherwise it raises ``FileExistsError``.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists already.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("r+b") as stream:  # Windows syncs only what may be written
                    os.fsync(stream.fileno())
        _place_folder(temporary, path, replace=replace)
        _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that a folder is on, or will be on, in bytes."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def remove(path: Path) -> None:
    """Remove a file or a folder with all that it holds; nothing happens if there is none."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically and return `path`."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))
    return path


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_arrays(*arrays: NDArray[Any]) -> str:
    """Return one SHA-256 over dtypes, shapes and values, reading memory maps piece by piece."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes)) if array.ndim else 1
        pieces = (array[i : i + rows] for i in range(0, len(array), rows)) if array.ndim else (array,)
        for piece in pieces:
            digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()


@contextmanager
def lock(path: Path, *, timeout_seconds: float = 600.0) -> Iterator[None]:
    """Hold an exclusive lock on ``<path>.lock`` among processes.

    Raises
    ------
    TransferKitError
        If another process holds the lock for longer than `timeout_seconds`. A lock of a process that died is released
        by the operating system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f"{path.name}.lock")
    try:
        with filelock.FileLock(file, timeout=timeout_seconds):
            yield
    except filelock.Timeout:
        raise TransferKitError(
            f"another process has held {file} for {timeout_seconds:g} s. Wait for it, or end it, and try again."
        ) from None


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar on a terminal or in a notebook, elsewhere nothing; yield ``advance(steps, total)``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (console.is_terminal or console.is_jupyter)) as progress:
        task = progress.add_task(title, total=None)

        def advance(steps: int, total: int | None = None) -> None:
            progress.update(task, advance=steps, total=total)

        yield advance


class _PoochBar:
    """The part of tqdm's interface that pooch calls."""

    def __init__(self, advance: Callable[[int, int | None], None]) -> None:
        self.total = 0
        self._advance = advance

    def update(self, steps: int) -> None:
        self._advance(steps, self.total or None)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _refuse_web_page(file: Path) -> None:
    with file.open("rb") as stream:
        head = stream.read(256).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        raise DownloadError("the server sent a web page (a login or error page?) instead of the file")


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Download `url` to `path` through pooch, verified before it appears under its name.

    Parameters
    ----------
    url : str
        Where from.
    path : Path
        The final name.
    sha256, md5 : str, optional
        The content's hash, as far as its publisher states one.
    check : callable, optional
        Called with the temporary file, to raise if that is not what it should be. Needed where no hash is known.

    Raises
    ------
    DownloadError
        If the network is forbidden or fails, or the content has another hash or fails the check.
    """
    import pooch

    if is_offline():
        raise DownloadError(f"{url} was not asked for, since TRANSFERKIT_OFFLINE is set.")
    known_hash = f"sha256:{sha256}" if sha256 else f"md5:{md5}" if md5 else None
    if known_hash is None and check is None:
        raise DownloadError(f"{url} has no known hash; only verified files are kept.")
    pooch.get_logger().setLevel("WARNING")
    if known_hash is None and check is not None and path.is_file():
        try:
            check(path)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, pooch would keep a file without a known hash
            path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(f"Downloading {path.name}") as bar:
            http = pooch.HTTPDownloader(timeout=30, progressbar=_PoochBar(bar))

            def fetch(source: str, file: Any, owner: Any) -> None:
                http(source, file, owner)
                _refuse_web_page(Path(file))
                if check is not None:
                    check(Path(file))

            pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=fetch)
    except Exception as error:  # requests, urllib3 and pooch each raise their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadError(f"{url}: {type(error).__name__}: {reason}") from error


def write_manifest(folder: Path, **facts: object) -> None:
    """Record the SHA-256 and size of every file in `folder`, and `facts` beside them."""
    files = {
        file.relative_to(folder).as_posix(): {"sha256": sha256_file(file), "bytes": file.stat().st_size}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one raises `DataError` with its name."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise DataError(f"{path} is not readable JSON ({error}). It is damaged or half-written.") from None


def verify_manifest(folder: Path, names: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Check the files that the manifest lists and return the manifest.

    Parameters
    ----------
    folder : Path
        A folder written with `write_manifest`.
    names : mapping of str, optional
        Check only these files. All that the manifest lists if None; a listed file that is absent is an error either way
        unless its name ends in ``.weights.h5`` (records are published without their weights).

    Raises
    ------
    DataError
        If a file is missing or was changed.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise DataError(f"{folder / MANIFEST} is not a manifest of transferkit.")
    for name, entry in manifest["files"].items():
        if names is not None and name not in names:
            continue
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise DataError(f"{folder / MANIFEST} has no size and SHA-256 for {name!r}. It is damaged.")
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder / MANIFEST} lists {name!r}, which lies outside its folder.")
        if not file.is_file():
            if name.endswith(".weights.h5") and names is None:
                continue
            raise DataError(f"{file} is missing, though {MANIFEST} lists it.")
        if file.stat().st_size != entry["bytes"] or sha256_file(file) != entry["sha256"]:
            raise DataError(f"{file} was changed or damaged: its SHA-256 is not the one in {MANIFEST}.")
    return manifest


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield `path` as an empty folder, removed afterwards with all that a killed process may have left in it.

    Its name is fixed, so hold a lock around it.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it. Hold a lock on `path`, so that none is at work."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if leftover.suffix in (".tmp", ".old"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
