"""What a file really is, by its first bytes."""

from typing import Final

_SIGNATURES: Final = (
    (b"version https://git-lfs", "a Git LFS pointer, not the data: run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file, perhaps compressed twice"),
)


def describe_content(head: bytes) -> str | None:
    """Say what a file that starts with `head` really is, if it is one of the usual mistakes.

    Examples
    --------
    >>> describe_content(b"<!DOCTYPE html><html>")
    'a web page, not data: the server sent an error or a login page'
    """
    if not head:
        return "an empty file"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not data: the server sent an error or a login page"
    return next((what for magic, what in _SIGNATURES if head.startswith(magic)), None)
