"""Strict JSON: UTF-8, no NaN, no infinity."""

import json
from pathlib import Path
from typing import Any

from transferkit.errors import DataError
from transferkit.files.atomic import write_text


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one raises `DataError` with its name."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise DataError(f"{path} is not readable JSON ({error}). It is damaged or half-written.") from None
