"""One process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from transferkit.errors import TransferKitError


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
