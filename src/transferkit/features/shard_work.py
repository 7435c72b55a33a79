"""What a worker does with one shard: look whether its features are there, or decode, compute and write them.

Neither Keras nor TensorFlow is imported for it where LiteRT computes.
"""

import functools
import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.decoding import MAX_PIXELS, Decoding, Fit, decode_image
from transferkit.data.formats import decoder_versions
from transferkit.errors import DataError, list_some
from transferkit.features.arrow import load_pyarrow
from transferkit.features.feature_file import FeatureFile, FeatureRows, write_feature_file
from transferkit.features.litert import BATCH_SIZE
from transferkit.features.portable import PortableNetwork
from transferkit.features.shards import Columns, Piece, Shard
from transferkit.features.threads import thread_count

if TYPE_CHECKING:
    import pyarrow as pa

_PIECE_BYTES: Final = 1 << 25
_MOST_IMAGES: Final = 1024


@dataclass(frozen=True)
class ShardJob:
    """What is the same for all shards of a call.

    Parameters
    ----------
    output : str
        The folder of the features, which all machines see.
    network : str
        The file in it that holds the network.
    columns : Columns
        Of Parquet files.
    fit : {"stretch", "crop", "pad"}
        How an image of another aspect ratio is fitted.
    skip : bool
        Whether images that cannot be read are left out.
    """

    output: str
    network: str
    columns: Columns
    fit: Fit
    skip: bool


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a shard: its file, or the problem; whether it was computed now; images without features, and why."""

    shard: str
    file: str = ""
    rows: int = 0
    computed: bool = False
    damaged: bool = False
    skipped: int = 0
    problem: str = ""


def decoding_for(network: PortableNetwork, fit: Fit) -> Decoding:
    """Return how image files become what a network takes."""
    height, width, channels = network.image_shape
    return Decoding(height, width, "grayscale" if channels == 1 else "rgb", fit, MAX_PIXELS)


def piece_size(network: PortableNetwork) -> int:
    """Return how many images are decoded at once: whole batches, in some 32 MB."""
    fitting = _PIECE_BYTES // int(np.prod(network.image_shape)) // BATCH_SIZE * BATCH_SIZE
    return int(np.clip(fitting, BATCH_SIZE, _MOST_IMAGES))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), "decoding")


def decode_files(
    contents: Sequence[bytes | None], decoding: Decoding, names: Sequence[str]
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Return those images that can be decoded, and why the others cannot, by their position."""

    def decode(content: bytes | None, name: str) -> NDArray[np.uint8] | str:
        if content is None:
            return "it is missing"
        try:
            return decode_image(content, decoding, name=name).array
        except DataError as error:
            return str(error)

    found = list(_pool().map(decode, contents, names))
    failures = {position: one for position, one in enumerate(found) if isinstance(one, str)}
    images = np.empty((len(found) - len(failures), *decoding.shape), np.uint8)
    for row, image in enumerate(one for one in found if not isinstance(one, str)):
        images[row] = image
    return images, failures


def extract_shard(shard: Shard, job: ShardJob) -> ShardOutcome:
    """Compute a shard's features, or find them; whatever fails is in the outcome, since errors of all kinds must cross machines."""
    try:
        return _extract(shard, job)
    except FileNotFoundError as error:
        missing = error.filename or error
        return ShardOutcome(shard.name, problem=f"{missing} is not on {platform.node()}, which was to compute it")
    except Exception as error:  # noqa: BLE001 - any other way out would be taken for a lost worker
        return ShardOutcome(shard.name, problem=f"{type(error).__name__}: {error}")


def extract_numbered(number: int, shard: Shard, job: ShardJob) -> tuple[int, ShardOutcome]:
    """Return the number with the outcome, since outcomes come back in any order."""
    return number, extract_shard(shard, job)


def _extract(shard: Shard, job: ShardJob) -> ShardOutcome:
    output = Path(job.output)
    network = _read_network(job.network)
    decoding = decoding_for(network, job.fit)
    content = shard.digest(output / "_shards")
    facts = {
        "network": network.describe(),
        "decoding": asdict(decoding),
        "decoders": decoder_versions(),
        "columns": asdict(job.columns) if shard.images is None else None,
        "shard": content,
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    target = output / f"{name}.parquet"
    # Two workers may be given one shard, where a scheduler takes a slow worker for a dead one.
    with files.lock(
        output / "_locks" / name, what=f"the features of {shard.name}", timeout_seconds=files.LONG_WAIT_SECONDS
    ):
        found, damaged = _find(target)
        if found is None:
            files.remove_leftovers(target)
            _write(target, shard, job, network, decoding, facts)
    record = FeatureFile.open(target).record if found is None else found.record
    if record["skipped"] and not job.skip:
        raise DataError(_describe(record["skipped"]))
    return ShardOutcome(shard.name, str(target), record["rows"], found is None, damaged, len(record["skipped"]))


@functools.lru_cache(maxsize=4)
def _read_network(file: str) -> PortableNetwork:
    return PortableNetwork.read(Path(file))


def _find(target: Path) -> tuple[FeatureFile | None, bool]:
    """Return the finished features, None if there are none; and whether there were some that are damaged."""
    if not target.exists():
        return None, False
    try:
        found = FeatureFile.open(target)
        for _ in found.read():
            pass
    except DataError:
        files.remove(target)
        return None, True
    return found, False


def _write(
    target: Path, shard: Shard, job: ShardJob, network: PortableNetwork, decoding: Decoding, facts: dict[str, Any]
) -> None:
    skipped: dict[str, str] = {}

    def rows() -> Iterator[FeatureRows]:
        for piece in shard.pieces(job.columns, piece_size(network)):
            table, features = features_of(piece, network, decoding, skipped)
            if skipped and not job.skip:
                continue  # name all that cannot be read, and compute nothing more
            if len(features):
                yield FeatureRows(table, features)
        if skipped and not job.skip:
            raise DataError(_describe(skipped))

    write_feature_file(target, {**facts, "name": shard.name}, rows(), skipped)


def features_of(
    piece: Piece, network: PortableNetwork, decoding: Decoding, skipped: dict[str, str]
) -> tuple["pa.Table", NDArray[np.float32]]:
    """Return keys and features of those images that can be decoded; add the others to `skipped`."""
    pa = load_pyarrow()
    table = piece.table
    names = [str(key) for key in table.column("key").to_pylist()]
    images, failures = decode_files(piece.contents, decoding, names)
    if failures:
        skipped |= {names[position]: reason for position, reason in failures.items()}
        table = table.filter(pa.array([position not in failures for position in range(len(piece.contents))]))
    features = network(images) if len(images) else np.empty((0, *network.shape), np.float32)
    return table, features


def _describe(skipped: dict[str, str]) -> str:
    listed = list_some((f"{key}: {reason}" for key, reason in skipped.items()), separator="; ", most=5)
    return f"{len(skipped)} images cannot be read ({listed}). Repair them, or leave them out with on_error='skip'."
