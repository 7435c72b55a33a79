"""Files that carry the SHA-256 of their content, for what is kept between calls: damage is found before anything parses it."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from transferkit.errors import DataError
from transferkit.files.atomic import atomic_write
from transferkit.files.paths import open_file
from transferkit.files.strict_json import read_json, write_json

_SEAL_BYTES = 32


def write_sealed(path: Path, content: bytes | memoryview, *, what: str | None = None) -> None:
    """Write 32 bytes of SHA-256, then `content`, atomically; errors as `atomic_write`."""
    with atomic_write(path, what=what) as stream:
        stream.write(hashlib.sha256(content).digest())
        stream.write(content)


def read_sealed(path: Path) -> bytes:
    """Return what `write_sealed` wrote.

    Raises
    ------
    DataError
        If a single bit of it differs, or it is no file.
    OSError
        If it is not there, or may not be read.
    """
    with open_file(path) as stream:
        seal, content = stream.read(_SEAL_BYTES), stream.read()
    if hashlib.sha256(content).digest() != seal:
        raise DataError(f"{path} is damaged or half-written: its content is not what was sealed.")
    return content


def write_sealed_json(path: Path, record: dict[str, Any], *, what: str | None = None) -> None:
    """Write a record as strict JSON with its own SHA-256 in it, atomically; errors as `atomic_write`."""
    write_json(path, seal_record(record), what=what)


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Return what `write_sealed_json` wrote.

    Raises
    ------
    DataError
        If any value in it differs, or it is no file.
    OSError
        If it is not there, or may not be read.
    """
    return unseal_record(read_json(path), str(path))


def seal_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with its own SHA-256 in it, for a place inside of another file."""
    return {"sha256": _seal(record), **record}


def unseal_record(sealed: Any, name: str) -> dict[str, Any]:
    """Return what `seal_record` was given.

    Raises
    ------
    DataError
        If any value in it differs. The message has the name.
    """
    record = dict(sealed) if isinstance(sealed, dict) else {}
    seal = record.pop("sha256", None)
    with suppress(ValueError):  # of a number that became infinite
        if seal is not None and _seal(record) == seal:
            return record
    raise DataError(f"{name} is damaged: its content is not what was sealed.")


def _seal(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()
