"""Lines for the user on whatever console there is: none of them ends a program."""

import sys
from typing import Any, Final

_SIMPLE: Final = str.maketrans("−–", "--")
_QUOTES: Final = str.maketrans("“”‘’…", "\"\"''.")


def simplify(text: str) -> str:
    """Return text with a hyphen for minus signs and dashes, which many a console and spreadsheet does not know."""
    return text.translate(_SIMPLE)


def for_console(text: str) -> str:
    r"""Return text that can be printed: what the console's encoding lacks is spelt out.

    Examples
    --------
    >>> for_console("−3.31")
    '-3.31'
    """
    return printable(simplify(text))


def printable(text: str, stream: Any = None) -> str:
    """Return text with what a stream's encoding lacks spelt out; the stream is standard output if None."""
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return simplify(text).translate(_QUOTES).encode(encoding, "backslashreplace").decode(encoding)
    return text


class Forgiving:
    """A stream that takes everything: signs that it lacks are spelt out, and a closed or broken one takes nothing more.

    Parameters
    ----------
    stream : text file or None
        What is written to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self._stream is not None:
            try:
                self._stream.write(printable(text, self._stream))
            except (OSError, ValueError):
                self._stream = None
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None


def say(message: str) -> None:
    """Write one line to standard output."""
    _write_line(message, sys.stdout)


def tell(message: str) -> None:
    """Write one line for the user, beside the output proper."""
    _write_line(message, sys.stderr)


def _write_line(message: str, stream: Any) -> None:
    forgiving = Forgiving(stream)
    forgiving.write(f"{message}\n")
    forgiving.flush()
