"""The manifest of a folder: the SHA-256 and size of every file in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferkit.errors import DataError
from transferkit.files.hashing import sha256_file
from transferkit.files.paths import check_file
from transferkit.files.strict_json import read_json, write_json

MANIFEST = "manifest.json"


def write_manifest(folder: Path, **facts: object) -> None:
    """Record the SHA-256 and size of every file in `folder`, and `facts` beside them."""
    files = {
        file.relative_to(folder).as_posix(): {"sha256": sha256_file(file), "bytes": file.stat().st_size}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def verify_manifest(folder: Path, names: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Check the files that the manifest lists and return the manifest.

    Parameters
    ----------
    folder : Path
        A folder written with `write_manifest`.
    names : mapping of str, optional
        Check only these files. All that the manifest lists if None; a listed file that is absent is an error either way
        unless its name ends in ``.weights.h5`` (records are published without their weights).

    Raises
    ------
    DataError
        If a file is missing, was changed, or is a pipe or a folder.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise DataError(f"{folder / MANIFEST} is not a manifest of transferkit.")
    for name, entry in manifest["files"].items():
        if names is not None and name not in names:
            continue
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            raise DataError(f"{folder / MANIFEST} has no size and SHA-256 for {name!r}. It is damaged.")
        file = folder / name
        if not _lies_in(file, folder):
            raise DataError(f"{folder / MANIFEST} lists {name!r:.80}, which lies outside its folder.")
        if not file.exists():
            if name.endswith(".weights.h5") and names is None:
                continue
            raise DataError(f"{file} is missing, though {MANIFEST} lists it.")
        check_file(file)
        if file.stat().st_size != entry["bytes"] or sha256_file(file) != entry["sha256"]:
            raise DataError(f"{file} was changed or damaged: its SHA-256 is not the one in {MANIFEST}.")
    return manifest


def _lies_in(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle
        return False
