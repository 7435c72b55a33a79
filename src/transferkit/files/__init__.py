"""The only room that creates, replaces, locks or removes files by itself."""

from transferkit.files.atomic import atomic_folder, atomic_write, write_text
from transferkit.files.downloads import download
from transferkit.files.growing import open_for_appending, temporary_array
from transferkit.files.hashing import sha256_arrays, sha256_file
from transferkit.files.locks import lock
from transferkit.files.manifests import MANIFEST, verify_manifest, write_manifest
from transferkit.files.places import cache_home, folder_bytes, free_bytes, is_offline, keras_home
from transferkit.files.removal import remove, remove_leftovers, scratch_folder
from transferkit.files.strict_json import read_json, write_json

__all__ = [
    "MANIFEST",
    "atomic_folder",
    "atomic_write",
    "cache_home",
    "download",
    "folder_bytes",
    "free_bytes",
    "is_offline",
    "keras_home",
    "lock",
    "open_for_appending",
    "read_json",
    "remove",
    "remove_leftovers",
    "scratch_folder",
    "sha256_arrays",
    "sha256_file",
    "temporary_array",
    "verify_manifest",
    "write_json",
    "write_manifest",
    "write_text",
]
