"""Shards: what features are computed of when the images are too many for one machine.

A shard is a Parquet file with the bytes of image files and their keys, or some image files, whose paths are the keys.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from transferkit import files
from transferkit.data.formats import image_suffixes, looks_like_image
from transferkit.data.listing import Walk, describe_unreadable, show_path
from transferkit.data.notices import say
from transferkit.errors import DataError, InvalidInputError, UnknownNameError, list_some
from transferkit.features.arrow import load_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

_FILES_IN_SHARD: Final = 1024
_PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True)
class Columns:
    """Which columns of a Parquet file are the keys, the images, and what goes along with the features."""

    key: str = "key"
    image: str = "image"
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """Images that are computed together, by one worker.

    Parameters
    ----------
    name : str
        For messages and records.
    path : str
        A Parquet file, or the folder that `images` lie in.
    images : tuple of str, optional
        Image files, relative to `path`; None for a Parquet file.
    prefix : str
        What stands before a file's path in its key.
    """

    name: str
    path: str
    images: tuple[str, ...] | None = None
    prefix: str = ""

    def digest(self, known: Path) -> str:
        """Return SHA-256 of all that it holds; read once, and remembered by the files' sizes and times in the folder `known`."""
        before = self._state()
        note = known / f"{_sha256(before)}.json"
        try:
            return str(files.read_sealed_json(note)["content"])
        except (OSError, DataError, KeyError):
            content = self._read_digest()
        if self._state() != before:
            raise DataError(f"{self.name} was changed while it was read. Run it again.")
        files.write_sealed_json(note, {"content": content})
        return content

    def _paths(self) -> list[Path]:
        return [Path(self.path)] if self.images is None else [Path(self.path, image) for image in self.images]

    def _state(self) -> list[Any]:
        found: list[Any] = [(self.path, self.images, self.prefix)]
        for path in self._paths():
            status = path.stat()
            # cp -p and archives give a new file the old one's time; no program sets the third
            found.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        return found

    def _read_digest(self) -> str:
        if self.images is None:
            return files.sha256_file(Path(self.path))
        digests = [files.sha256_file(path) for path in self._paths()]
        return _sha256([self.prefix, self.images, digests])

    def pieces(self, columns: Columns, size: int) -> Iterator["Piece"]:
        """Yield the images, as bytes of files, in pieces.

        Raises
        ------
        DataError
            If it is no Parquet file, or a key is missing.
        UnknownNameError
            If it lacks a column.
        """
        if self.images is None:
            yield from _read_parquet(self, columns, size)
            return
        pa = load_pyarrow()
        for start in range(0, len(self.images), size):
            some = self.images[start : start + size]
            contents: list[bytes | None] = []
            for image in some:
                with files.open_file(Path(self.path, image)) as stream:
                    contents.append(stream.read())
            yield Piece(
                pa.table({"key": pa.array([show_path(self.prefix + image) for image in some], pa.string())}), contents
            )


class Piece(NamedTuple):
    """Some images: a table with their keys and what goes along, and the bytes of each file."""

    table: "pa.Table"
    contents: list[bytes | None]


def split_table(table: "pa.Table", columns: Columns, name: str) -> Piece:
    """Return the keys, what goes along, and the bytes of the images of a table.

    Raises
    ------
    DataError
        If a key is missing, or a column holds something else.
    UnknownNameError
        If there is no such column.
    """
    pa = load_pyarrow()
    for column in (columns.key, columns.image, *columns.others):
        if column not in table.column_names:
            raise UnknownNameError(f"column of {name}", column, table.column_names)
    taken = {}
    for column in (columns.key, *columns.others):
        values = table.column(column)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        taken["key" if column == columns.key else column] = values
    keys = taken["key"]
    if pa.types.is_integer(keys.type):
        taken["key"] = keys.cast(pa.int64())
    elif pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type):
        taken["key"] = keys.cast(pa.string())
    else:
        raise DataError(f"the keys of {name}, column {columns.key!r}, are {keys.type}; expected strings or integers.")
    if keys.null_count:
        raise DataError(f"{keys.null_count} rows of {name} have no key in column {columns.key!r}.")
    images = table.column(columns.image)
    if pa.types.is_struct(images.type) and images.type.get_field_index("bytes") >= 0:  # as Hugging Face writes them
        images = pa.compute.struct_field(images, "bytes")
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type)):
        raise DataError(
            f"the images of {name}, column {columns.image!r}, are {images.type}; expected the bytes of image files."
        )
    return Piece(pa.table(taken), images.to_pylist())


