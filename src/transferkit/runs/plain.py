"""Plain values: what JSON can hold, and nothing else."""

import math
import operator
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, Final

import numpy as np

DEEPEST: Final = 64
"""How deep lists and dicts may stand in one another; what is deeper is left out."""

_ARRAYS: Final = (np.generic, np.ndarray)
_CONTAINERS: Final = (dict, list, tuple, Mapping, AbstractSet)
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")  # where an object lies is another place in each process
_LONGEST: Final = 4096  # bits: Python writes longer whole numbers neither as text nor as JSON


def plain(value: Any) -> Any:
    """Return a copy made of None, bool, int, float, str, list and dict, as JSON gives it back.

    NaN and infinity become None, arrays and tuples lists, keys text, and what JSON has no word for its repr: a training that took
    hours must not be lost because somebody's recipe holds an odd object.

    Examples
    --------
    >>> plain({"rate": np.float32(0.5), "shift": (1, 2), "decay": float("nan")})
    {'rate': 0.5, 'shift': [1, 2], 'decay': None}
    """
    return _plain(value, ())


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    if type(value) is float and math.isfinite(value):  # most values are
        return value
    if isinstance(value, _ARRAYS):
        value = value.tolist()  # of masked values None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST else hex(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, _CONTAINERS):
        return _plain_container(value, around)
    return str(value) if isinstance(value, PurePath) else _number_or_text(value)


def _plain_container(value: Any, around: tuple[int, ...]) -> Any:
    if id(value) in around or len(around) >= DEEPEST:
        return "..."
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return {str(_plain(key, around)): _plain(item, around) for key, item in value.items()}
    items = [_plain(item, around) for item in value]
    return sorted(items, key=repr) if isinstance(value, AbstractSet) else items


def _number_or_text(value: Any) -> int | float | str | None:
    """Return the number that a tensor, a Keras variable or a decimal is, or what else an object says of itself."""
    for convert in (operator.index, float) if not isinstance(value, bytes | bytearray) else ():
        try:
            return plain(convert(value))
        except Exception:  # noqa: BLE001, S112 - whatever a foreign object raises, it is no number
            continue
    try:
        return plain(_ADDRESS.sub("", repr(value)))
    except Exception:  # noqa: BLE001
        return f"<{type(value).__name__}>"
