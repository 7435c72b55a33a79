"""Where the cache lies, how much room there is, and whether the network may be used."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_home() -> Path:
    """Return the folder for downloads and computed features (``TRANSFERKIT_HOME`` moves it)."""
    home = os.environ.get("TRANSFERKIT_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("transferkit"))


def keras_home() -> Path:
    """Return the folder in which Keras keeps its downloads (``KERAS_HOME`` moves it)."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def is_offline() -> bool:
    """Return whether ``TRANSFERKIT_OFFLINE`` forbids the network."""
    return os.environ.get("TRANSFERKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that a folder is on, or will be on, in bytes."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def can_be_written(folder: Path) -> bool:
    """Return whether this process may make files in a folder that exists."""
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
