"""What users pass as paths, and opening only what really is a file."""

import os
import stat
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from transferkit.errors import DataError, InvalidInputError

_MOST_NAME: Final = 255  # of every common file system
_MOST_PATH: Final = 4000
_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def as_path(value: Any, what: str) -> Path:
    """Return what a user passed as a path, with ``~`` replaced by the home folder.

    Parameters
    ----------
    value : str or path-like
        The path.
    what : str
        The parameter's name in errors.

    Raises
    ------
    InvalidInputError
        If it is of another type, or no file system could hold it: a null character, a name of more than 255 bytes.

    Examples
    --------
    >>> as_path("runs/cnn", "folder").as_posix()
    'runs/cnn'
    >>> as_path(None, "folder")
    Traceback (most recent call last):
    transferkit.errors.InvalidInputError: folder must be a path (a str or a pathlib.Path); got None.
    """
    if not isinstance(value, str | os.PathLike):
        cure = " Pass os.fsdecode(...) of it." if isinstance(value, bytes | bytearray) else ""
        raise InvalidInputError(f"{what} must be a path (a str or a pathlib.Path); got {value!r:.80}.{cure}")
    text = os.fsdecode(value)
    if "\0" in text:
        raise InvalidInputError(f"{what} holds a null character, which no path may: {text!r:.80}.")
    try:
        encoded = os.fsencode(text)
        path = Path(text).expanduser()
    except (UnicodeEncodeError, RuntimeError) as error:  # half a character; the home of a user whom nobody knows
        raise InvalidInputError(f"{what} is no path: {text!a:.80} ({error}).") from None
    longest = max((len(os.fsencode(part)) if sys.platform == "linux" else len(part) for part in path.parts), default=0)
    if longest > _MOST_NAME or len(encoded) > _MOST_PATH:
        raise InvalidInputError(
            f"{what} is longer than file systems allow ({longest} bytes in one name, {len(encoded)} in all; "
            f"{_MOST_NAME} and {_MOST_PATH} at most): {text!r:.80}... Choose a shorter one."
        )
    return path


def check_file(path: Path) -> None:
    """Raise `DataError` if `path` is a pipe, a device, a socket or a folder, which would be waited for or misread.

    Raises
    ------
    DataError
        If it is anything but a regular file, or a link to one.
    OSError
        If there is nothing, or it may not be looked at.
    """
    _check_mode(path, path.stat().st_mode)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; never wait for the other end of a pipe.

    Raises
    ------
    DataError
        If it is anything but a regular file, or a link to one.
    OSError
        If there is nothing, or it may not be read.
    """
    check_file(path)  # before opening: that alone has effects on some devices
    stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - Path.open takes no opener; returned open
    try:
        _check_mode(path, os.fstat(stream.fileno()).st_mode)
    except BaseException:
        stream.close()
        raise
    return stream


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, where a file is expected.")
