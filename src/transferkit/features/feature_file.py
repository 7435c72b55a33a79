"""Parquet files of features: a row for each image with its key, and a sealed record of what computed them.

Any program that reads Parquet reads them. The record stands in the file's metadata, under ``transferkit``; it has SHA-256 of all rows,
so that damage is noticed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import DataError
from transferkit.features.arrow import load_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES: Final = "features"
_RECORD: Final = b"transferkit"
_FORMAT: Final = 1


class FeatureRows(NamedTuple):
    """Some rows: a table with the keys and what goes along, and the features."""

    table: "pa.Table"
    features: NDArray[np.float32]


def feature_column(features: NDArray[np.float32]) -> "pa.Array":
    """Return features, shape (n, ...), as a column of flat lists of one length."""
    pa = load_pyarrow()
    flat = np.ascontiguousarray(features, np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(features.shape[1:])))


def write_feature_file(path: Path, record: dict[str, Any], rows: Iterable[FeatureRows], skipped: dict[str, str]) -> int:
    """Write rows and record, atomically; return how many rows there are.

    Parameters
    ----------
    path : Path
        The file.
    record : dict
        What computed the features, as plain values.
    rows : iterable of FeatureRows
        All of one schema.
    skipped : dict of str to str
        Filled while the rows are read: which images have no row, and why.
    """
    pa = load_pyarrow()
    import pyarrow.parquet as pq

    digest, count, writer = hashlib.sha256(), 0, None
    with files.atomic_write(path, what="features") as stream:
        for table, features in rows:
            whole = table.append_column(FEATURES, feature_column(features))
            if writer is None:
                # Rows of random-looking numbers have no repeated values for a dictionary.
                writer = pq.ParquetWriter(stream, whole.schema, compression="zstd", use_dictionary=False)
            writer.write_table(whole)
            _update(digest, table, features)
            count += len(features)
        if writer is None:
            shape = record["network"]["shape"]
            empty = pa.table(
                {"key": pa.array([], pa.string()), FEATURES: feature_column(np.empty((0, *shape), np.float32))}
            )
            writer = pq.ParquetWriter(stream, empty.schema)
        sealed = files.seal_record(
            {"format": _FORMAT, **record, "rows": count, "rows_sha256": digest.hexdigest(), "skipped": dict(skipped)}
        )
        writer.add_key_value_metadata({_RECORD: json.dumps(sealed)})
        writer.close()
    return count


def _update(digest: Any, table: "pa.Table", features: NDArray[np.float32]) -> None:
    """Hash the rows one after the other, so that it does not matter in which pieces they are read."""
    columns = [table.column(name).to_pylist() for name in table.column_names]
    for values, row in zip(zip(*columns, strict=True), features.reshape(len(features), -1), strict=True):
        digest.update(repr(values).encode("utf-8", "backslashreplace"))
        digest.update(row.data)


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """A file that `write_feature_file` wrote.

    Parameters
    ----------
    path : Path
        The file.
    record : dict
        Of what computed the features, unsealed.
    """

    path: Path
    record: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "FeatureFile":
        """Read the record.

        Raises
        ------
        DataError
            If the file is damaged, or none of ours.
        OSError
            If it is not there.
        """
        pa = load_pyarrow()
        import pyarrow.parquet as pq

        with files.open_file(path) as stream:
            try:
                metadata = pq.read_metadata(stream).metadata or {}
            except (pa.ArrowException, OSError, ValueError) as error:
                raise DataError(f"{path} is damaged, or no Parquet file: {error}") from None
        if _RECORD not in metadata:
            raise DataError(f"{path} has no record of what computed it: it was not written by extract_features.")
        try:
            sealed = json.loads(metadata[_RECORD])
        except ValueError:
            sealed = None
        record = files.unseal_record(sealed, str(path))
        if record.get("format") != _FORMAT:
            raise DataError(f"{path} was written by a newer version of transferkit (format {record.get('format')}).")
        return cls(path, record)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.record["rows"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image's features."""
        return tuple(self.record["network"]["shape"])

    def read(self, size: int = 1024) -> Iterator[FeatureRows]:
        """Yield all rows in pieces; the last one only if they are those that were written.

        Raises
        ------
        DataError
            If they are not.
        """
        pa = load_pyarrow()
        import pyarrow.parquet as pq

        digest = hashlib.sha256()
        held: FeatureRows | None = None
        try:
            with files.open_file(self.path) as stream, pq.ParquetFile(stream) as file:
                for batch in file.iter_batches(size, use_threads=False):
                    if held is not None:
                        yield held
                    table = pa.Table.from_batches([batch])
                    features = batch.column(FEATURES).flatten().to_numpy(zero_copy_only=False)
                    held = FeatureRows(table.drop_columns([FEATURES]), features.reshape(-1, *self.shape))
                    _update(digest, *held)
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise DataError(f"{self.path} is damaged: {error}") from None
        if digest.hexdigest() != self.record["rows_sha256"]:
            raise DataError(f"{self.path} is damaged: its rows are not those that were written.")
        if held is not None:
            yield held

    def read_table(self) -> "pa.Table":
        """Return the keys and what goes along, without the features, and without a check."""
        import pyarrow.parquet as pq

        with files.open_file(self.path) as stream, pq.ParquetFile(stream) as file:
            return file.read([name for name in file.schema_arrow.names if name != FEATURES])
