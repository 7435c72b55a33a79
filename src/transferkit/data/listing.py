"""What lies in a folder of images: its classes, splits and files, without opening any."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transferkit.data import checks
from transferkit.errors import DataError, warn

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp"})
_OTHER_IMAGE_SUFFIXES = frozenset(
    {".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jp2", ".jxl", ".psd", ".dng", ".cr2"}
)
_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_LISTED = 20


@dataclass(frozen=True)
class ImageFile:
    """One image file: its path relative to the folder, its class, and its split where the folder says so."""

    path: str
    label: int
    split: str | None


@dataclass(frozen=True)
class Listing:
    """What lies in a folder."""

    root: Path
    class_names: tuple[str, ...]
    images: tuple[ImageFile, ...]
    num_ignored: int


def show_path(path: object) -> str:
    """Write a path so that it can be printed even if its name is not valid UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not _is_hidden(child.name))
    except OSError as error:
        raise DataError(f"{show_path(folder)} cannot be read ({error.strerror or error}).") from None


def _class_name(folder: Path) -> str:
    name = unicodedata.normalize("NFC", folder.name)  # macOS writes names decomposed, others do not
    if show_path(name) != name:
        raise DataError(f"the folder name {show_path(folder)} is not valid UTF-8. Rename it.")
    return name


def _visible_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{show_path(error.filename)} cannot be read ({error.strerror}).")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (Path(parent) / name for name in sorted(names) if not _is_hidden(name))


def _split_folders(root: Path, folders: list[Path]) -> dict[str, Path] | None:
    """Return the folder of each split if all of `folders` are named like splits and one is for training."""
    roles = [_SPLIT_NAMES.get(folder.name.lower()) for folder in folders]
    if None in roles or "train" not in roles:
        return None
    if len(set(roles)) < len(roles):
        raise DataError(
            f"{show_path(root)} has two folders for one split: {', '.join(f.name for f in folders)}. Keep one."
        )
    return {str(role): folder for role, folder in zip(roles, folders, strict=True)}


def list_images(root: Path) -> Listing:
    """List the classes and image files of a folder, in a fixed order, without opening any file.

    Raises
    ------
    DataError
        If the folder is missing, or has no class, one class, or a class without images.
    """
    if not root.exists():
        raise DataError(f"{show_path(root)} does not exist. Give a folder with one subfolder per class.")
    if not root.is_dir():
        raise DataError(
            f"{show_path(root)} is a file. Give a folder with one subfolder per class; unpack an archive first."
        )
    root = root.resolve()
    folders = _subfolders(root)
    by_split = _split_folders(root, folders)
    groups: dict[str | None, list[Path]] = {None: folders} if by_split is None else {}
    for name, folder in (by_split or {}).items():
        groups[name] = _subfolders(folder)
    class_folders = groups[None if by_split is None else "train"]
    where = root if by_split is None else by_split["train"]
    if not class_folders:
        loose = sum(file.suffix.lower() in SUFFIXES for file in where.iterdir())
        found = f"{loose} images lie in it directly" if loose else "it has no subfolders"
        raise DataError(f"{show_path(where)} has no classes: {found}. Put the images into one subfolder per class.")
    class_names = checks.check_class_names(sorted(_class_name(folder) for folder in class_folders))
    numbers = {name: index for index, name in enumerate(class_names)}
    images, others = [], []
    for split, members in groups.items():
        for folder in members:
            label = numbers.get(_class_name(folder))
            if label is None:
                raise DataError(
                    f"class {_class_name(folder)!r} is in {split} only; a model cannot learn it. Training classes:"
                    f" {', '.join(class_names)}."
                )
            for file in _visible_files(folder):
                if file.suffix.lower() in SUFFIXES:
                    images.append(ImageFile(file.relative_to(root).as_posix(), label, split))
                else:
                    others.append(file)
    parents = [root, *(by_split or {}).values()]
    others += [
        file for parent in parents for file in sorted(parent.iterdir()) if file.is_file() and not _is_hidden(file.name)
    ]
    _warn_of_other_images(others)
    images.sort(key=lambda image: image.path)
    return Listing(root, class_names, tuple(images), len(others))


def _warn_of_other_images(others: list[Path]) -> None:
    lost = [file for file in others if file.suffix.lower() in _OTHER_IMAGE_SUFFIXES | SUFFIXES]
    if lost:
        warn(
            f"{len(lost)} image files are left out, since they are of another format or in no class folder:"
            f" {list_some(show_path(file) for file in lost)}. Convert them to PNG or JPEG, or move them."
        )


def list_some(texts: Iterable[str], *, separator: str = ", ") -> str:
    """Join the first texts, and say how many more there are."""
    texts = list(texts)
    more = [f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
    return separator.join(texts[:_LISTED] + more)