def _read_parquet(shard: Shard, columns: Columns, size: int) -> Iterator[Piece]:
    pa = load_pyarrow()
    import pyarrow.parquet as pq

    try:
        with files.open_file(Path(shard.path)) as stream, pq.ParquetFile(stream) as table:
            wanted = [columns.key, columns.image, *columns.others]
            missing = [name for name in wanted if name not in table.schema_arrow.names]
            if missing:
                raise UnknownNameError(f"column of {shard.name}", missing[0], table.schema_arrow.names)
            for batch in table.iter_batches(size, columns=wanted, use_threads=False):
                yield split_table(pa.Table.from_batches([batch]), columns, shard.name)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{shard.name} cannot be read as Parquet: {error}") from None


# What users pass


def list_shards(given: Any) -> list[Shard]:
    """Return the shards that a user means.

    Parameters
    ----------
    given : path, or sequence of paths and sequences of paths
        A folder of Parquet files, or of images in any subfolders; or a list of shards: Parquet files, folders of images, and lists
        of image files.

    Raises
    ------
    InvalidInputError
        If it is something else.
    DataError
        If a folder is missing, or holds neither.
    """
    if isinstance(given, str | os.PathLike):
        path = files.as_path(given, "shards").absolute()
        return _of_folder(path) if path.is_dir() else [_of_file(path)]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise InvalidInputError(
            f"shards must be a folder, or a list of Parquet files, folders and lists of image files; got {type(given).__name__}."
        )
    shards: list[Shard] = []
    loose: list[str] = []
    for number, one in enumerate(given):
        if isinstance(one, str | os.PathLike):
            path = files.as_path(one, "shards").absolute()
            if path.suffix.lower() in image_suffixes() and not path.is_dir():
                loose.append(files.as_path(one, "shards").as_posix())
                continue
            shards += _of_one(path) if path.is_dir() else [_of_file(path)]
        elif isinstance(one, Sequence):
            images = tuple(files.as_path(image, "shards").as_posix() for image in one)
            if images:
                shards.append(Shard(f"list {number}", str(Path.cwd()), images))
        else:
            raise InvalidInputError(f"a shard must be a path or a list of paths; got {type(one).__name__}.")
    for start in range(0, len(loose), _FILES_IN_SHARD):
        part = tuple(loose[start : start + _FILES_IN_SHARD])
        shards.append(Shard(f"files from {start}", str(Path.cwd()), part))
    if not shards:
        raise InvalidInputError("shards is empty; give at least one.")
    return shards


def _of_file(path: Path) -> Shard:
    if path.suffix.lower() not in _PARQUET:
        raise DataError(f"{show_path(path)} is no folder and no Parquet file (.parquet). Image files go into a list.")
    return Shard(path.name, str(path))  # perhaps only the workers see it


def _of_one(folder: Path) -> list[Shard]:
    """Return a folder of images as one shard, whose keys begin with its name, or its Parquet files."""
    tables, images = _contents(folder)
    return tables or [Shard(folder.name, str(folder), tuple(images), f"{folder.name}/")]


def _of_folder(folder: Path) -> list[Shard]:
    """Return the Parquet files of a folder, or its images in shards of about a thousand.

    A file's shard follows from its path, so that a new file changes one shard.
    """
    tables, images = _contents(folder)
    if tables:
        return tables
    count = 1
    while count * _FILES_IN_SHARD < len(images):
        count *= 2
    parts: list[list[str]] = [[] for _ in range(count)]
    for image in images:
        parts[int.from_bytes(hashlib.sha256(os.fsencode(image)).digest()[:8], "little") % count].append(image)
    return [Shard(f"{folder.name} {i + 1}/{count}", str(folder), tuple(part)) for i, part in enumerate(parts) if part]


def _contents(folder: Path) -> tuple[list[Shard], list[str]]:
    """Return the Parquet files in a folder, and its images."""
    found = list(Walk().files(folder))
    # Spark writes tables of its own, as _metadata, beside those with the rows; cameras call photographs _MG_0001.
    tables = [path for path in found if path.suffix.lower() in _PARQUET and not path.name.startswith("_")]
    others = [path for path in found if path.suffix.lower() not in _PARQUET]
    images = sorted(path.relative_to(folder).as_posix() for path in others if looks_like_image(path))
    say(f"{show_path(folder)}: ", describe_unreadable(folder, others))
    if tables and images:
        raise DataError(
            f"{show_path(folder)} holds Parquet files and images ({list_some(images, most=3)}). Say which: pass a list of files."
        )
    if not tables and not images:
        raise DataError(f"{show_path(folder)} holds neither Parquet files nor images.")
    return [_of_file(path) for path in sorted(tables)], images


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()
