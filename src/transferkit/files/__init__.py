"""The only room that creates, replaces, locks or removes files by itself."""

from transferkit.files.atomic import atomic_folder, atomic_write, write_text
from transferkit.files.contents import describe_content
from transferkit.files.downloads import download
from transferkit.files.faults import explained
from transferkit.files.growing import open_for_appending, temporary_array
from transferkit.files.hashing import sha256_arrays, sha256_file
from transferkit.files.locks import LONG_WAIT_SECONDS, lock
from transferkit.files.manifests import MANIFEST, verify_manifest, write_manifest
from transferkit.files.paths import as_path, check_file, open_file
from transferkit.files.places import cache_home, folder_bytes, free_bytes, is_offline, keras_home
from transferkit.files.removal import remove, remove_leftovers, scratch_folder
from transferkit.files.sealed import (
    read_sealed,
    read_sealed_json,
    seal_record,
    unseal_record,
    write_sealed,
    write_sealed_json,
)
from transferkit.files.strict_json import read_json, write_json

__all__ = [
    "LONG_WAIT_SECONDS",
    "MANIFEST",
    "as_path",
    "atomic_folder",
    "atomic_write",
    "cache_home",
    "check_file",
    "describe_content",
    "download",
    "explained",
    "folder_bytes",
    "free_bytes",
    "is_offline",
    "keras_home",
    "lock",
    "open_file",
    "open_for_appending",
    "read_json",
    "read_sealed",
    "read_sealed_json",
    "remove",
    "remove_leftovers",
    "scratch_folder",
    "seal_record",
    "sha256_arrays",
    "sha256_file",
    "temporary_array",
    "unseal_record",
    "verify_manifest",
    "write_json",
    "write_manifest",
    "write_sealed",
    "write_sealed_json",
    "write_text",
]
