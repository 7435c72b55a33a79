"""Files and folders that appear under their final names complete or not at all.

Everything is written to a temporary neighbour, flushed to disk, then renamed.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from transferkit.files.faults import explained

_LONGEST_NAME: Final = 220  # bytes of the 255 that a name may have


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # a rename is durable only once its folder is on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_write(path: Path, *, what: str | None = None) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for binary writing; rename it to `path` on success.

    Parameters
    ----------
    path : Path
        The final name.
    what : str, optional
        What it is, as the user knows it, for errors. Its name if None.

    Raises
    ------
    StorageError
        If it cannot be written: the disk is full or read-only, the folder forbidden. An old file is as it was.
    """
    name = what or path.name
    with explained(path, what=name, all_of_them=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary_name = tempfile.mkstemp(prefix=hidden_prefix(path), suffix=".tmp", dir=path.parent)
    temporary = Path(temporary_name)
    try:
        with explained(path, what=name), os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with explained(path, what=name, all_of_them=True):
            temporary.chmod(0o644)  # mkstemp makes it private, which a shared cache must not be
            temporary.replace(path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def hidden_prefix(path: Path) -> str:
    """Return how the names of a path's temporary neighbours begin; that of a long name is shorter, to leave room for the rest."""
    if len(path.name.encode("utf-8", "surrogateescape")) <= _LONGEST_NAME:
        return f".{path.name}."
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f".{path.name[:32]}-{digest}."


def _place_folder(new: Path, path: Path, *, replace: bool, what: str) -> None:
    if path.exists() and not replace:  # someone else made it in the meantime
        raise FileExistsError(f"{path} exists already.")
    with explained(path, what=what, all_of_them=True):
        if not path.exists():
            new.replace(path)
        else:
            _swap_folders(new, path)
        _sync_folder(path.parent)


def _swap_folders(new: Path, path: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    retired = Path(tempfile.mkdtemp(prefix=hidden_prefix(path), suffix=".old", dir=path.parent))
    try:
        path.replace(retired / path.name)
        new.replace(path)
    except BaseException:
        if not path.exists():
            (retired / path.name).replace(path)
        retired.rmdir()  # never with all that it holds: what could not be put back is still in there
        raise
    shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False, what: str | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder; rename it to `path` on success.

    Parameters
    ----------
    path : Path
        The final name.
    replace : bool, default False
        Whether an existing `path` is replaced. Otherwise it raises ``FileExistsError``.
    what : str, optional
        What it is, as the user knows it, for errors. Its name if None.

    Raises
    ------
    StorageError
        If it cannot be written: the disk is full or read-only, the folder forbidden. An old folder is as it was.
    """
    name = what or path.name
    with explained(path, what=name, all_of_them=True):
        there = path.exists()
    if there and not replace:
        raise FileExistsError(f"{path} exists already.")
    with explained(path, what=name, all_of_them=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=hidden_prefix(path), suffix=".tmp", dir=path.parent))
    try:
        with explained(path, what=name):
            temporary.chmod(0o755)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("r+b") as stream:  # Windows syncs only what may be written
                        os.fsync(stream.fileno())
        _place_folder(temporary, path, replace=replace, what=name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_text(path: Path, text: str, *, what: str | None = None) -> Path:
    """Write UTF-8 text atomically and return `path`; errors as `atomic_write`."""
    with atomic_write(path, what=what) as stream:
        stream.write(text.encode("utf-8"))
    return path
