"""extract_features: what the frozen part of a model says, of an array of images here, or of shards on many machines."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, overload

import joblib
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.checks import check_images
from transferkit.data.decoding import Fit
from transferkit.data.folders import FITS, check_choice
from transferkit.errors import (
    DataError,
    FailedShardsError,
    InvalidInputError,
    list_some,
    warn,
)
from transferkit.features.arrow import load_pyarrow
from transferkit.features.cache import FeatureCache
from transferkit.features.calls import note_call
from transferkit.features.engine import Engine, choose_engine, engine_version
from transferkit.features.portable import PortableNetwork, pack_network
from transferkit.features.prefix import frozen_part
from transferkit.features.shard_work import ShardJob, ShardOutcome, extract_numbered
from transferkit.features.shards import Columns, Shard, list_shards
from transferkit.features.workers import (
    ROUNDS,
    describe_lost_worker,
    joblib_backend,
    may_be_lost_worker,
    tell_lost_worker,
)
from transferkit.progress import progress_bar


@overload
def extract_features(model: Any, images: NDArray[np.uint8], *, engine: Engine = "auto") -> NDArray[np.float32]: ...
@overload
def extract_features(
    model: Any,
    images: Any,
    *,
    engine: Engine = "auto",
    output: str | os.PathLike[str],
    backend: str | None = None,
    n_jobs: int | None = None,
    key: str = "key",
    image: str = "image",
    columns: Sequence[str] = (),
    fit: Fit = "stretch",
    on_error: Literal["raise", "skip"] = "raise",
    verbose: bool = True,
) -> list[Path]: ...
def extract_features(
    model: Any,
    images: Any,
    *,
    engine: Engine = "auto",
    output: str | os.PathLike[str] | None = None,
    backend: str | None = None,
    n_jobs: int | None = None,
    key: str = "key",
    image: str = "image",
    columns: Sequence[str] = (),
    fit: Fit = "stretch",
    on_error: Literal["raise", "skip"] = "raise",
    verbose: bool = True,
) -> NDArray[np.float32] | list[Path]:
    """Compute what the frozen part of a model says about images, once: the next call reads it from disk.

    With `output`, the images are shards that many processes or machines work on, and their features become Parquet files there: more
    than one disk holds. The other options are for that alone.

    Parameters
    ----------
    model : keras.Model
        Any functional or sequential model whose first layers are frozen, on raw pixels.
    images : ndarray of uint8, shape (n, height, width, channels), or shards
        In memory or a memory map of any size. With `output`: a folder of Parquet files, a folder of images in any subfolders, or a
        list of Parquet files, folders and lists of image files, each of which is one shard, or of image files.
    engine : {"auto", "litert", "keras"}, default "auto"
        What computes: LiteRT with XNNPACK on a CPU, checked against Keras on the first images; Keras on an accelerator.
    output : path, optional
        The folder for Parquet files of features, which all machines see.
    backend : str, optional
        The joblib backend that hands out the shards: ``"loky"`` (processes on this machine), ``"dask"``, ``"ray"``, ``"spark"``. What
        ``joblib.parallel_config`` says if None.
    n_jobs : int, optional
        How many shards at once; see `joblib.Parallel`. With `backend` as many as it has workers, otherwise 1 if None.
    key, image : str, default "key" and "image"
        The columns of Parquet files that name an image (strings or integers), and that hold the bytes of an image file.
    columns : sequence of str
        Other columns of Parquet files to be copied beside the features, for example labels.
    fit : {"stretch", "crop", "pad"}, default "stretch"
        How an image of another aspect ratio is fitted to the model's input; see `load_image_folder`.
    on_error : {"raise", "skip"}, default "raise"
        Whether images that cannot be read are an error that names them, or left out with a warning; the file's record names them.
    verbose : bool, default True
        Whether progress is shown.

    Returns
    -------
    ndarray of float32, shape (n, ...), or list of Path
        A read-only memory map: the value where the frozen part ends. For a frozen backbone these are the pooled
        features, shape (n, features). With `output`, the Parquet files, in the order of the shards: columns ``key``, those of
        `columns`, and ``features``.

    Raises
    ------
    InvalidInputError
        If nothing is frozen from the input on, the model is no graph from one input to one output, or `images` are no shards.
    DataError
        If the images are not what the model takes, or a folder holds no images.
    CacheError
        If the disk is full; what is finished is kept.
    FailedShardsError
        At the end, if some shards could not be computed; the others are finished.
    MissingDependencyError
        If pyarrow, or the package of the backend, is not installed.

    Warns
    -----
    TransferKitWarning
        If a worker was killed and its shards are handed out again, a file of features was damaged, two shards are equal, or images
        were left out.

    See Also
    --------
    transferkit.load_features : Read the Parquet files as a dataset.
    transferkit.FeatureMapper : The same for Ray Data and Spark.
    transferkit.train : Uses these features by itself.
    transferkit.clear_cache : Frees the space; it leaves `output` alone.

    Notes
    -----
    A shard is found again by the content of its files, what the frozen layers execute, and how images are decoded. A killed worker
    loses the shard that it was at. Features are equal bit for bit whatever computes them, on processors of one kind.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> tk.extract_features(tk.build_transfer_model("mobilenet"), data.train.images).shape
    (100, 1024)
    """
    if output is None:
        if isinstance(images, str | os.PathLike) or (
            isinstance(images, list) and images and isinstance(images[0], str | os.PathLike)
        ):
            raise InvalidInputError(
                "features of image files go to a folder of Parquet files: say which one, output='features'."
            )
        return _of_array(model, images, engine)
    job_columns = Columns(str(key), str(image), tuple(map(str, columns)))
    taken = {job_columns.key, job_columns.image, "features"} | ({"key"} if job_columns.key != "key" else set())
    if set(job_columns.others) & taken or len(set(job_columns.others)) < len(job_columns.others):
        raise InvalidInputError(
            f"columns may name each column once, and none of {', '.join(sorted(taken))}; got {list(columns)}."
        )
    check_choice("fit", fit, FITS)
    check_choice("on_error", on_error, ("raise", "skip"))
    load_pyarrow()
    folder = files.as_path(output, "output").absolute()
    if isinstance(images, str | os.PathLike) and folder.is_relative_to(files.as_path(images, "shards").absolute()):
        raise InvalidInputError(
            f"output={str(output)!r} lies in the folder of the images, where it would become one of the shards."
        )
    shards = list_shards(images)
    network = _keep_network(model, engine, folder)
    job = ShardJob(str(folder), str(network), job_columns, fit, on_error == "skip")
    with joblib_backend(backend):
        outcomes = _run(shards, job, n_jobs, verbose=verbose)
    found = _judge(shards, outcomes)
    if isinstance(images, str | os.PathLike):
        where = [str(files.as_path(images, "shards").absolute()), network.name, asdict(job_columns), fit]
        note_call(folder, where, [file.name for file in found])
    return found


def _of_array(model: Any, images: Any, engine: Engine) -> NDArray[np.float32]:
    prefix = frozen_part(model)
    checked = check_images(images, name="images", input_shape=model.input_shape[1:])
    cache = FeatureCache(prefix, checked[:8], engine=engine)
    return cache.array(cache.locate(checked))


def _keep_network(model: Any, engine: Engine, folder: Path) -> Path:
    """Write the frozen part into the folder of features, where workers read it, unless it is there; return its file."""
    prefix = frozen_part(model)
    file = folder / "_networks" / f"{prefix.digest[:32]}-{choose_engine(engine)}.network"
    with suppress(OSError, DataError):
        kept = PortableNetwork.read(file)
        if kept.digest == prefix.digest and kept.versions == engine_version(kept.engine):
            return file
    pack_network(prefix, engine=engine).write(file)
    return file


def _run(shards: Sequence[Shard], job: ShardJob, n_jobs: int | None, *, verbose: bool) -> dict[int, ShardOutcome]:
    """Return what became of each shard; those whose worker was killed are handed out again, a few times."""
    outcomes: dict[int, ShardOutcome] = {}
    with progress_bar("Extracting features") as advance:
        for round_ in range(1, ROUNDS + 1):
            left = [number for number in range(len(shards)) if number not in outcomes]
            try:
                for number, outcome in _hand_out(shards, left, job, n_jobs):
                    outcomes[number] = outcome
                    if verbose:
                        advance(1, len(shards))
            except Exception as error:  # backends raise what they like
                if not may_be_lost_worker(error):
                    raise
                reason = describe_lost_worker(error)
            else:
                return outcomes
            if round_ < ROUNDS:
                tell_lost_worker(reason)
    for number in range(len(shards)):
        if number not in outcomes:
            outcomes[number] = ShardOutcome(
                shards[number].name, problem=f"its worker was lost {ROUNDS} times ({reason})"
            )
    return outcomes


def _hand_out(
    shards: Sequence[Shard], left: Sequence[int], job: ShardJob, n_jobs: int | None
) -> Iterator[tuple[int, ShardOutcome]]:
    backend, _ = joblib.parallel.get_active_backend()
    lazy = backend.supports_return_generator
    # One shard a batch: it is what a killed worker loses.
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered" if lazy else "list")
    found: Iterable[tuple[int, ShardOutcome]] = parallel(
        joblib.delayed(extract_numbered)(number, shards[number], job) for number in left
    )
    yield from found


def _judge(shards: Sequence[Shard], outcomes: dict[int, ShardOutcome]) -> list[Path]:
    """Return the files in order, after warnings; raise if there are failures."""
    ordered = [outcomes[number] for number in range(len(shards))]
    failures = {outcome.shard: outcome.problem for outcome in ordered if outcome.problem}
    found = [Path(outcome.file) for outcome in ordered if not outcome.problem]
    damaged = [outcome.shard for outcome in ordered if outcome.damaged]
    if damaged:
        warn(f"the kept features of {list_some(damaged, most=5)} were damaged, and were computed anew.")
    skipped = sum(outcome.skipped for outcome in ordered)
    if skipped:
        warn(f"{skipped:,} images cannot be read and have no features; the records of the files name them.")
    if len(set(found)) < len(found):
        warn(
            f"{len(found) - len(set(found))} shards hold exactly what another one holds; their features are there once."
        )
    if failures:
        raise FailedShardsError.of(failures, found)
    return list(dict.fromkeys(found))
