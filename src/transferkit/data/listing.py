"""What lies in a folder of images: its classes, splits and files."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transferkit.data import checks
from transferkit.data.formats import UNREADABLE_SUFFIXES, image_suffixes, looks_like_image
from transferkit.errors import DataError, list_some

# What systems and programs leave in folders: thumbnails, bins, indexes.
_LEFTOVERS = frozenset(
    {
        "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle", "@tmp", "__macosx",
        "__pycache__", "desktop.ini", "ehthumbs.db", "lost+found", "recycler", "system volume information", "thumbs.db",
    }
)  # fmt: skip
_LEFT_OUT, _UNCLEAR = "left out", "unclear"
_ROLES = {
    word: role
    for role, words in {
        "train": "train training trn 학습 훈련",
        "validation": "validation val valid dev 검증",
        "test": "test testing tst holdout 테스트 시험",
        _LEFT_OUT: "unlabeled unlabelled pred predict prediction predictions unsup",
        _UNCLEAR: "eval evaluation 평가",
    }.items()
    for word in words.split()
}
_FILLERS = (
    "dataset",
    "images",
    "image",
    "imgs",
    "data",
    "img",
    "seg",
    "set",
    "split",
    "데이터셋",
    "데이터",
    "셋",
    "용",
)


@dataclass(frozen=True)
class ImageFile:
    """One image file: its path relative to the folder, its class, its split where the folder says so, and its group."""

    path: str
    label: int
    split: str | None
    group: int | None = None


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, or stands in a table; `remarks` are sentences that the user should read."""

    root: Path
    class_names: tuple[str, ...]
    images: tuple[ImageFile, ...]
    num_ignored: int = 0
    num_hidden: int = 0
    remarks: tuple[str, ...] = ()


def show_path(path: object) -> str:
    """Write a path so that it can be printed even if its name is not valid UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def count(number: int, noun: str) -> str:
    """Write how many of something there are."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LEFTOVERS or "@Syno" in name


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{show_path(folder)} cannot be read ({error.strerror or error}).") from None


def _subfolders(folder: Path) -> list[Path]:
    return [child for child in _entries(folder) if child.is_dir() and not _is_hidden(child.name)]


@dataclass
class Walk:
    """A walk through folders and links, in a fixed order; counts the hidden files that it passes by."""

    num_hidden: int = 0
    _above: list[tuple[int, int]] = field(default_factory=list)

    def files(self, folder: Path) -> Iterator[Path]:
        """Yield every visible file below a folder.

        Raises
        ------
        DataError
            If a folder cannot be read, or a link leads back to a folder that it lies in.
        """
        status = folder.stat()
        place = status.st_dev, status.st_ino
        if place in self._above:
            raise DataError(
                f"{show_path(folder)} is a link to a folder that it lies in, so the folder has no end. Remove the link."
            )
        self._above.append(place)
        for child in _entries(folder):
            if _is_hidden(child.name):
                self.num_hidden += _count_files(child)
            elif child.is_dir():
                yield from self.files(child)
            elif child.is_file() or child.is_symlink():  # opening a pipe or a device would wait for ever
                yield child
        self._above.pop()


