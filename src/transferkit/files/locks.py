"""One process at a time, and a word about whom the others wait for.

The lock itself is the operating system's (``flock``, through filelock), which frees it when its holder dies. Beside it lies,
while it is held, ``<name>.holder``: JSON that says who holds it. Its holder touches that file every few seconds, so a holder
that is stopped, on this machine or on another, is told from one that works for hours.
"""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import filelock

from transferkit.errors import LockTimeoutError, StorageError
from transferkit.files.faults import explained, storage_error
from transferkit.files.places import can_be_written
from transferkit.progress import tell

LONG_WAIT_SECONDS: Final = 86_400.0
"""For what another process may be computing for hours: waiting is faster than computing it again."""
SILENCE_SECONDS: Final = 300.0
"""So long may a holder show no sign of life before waiting for it ends."""
_BEAT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_QUIET_SECONDS: Final = 0.5  # a wait shorter than this is not worth a line
_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    thread: int
    host: str
    since: str

    def __str__(self) -> str:
        if (self.pid, self.host) == (os.getpid(), socket.gethostname()):
            return f"another thread of this process, since {self.since}"
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def lock(
    path: Path,
    *,
    what: str | None = None,
    timeout_seconds: float = 600.0,
    silence_seconds: float = SILENCE_SECONDS,
) -> Iterator[bool]:
    """Hold an exclusive lock on ``<path>.lock`` among processes and threads.

    Whoever has to wait is told once for what and for whom, on the terminal.

    Parameters
    ----------
    path : Path
        What is locked.
    what : str, optional
        What it is, as the user knows it, for example ``"run 'cnn'"``. The path if None.
    timeout_seconds : float, default 600
        How long to wait for a holder that works.
    silence_seconds : float, default 300
        How long to wait for a holder that shows no sign of life, being stopped or on a machine that sleeps.

    Yields
    ------
    bool
        True; False in a folder that cannot be written, where there is nothing to exclude: reading needs no lock, and
        writing fails anyhow.

    Raises
    ------
    LockTimeoutError
        If the wait is over. The message says who holds the lock. A process that died holds none.
    StorageError
        If the file system grants no locks, or the lock's file cannot be made.
    """
    file = path.with_name(f"{path.name}.lock")
    holder_file = path.with_name(f"{path.name}.holder")
    name = what or str(path)
    with explained(file, what=f"the lock of {name}", all_of_them=True):
        path.parent.mkdir(parents=True, exist_ok=True)
    guard = filelock.FileLock(file, timeout=0)
    if not _acquire(guard, holder_file, name, timeout_seconds, silence_seconds):
        yield False
        return
    try:
        with _announced(holder_file):
            yield True
    finally:
        guard.release()


def _acquire(guard: filelock.BaseFileLock, holder_file: Path, name: str, timeout: float, silence: float) -> bool:
    """Wait for a lock; return whether it is held, which it is not in a folder that cannot be written."""
    file = Path(guard.lock_file)
    begun = seen_at = time.monotonic()
    sign, told = _sign_of_life(holder_file), False
    while True:
        try:
            guard.acquire(timeout=0)
        except filelock.Timeout:
            pass
        except (OSError, NotImplementedError) as error:  # older filelock: the latter, where there is no flock
            if _cannot_be_written(file.parent, error):
                return False
            raise _refusal(error, file, name) from error
        else:
            return True
        now = time.monotonic()
        holder = _read_holder(holder_file)
        who = str(holder) if holder else "another process"
        if holder and (holder.pid, holder.thread, holder.host) == _myself():
            raise LockTimeoutError(
                f"{name} is in use by the very code that asks for it again. Finish the first use first."
            )
        if now - begun >= timeout:
            raise LockTimeoutError(
                f"{name} is in use by {who}, which holds {file}; waited for {timeout:g} s. Wait for it, or end it, and try again."
            )
        latest = _sign_of_life(holder_file)
        if latest != sign or latest is None:
            sign, seen_at = latest, now
        elif now - seen_at >= silence:
            where = f"(kill -CONT {holder.pid}) or end it (kill {holder.pid})" if holder else "or end it"
            raise LockTimeoutError(
                f"{name} is in use by {who}, which holds {file} but has shown no sign of life for {silence:g} s: it was stopped, "
                f"or its machine sleeps. Let it go on {where}, and try again."
            )
        if not told and now - begun >= min(_QUIET_SECONDS, timeout / 2):
            tell(f"Waiting for {name}, which is in use by {who}.")
            told = True
        time.sleep(max(0.0, min(_POLL_SECONDS, timeout - (now - begun))))


def _cannot_be_written(folder: Path, error: Exception) -> bool:
    refused = isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    return refused and not can_be_written(folder)


def _refusal(error: Exception, file: Path, name: str) -> StorageError:
    if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
        return storage_error(error, file, what=f"the lock of {name}")
    reason = getattr(error, "strerror", None) or error
    result = StorageError(
        f"the file system that holds {file.parent} grants no locks ({reason}), so two processes could spoil {name}. Use a folder "
        "on a local disk: TRANSFERKIT_HOME moves the cache, folder= the runs."
    )
    result.errno = getattr(error, "errno", None)
    return result


# Who holds it


def _myself() -> tuple[int, int, str]:
    return os.getpid(), threading.get_ident(), socket.gethostname()


@contextmanager
def _announced(holder_file: Path) -> Iterator[None]:
    """Say in a file who holds the lock, and show signs of life; where that fails, the lock holds all the same."""
    pid, thread, host = _myself()
    holder = Holder(pid, thread, host, datetime.now().astimezone().isoformat(" ", "seconds"))
    with suppress(OSError):
        holder_file.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(holder_file, over), name="transferkit-lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        if _read_holder(holder_file) == holder:  # the folder may have been removed and made again by somebody else
            with suppress(OSError):
                holder_file.unlink()


def _beat(holder_file: Path, over: threading.Event) -> None:
    while not over.wait(_BEAT_SECONDS):
        with suppress(OSError):
            os.utime(holder_file)


def _sign_of_life(holder_file: Path) -> tuple[int, int] | None:
    try:
        status = holder_file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _read_holder(holder_file: Path) -> Holder | None:
    try:
        facts = json.loads(holder_file.read_text(encoding="utf-8"))
        return Holder(int(facts["pid"]), int(facts["thread"]), str(facts["host"]), str(facts["since"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, half-written, or not ours
        return None
