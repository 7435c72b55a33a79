"""What is said of files, once."""

from collections.abc import Iterable

from transferkit.errors import warn

_said: set[str] = set()


def say(beginning: str, sentences: Iterable[str]) -> None:
    """Warn of several things at once, and of the same things only once in a program: folders are loaded again and again."""
    told = [f"{sentence}." for sentence in sentences]
    message = beginning + ("\n- ".join(["", *told]) if len(told) > 1 else "".join(told))
    if told and message not in _said:
        _said.add(message)
        warn(message)
