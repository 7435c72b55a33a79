"""Removing files and folders, and what killed processes left behind."""

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transferkit.files.atomic import hidden_prefix
from transferkit.files.faults import explained


def remove(path: Path) -> None:
    """Remove a file or a folder with all that it holds, as far as that is allowed; nothing happens if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield `path` as an empty folder, removed afterwards with all that a killed process may have left in it.

    Its name is fixed, so hold a lock around it.

    Raises
    ------
    StorageError
        If it cannot be made.
    """
    remove(path)
    with explained(path, what="a temporary folder", all_of_them=True):
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        remove(path)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it. Hold a lock on `path`, so that none is at work."""
    for leftover in path.parent.glob(f"{glob.escape(hidden_prefix(path))}*"):
        if leftover.suffix in (".tmp", ".old"):
            remove(leftover)
