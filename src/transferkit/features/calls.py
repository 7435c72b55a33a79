"""Which files of a folder of features are those of the images as they are now: a folder of images changes, and is computed again."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from transferkit import files
from transferkit.errors import DataError

_CALLS: Final = "_calls"


def note_call(folder: Path, where: list[Any], names: list[str]) -> None:
    """Note that the features of a folder of images are now in these files; those of the same call before are former ones."""
    note = folder / _CALLS / f"{hashlib.sha256(json.dumps(where).encode()).hexdigest()[:32]}.json"
    before = _read(note)
    former = (set(before["former"]) | set(before["files"])) - set(names)
    files.write_sealed_json(note, {"files": sorted(names), "former": sorted(former)}, what="the list of features")


def former_files(folder: Path) -> set[str]:
    """Return the names of files that hold features of images as they were once, and of no folder as it is now."""
    notes = [_read(note) for note in sorted((folder / _CALLS).glob("*.json"))]
    return {name for note in notes for name in note["former"]} - {name for note in notes for name in note["files"]}


def _read(note: Path) -> dict[str, list[str]]:
    with suppress(OSError, DataError, KeyError):
        found = files.read_sealed_json(note)
        return {"files": list(found["files"]), "former": list(found["former"])}
    return {"files": [], "former": []}
