"""Files and folders that appear under their final names complete or not at all.

Everything is written to a temporary neighbour, flushed to disk, then renamed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


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


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically and return `path`."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))
    return path
