"""Every exception and warning that transferkit raises.

TransferKitError
├── InvalidInputError (ValueError)       an argument has a wrong type, shape or value
│   └── UnknownNameError                 a name is not registered; lists close matches
├── DataError (ValueError)               a file or an array holds something else than it should
├── StorageError (OSError)               a file cannot be written, or a lock is refused; what was finished is kept
│   ├── CacheError                       computed features cannot be kept on disk
│   └── LockTimeoutError (TimeoutError)  another process holds what is needed, for too long or without a sign of life
├── DownloadError (OSError)              no source could deliver a file
├── WeightsError (RuntimeError)          pretrained weights cannot be had, or do not fit
├── ExportError (RuntimeError)           a model cannot be written for another program
├── RunError (ValueError)                a saved run is missing, damaged, or of other settings
│   └── FailedRunsError (ExceptionGroup) some of several trainings failed; has the finished ones
├── FailedShardsError (RuntimeError)      some shards have no features; the others are finished
├── DivergedError (ArithmeticError)      training produced NaN or infinity
├── UnfairComparisonError (ValueError)   the runs cannot be compared
└── MissingDependencyError (ImportError) an optional package is not installed

TransferKitWarning (UserWarning)         the result is usable, with a reservation
"""

import contextlib
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Self

from typing_extensions import override

_LIBRARIES: Final = (
    str(Path(__file__).parent),
    contextlib.__file__,  # our own context managers are entered from there
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)
_SAID: ContextVar[set[str] | None] = ContextVar("said", default=None)


class TransferKitError(Exception):
    """Base class of every error that transferkit raises on purpose."""


class InvalidInputError(TransferKitError, ValueError):
    """An argument has a wrong type, shape or value."""


class UnknownNameError(InvalidInputError):
    """A name is not known; the message lists the close matches.

    Parameters
    ----------
    kind : str
        What the name stands for, for example ``"backbone"``.
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.

    Attributes
    ----------
    name : str
        The name that was given.
    known : tuple of str
        The names that exist.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        matches = get_close_matches(str(name), self.known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(self.known)}.")
        self._kind = kind

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._kind, self.name, self.known), self.__dict__  # so that it can cross processes


class DataError(TransferKitError, ValueError):
    """A file or an array holds something else than it should."""


class StorageError(TransferKitError, OSError):
    """A file or folder cannot be written, or a lock is refused; nothing that was finished is lost.

    Where the operating system refused, ``errno`` says why, as for any ``OSError``.
    """


class CacheError(StorageError):
    """Computed features cannot be kept on disk; what was kept before is not lost."""


class LockTimeoutError(StorageError, TimeoutError):
    """Another process holds what is needed, for too long or without a sign of life; the message says which one."""


class DownloadError(TransferKitError, OSError):
    """No source could deliver a file; the message names each one that was tried."""


class WeightsError(TransferKitError, RuntimeError):
    """Pretrained weights cannot be had, or do not fit the network."""


class ExportError(TransferKitError, RuntimeError):
    """A model cannot be written in a form, or the file does not answer as the model does."""


class RunError(TransferKitError, ValueError):
    """A saved run is missing, damaged, or was made with other settings."""


class FailedRunsError(RunError, ExceptionGroup[Exception]):
    """Some of several trainings failed; the others are finished, and here.

    It is an ``ExceptionGroup``: a traceback shows every failure, and ``except*`` picks among them.

    Attributes
    ----------
    runs : list of Run
        The finished ones, in order.
    failures : dict of str to Exception
        What each of the others raised, by its label.
    """

    runs: list[Any]  # this module knows no Run
    failures: dict[str, Exception]

    @classmethod
    def of(cls, failures: dict[str, Exception], runs: list[Any]) -> Self:
        """Make the error from what failed and what did not."""
        reasons = "; ".join(f"{label} ({type(error).__name__}: {error})" for label, error in failures.items())
        message = (
            f"{len(failures)} of {len(failures) + len(runs)} runs failed: {reasons}. The {len(runs)} others are finished (.runs); "
            "with a folder, the same call finds them again and tries only the failed ones."
        )
        group = cls(message, list(failures.values()))
        group.runs, group.failures = runs, failures
        return group


class FailedShardsError(TransferKitError, RuntimeError):
    """Some shards have no features; those of the others are finished, and the same call finds them again.

    Attributes
    ----------
    files : list of Path
        The finished ones.
    failures : dict of str to str
        Why, by the name of the shard.
    """

    files: list[Path]
    failures: dict[str, str]

    @classmethod
    def of(cls, failures: dict[str, str], finished: list[Path]) -> Self:
        """Make the error from what failed and what did not."""
        reasons = list_some((f"{shard} ({reason})" for shard, reason in failures.items()), separator="; ", most=5)
        error = cls(
            f"{len(failures)} of {len(failures) + len(finished)} shards have no features: {reasons}. The {len(finished)} others are "
            "finished; the same call finds them again and tries only these."
        )
        error.files, error.failures = finished, failures
        return error


class DivergedError(TransferKitError, ArithmeticError):
    """Training produced NaN or infinity."""


class UnfairComparisonError(TransferKitError, ValueError):
    """The runs cannot be compared; the message says which ones and why."""


class MissingDependencyError(TransferKitError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class TransferKitWarning(UserWarning):
    """The result is usable, with a reservation that the message states."""


def list_some(texts: Iterable[str], *, separator: str = ", ", most: int = 20) -> str:
    """Join the first texts for a message, and say how many more there are.

    Examples
    --------
    >>> list_some(["cat", "dog", "emu"], most=2)
    'cat, dog, and 1 more'
    """
    texts = list(texts)
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return separator.join(texts[:most] + more)


def warn(message: str) -> None:
    """Issue a `TransferKitWarning` that points at the user's line, however many libraries lie between (joblib, Keras)."""
    said = _SAID.get()
    if said is not None and message in said:
        return
    warnings.warn(message, TransferKitWarning, stacklevel=_level_of_user())
    if said is not None:
        said.add(message)


def first_time(message: str) -> bool:
    """Whether something that is no warning has not been said inside `each_warning_once`; from now on it has."""
    said = _SAID.get()
    new = said is None or message not in said
    if said is not None:
        said.add(message)
    return new


def _level_of_user() -> int:
    """Return the level of the nearest frame that is in no library, or else of the nearest one outside of transferkit."""
    frame, level, outside = sys._getframe(1), 1, 0  # `warn` itself
    while frame.f_back is not None:
        frame, level = frame.f_back, level + 1
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARIES):
            return level
        if not outside and not file.startswith(_LIBRARIES[:2]):
            outside = level
    return outside or level


@contextlib.contextmanager
def each_warning_once() -> Iterator[None]:
    """Let `warn` say the same only once inside: Python itself forgets what it has said whenever a library changes a filter."""
    outer = _SAID.get()
    token = _SAID.set(set() if outer is None else outer)
    try:
        yield
    finally:
        _SAID.reset(token)
