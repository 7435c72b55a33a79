"""What the operating system refuses, as an error that says what is lost and what to do."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from transferkit.errors import CacheError, StorageError, TransferKitError
from transferkit.files.places import cache_home

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_OF_THE_DISK: Final = _FULL | {errno.EROFS, errno.EIO, errno.ESTALE}


def storage_error(
    error: BaseException, path: Path, *, what: str, kind: type[StorageError] = StorageError
) -> StorageError:
    """Make the error of a file that cannot be written.

    Parameters
    ----------
    error : exception
        What was raised.
    path : Path
        The file or folder that was to be written.
    what : str
        What it is, as the user knows it, for example ``"the checkpoint of run 'a'"``.
    kind : type, default StorageError
        The error's class.
    """
    number = _errno(error)
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    cached = kind is CacheError or path.is_relative_to(cache_home())
    if number in _FULL:
        fault = f"the disk that holds {path.parent} is full"
        cure = (
            "Free some space, call transferkit.clear_cache(), or set TRANSFERKIT_HOME to a folder on another disk."
            if cached
            else "Free some space, or choose a folder on another disk, and call again."
        )
    elif number in _FORBIDDEN:
        fault = f"{path.parent} may not be written to"
        cure = "Set TRANSFERKIT_HOME to a folder" if cached else "Choose a folder"
        cure += " that can be written to, or change its permissions, and call again."
    else:
        fault = f"{path} cannot be written"
        cure = "Set TRANSFERKIT_HOME to another folder." if cached else "Choose another folder, and call again."
    result = kind(f"{what} cannot be kept: {fault} ({reason}). What was finished before is as it was. {cure}")
    result.errno = number
    return result


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"errno = (\d+)", str(error))  # HDF5 says it in words
    return int(told[1]) if told else None


@contextmanager
def explained(
    path: Path, *, what: str, kind: type[StorageError] = StorageError, all_of_them: bool = False
) -> Iterator[None]:
    """Turn what a full, failing or read-only disk raises into a `StorageError` about `path`.

    With `all_of_them`, every ``OSError`` is turned; otherwise only those that the disk alone can cause, since the block may
    run code that fails for reasons of its own.
    """
    try:
        yield
    except TransferKitError:
        raise
    except (OSError, RuntimeError) as error:
        number = _errno(error)
        if number in _OF_THE_DISK or (all_of_them and isinstance(error, OSError)):
            raise storage_error(error, path, what=what, kind=kind) from error
        raise
