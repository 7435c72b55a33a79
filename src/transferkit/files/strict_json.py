"""Strict JSON: UTF-8, no NaN, no infinity."""

import json
from pathlib import Path
from typing import Any

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
