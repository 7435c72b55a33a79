"""Strict JSON: UTF-8, no NaN, no infinity."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from transferkit.errors import DataError
from transferkit.files.atomic import write_text
from transferkit.files.paths import open_file


def write_json(path: Path, value: Any, *, what: str | None = None) -> None:
    """Write strict JSON (no NaN) atomically; errors as `atomic_write`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", what=what)


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises
    ------
    DataError
        If it is damaged, holds NaN or infinity, or is no file. The message has its name.
    OSError
        If it is not there, or may not be read.
    """
    with open_file(path) as stream:
        content = stream.read()
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise DataError(f"{path} is not readable JSON ({error}). It is damaged or half-written.") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def plain_values(value: Any) -> Any:
    """Return what strict JSON can hold: NaN and infinity become None, sets sorted lists, unknown objects their repr.

    A training that took hours must not be lost because somebody's recipe holds an odd object.

    Examples
    --------
    >>> plain_values({"rate": np.float32(0.5), "best": float("nan"), 3: (1, 2)})
    {'rate': 0.5, 'best': None, '3': [1, 2]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(plain_values(key)): plain_values(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain_values, value), key=repr)
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return repr(value)