def _count_files(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return 1
    return sum(len(names) for _, _, names in os.walk(path))


# The splits


def _role(name: str) -> tuple[str, str] | None:
    """Return the split that a folder's name stands for, and what else the name says; None if it names no split."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", composed(name)).lower()
    words = " ".join(re.findall(r"[^\W\d_]+|\d+", spaced)).replace("hold out", "holdout").split()
    if words and words[0].isdigit():  # 1.Training, 2.Validation
        del words[0]
    for index, word in enumerate(words):
        for core in (word, *(word.removesuffix(filler) for filler in _FILLERS)):
            if core in _ROLES:
                rest = [other for other in words[:index] + words[index + 1 :] if other not in _FILLERS]
                return _ROLES[core], " ".join(rest)
    return None


def split_of(name: str) -> str | None:
    """Return the split that a name stands for: ``"train"``, ``"validation"`` or ``"test"``; None for another name.

    Examples
    --------
    >>> split_of("dev"), split_of("Training_Set"), split_of("cat")
    ('validation', 'train', None)
    """
    role, rest = _role(name) or (None, "")
    return role if role in ("train", "validation", "test") and not rest else None


@dataclass
class _Layout:
    """The class folders of each split (None: not divided), and what is to be said about it."""

    classes: dict[str | None, list[Path]]
    where: Path  # the folder whose subfolders name the classes
    parents: list[Path]  # folders in which loose images are no class's
    left_out: list[Path]
    remarks: list[str]


def _find_layout(root: Path, *, split_folders: bool) -> _Layout:
    base, remarks = root, []
    while True:
        folders = _subfolders(base)
        found = _find_splits(base, folders) if split_folders else None
        if found is not None:
            by_split, left_out = found
            break
        if len(folders) != 1 or _has_image(base) or _has_image(folders[0]) or not _subfolders(folders[0]):
            by_split, left_out = {}, []
            break
        base = folders[0]
    if base != root:
        remarks.append(f"its classes were found deeper, in {show_path(base.relative_to(root))}")
    if not by_split:
        if split_folders:
            remarks += _look_inside(root, base, folders)
        return _Layout({None: folders}, base, [base] if base == root else [root, base], left_out, remarks)
    by_split = {split: _skip_twin(folder) for split, folder in by_split.items()}
    classes: dict[str | None, list[Path]] = {split: _subfolders(folder) for split, folder in by_split.items()}
    for split, folder in by_split.items():
        if split != "train" and _has_no_classes(folder, classes[split], classes["train"]):
            remarks.append(
                f"the images in {show_path(folder.relative_to(root))} lie in no class folder, so they are left out"
            )
            del classes[split]
            left_out.append(folder)
    parents = [base, *(folder for folder in by_split.values() if folder not in left_out)]
    return _Layout(classes, by_split["train"], parents, left_out, remarks)


def _has_no_classes(folder: Path, inside: list[Path], of_training: list[Path]) -> bool:
    """Whether the images of a split lie in its folder, or in one that only says what they are: ``test/images``."""
    if (
        len(inside) == 1
        and inside[0].name.lower() in _FILLERS
        and inside[0].name not in {one.name for one in of_training}
    ):
        return _has_image(inside[0])
    return not inside and _has_image(folder)


def _look_inside(root: Path, base: Path, classes: list[Path]) -> list[str]:
    """Return a sentence about class folders that all hold the same folders, and no image beside them.

    Raises
    ------
    DataError
        If those are named like splits.
    """
    divided = {one: found for one in classes if (found := _splits_inside(one))}
    if divided and len(classes) > 1:
        first, found = next(iter(divided.items()))
        who, name = "each class" if len(divided) == len(classes) else show_path(first.name), show_path(first.name)
        raise DataError(
            f"{who} in {show_path(base.name)} has folders named like splits ({list_some(map(show_path, found))}). Put the classes into the "
            f"splits, as in {show_path(found[0])}/{name}; or load {name} alone, if it is the whole dataset. To put all images of a class "
            "together, pass split_folders=False."
        )
    if len(classes) < 2 or any(map(_has_image, classes)):
        return []
    names = {frozenset(folder.name for folder in _subfolders(one)) for one in classes}
    if len(names) > 1 or len(next(iter(names))) < 2:
        return []
    shared = sorted(next(iter(names)))
    deeper = show_path((base / classes[0].name).relative_to(root))
    listed = list_some(map(show_path, shared), most=3)
    return [
        f"each class holds the same {len(shared)} folders ({listed}): if these are the classes, load {deeper} alone"
    ]


def _splits_inside(folder: Path) -> list[str]:
    """Return the names of a class folder's own folders for training and for something else, if it has both."""
    try:
        with os.scandir(folder) as entries:  # which knows folders without asking the disk about each image
            roles = {one.name: role for one in entries if one.is_dir() and (role := split_of(one.name))}
    except OSError:  # the walk through it will say so
        return []
    return sorted(roles) if {"train"} < set(roles.values()) else []


def _find_splits(base: Path, folders: list[Path]) -> tuple[dict[str, Path], list[Path]] | None:
    """Return the folder of each split and the folders to leave out, or None if no folder is named like a split.

    Raises
    ------
    DataError
        If some folders are named like splits and the rest of the folder does not fit to that.
    """
    roles = {folder: role for folder in folders if (role := _role(folder.name)) is not None}
    rests: dict[str, set[str]] = {}
    for split, rest in roles.values():
        rests.setdefault(rest, set()).add(split)
    # test_tube alone is a class; my_train and my_test are splits.
    marked = {
        folder: split
        for folder, (split, rest) in roles.items()
        if not rest or (len(rests[rest]) > 1 and "train" in rests[rest])
    }
    if not marked:
        return None
    names = list_some(show_path(folder.name) for folder in marked)
    cure = "If these are classes, pass split_folders=False."
    others = [folder for folder in folders if folder not in marked]
    classes = [folder for folder in others if any(map(looks_like_image, Walk().files(folder)))]
    if classes:
        listed = list_some(show_path(folder.name) for folder in classes)
        raise DataError(
            f"{show_path(base)} holds folders named like splits ({names}) beside others with images ({listed}). Keep one"
            f" kind: either train, validation and test with class folders in each, or classes only. {cure}"
        )
    if _UNCLEAR in marked.values():
        raise DataError(
            f"{show_path(base)} holds {names}, which does not say whether these images choose (validation) or measure"
            f" (test). Rename that folder to validation or test. {cure}"
        )
    splits: dict[str, Path] = {}
    for folder, split in marked.items():
        if split in splits:
            raise DataError(f"{show_path(base)} has two folders for one split: {names}. Keep one.")
        if split != _LEFT_OUT:
            splits[split] = folder
    if "train" not in splits:
        raise DataError(
            f"{show_path(base)} holds folders named like splits ({names}), and none of them is for training. {cure}"
        )
    return splits, [folder for folder, split in marked.items() if split == _LEFT_OUT] + others


def _skip_twin(folder: Path) -> Path:
    """Return the folder of the same name or role inside a split's folder, if that is all that it holds (seg_train/seg_train)."""
    inner = _subfolders(folder)
    if len(inner) == 1 and not _has_image(folder) and _subfolders(inner[0]):
        name = inner[0].name
        same = (
            name.casefold() == folder.name.casefold()
            or _role(name) == _role(folder.name)
            or name.casefold() in _FILLERS
        )
        return inner[0] if same else folder
    return folder


def _has_image(folder: Path) -> bool:
    """Whether an image lies directly in a folder."""
    return any(file.suffix.lower() in image_suffixes() and file.is_file() for file in _entries(folder))


def composed(name: Any) -> Any:
    """Return a name in one form, as macOS writes names decomposed and others do not; what is no string as it is."""
    return unicodedata.normalize("NFC", name) if isinstance(name, str) else name


def named_as(table: Mapping[Any, Any], names: Collection[Any]) -> dict[Any, Any]:
    """Return a table under `names` as those are written, and what is of none of them under its own; equal spelling goes first."""
    alike, wanted = {composed(name): value for name, value in table.items()}, set(map(composed, names))
    found = {
        name: table.get(name, alike.get(composed(name))) for name in names if name in table or composed(name) in alike
    }
    return found | {name: value for name, value in table.items() if composed(name) not in wanted}


def _class_name(folder: Path) -> str:
    name = composed(folder.name)
    if show_path(name) != name:
        raise DataError(f"the folder name {show_path(folder)} is not valid UTF-8. Rename it.")
    return name


def list_images(root: Path, *, split_folders: bool = True) -> Listing:
    """List the classes and image files of a folder, in a fixed order.

    Files are known by their name; a file whose name is no image's is opened to see what it holds.

    Parameters
    ----------
    root : Path
        The folder.
    split_folders : bool, default True
        Whether folders named like splits are splits. Otherwise every subfolder is a class.

    Returns
    -------
    Listing
        With paths relative to `root`.

    Raises
    ------
    DataError
        If the folder is missing, has no class or one class, splits lie among classes, or a link leads in a circle.
    """
    if not root.exists():
        raise DataError(f"{show_path(root)} does not exist. Give a folder with one subfolder per class.")
    if not root.is_dir():
        raise DataError(
            f"{show_path(root)} is a file. Give a folder with one subfolder per class; unpack an archive first."
        )
    root = root.resolve()
    layout = _find_layout(root, split_folders=split_folders)
    class_folders = layout.classes[None if None in layout.classes else "train"]
    if not class_folders:
        loose = sum(map(looks_like_image, (file for file in _entries(layout.where) if file.is_file())))
        found = f"{count(loose, 'image')} directly in it" if loose else "it has no subfolders"
        raise DataError(
            f"{show_path(layout.where)} has no classes: {found}. Put the images into one subfolder per class, or, if a"
            " table names the class of each file, use load_image_table."
        )
    class_names = checks.check_class_names(sorted(_class_name(folder) for folder in class_folders))
    numbers = {name: index for index, name in enumerate(class_names)}
    images: list[ImageFile] = []
    others: list[Path] = []
    walk = Walk()
    for split, members in layout.classes.items():
        for folder in members:
            label = numbers.get(_class_name(folder))
            if label is None:
                raise DataError(
                    f"class {_class_name(folder)!r} is in {split} only; a model cannot learn it. Training classes:"
                    f" {', '.join(class_names)}."
                )
            for file in walk.files(folder):
                if looks_like_image(file):
                    images.append(ImageFile(file.relative_to(root).as_posix(), label, split))
                else:
                    others.append(file)
    loose_files = [file for parent in layout.parents for file in _entries(parent) if not file.is_dir()]
    walk.num_hidden += sum(_is_hidden(file.name) for file in loose_files)
    others += [file for file in loose_files if not _is_hidden(file.name)]
    for folder in layout.left_out:
        others += walk.files(folder)
    images.sort(key=lambda image: image.path)
    remarks = [*layout.remarks, *_describe_lost(root, others)]
    return Listing(root, class_names, tuple(images), len(others), walk.num_hidden, tuple(remarks))


def _describe_lost(root: Path, others: list[Path]) -> Iterator[str]:
    """Yield a sentence for each kind of image that is left out."""

    def list_files(files: list[Path]) -> str:
        return list_some((show_path(file.relative_to(root)) for file in files), most=5)

    homeless = [file for file in others if not _is_unreadable(file) and looks_like_image(file)]
    if homeless:
        yield f"left out {count(len(homeless), 'image file')} in no class folder: {list_files(homeless)}"
    yield from describe_unreadable(root, others)


def _is_unreadable(file: Path) -> bool:
    suffix = file.suffix.lower()
    return suffix in UNREADABLE_SUFFIXES and suffix not in image_suffixes()


def describe_unreadable(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Yield a sentence about the pictures among these files that are of a format that is not read, if there are any."""
    unreadable = [file for file in files if _is_unreadable(file)]
    if unreadable:
        listed = list_some((show_path(file.relative_to(root)) for file in unreadable), most=5)
        yield (
            f"left out {count(len(unreadable), 'file')} of a format that Pillow does not read: {listed}."
            " Convert such files to PNG or JPEG (for HEIC install the extra: pip install 'transferkit[heic]')"
        )
