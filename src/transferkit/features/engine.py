"""How the frozen prefix is run: LiteRT with XNNPACK on a CPU, Keras on an accelerator or where LiteRT cannot."""

import hashlib
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.backends import chosen_backend
from transferkit.errors import CacheError, MissingDependencyError, UnknownNameError, warn
from transferkit.features.agreement import largest_difference, tolerance
from transferkit.features.litert import BATCH_SIZE, Compute, in_batches, litert_engine
from transferkit.features.prefix import NoPrefixError, Prefix, whole_model

Engine = Literal["auto", "litert", "keras"]

_CONVERTED = "prefix.tflite"  # the checksum, then the converted prefix
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_CHECK_IMAGES = 8
_ACCELERATED_BATCH = 512


def check_engine(engine: str, engines: Any = Engine) -> None:
    """Raise `UnknownNameError` if there is no such engine among the values of a ``Literal``."""
    if engine not in get_args(engines):
        raise UnknownNameError("engine", engine, get_args(engines))


def choose_engine(engine: Engine = "auto") -> Literal["litert", "keras"]:
    """Return the engine for this machine: LiteRT if Keras runs on TensorFlow, which sees no accelerator.

    Raises
    ------
    MissingDependencyError
        If LiteRT is asked for and there is no TensorFlow to convert for it.
    """
    check_engine(engine)
    if engine == "litert" and not chosen_backend().CONVERTS:
        raise MissingDependencyError(
            f"engine='litert' needs TensorFlow, which converts the layers, but Keras runs on {chosen_backend().NAME}. Set KERAS_BACKEND=tensorflow, "
            "or leave the engine out: then Keras computes."
        )
    if engine != "auto":
        return engine
    return "litert" if chosen_backend().CONVERTS and chosen_backend().accelerator() is None else "keras"


def engine_version(engine: str) -> str:
    """Return what, besides the prefix, determines an engine's output."""
    backend = keras.backend.backend()
    versions = f"keras {keras.__version__}, {backend} {version(backend)}"
    return f"ai-edge-litert {version('ai-edge-litert')}, {versions}" if engine == "litert" else versions


def live_values(prefix: Prefix, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return what the layers of a prefix give for images as they are now, whatever was traced or kept before."""
    return chosen_backend().values(prefix, images)


def load_engine(prefix: Prefix, engine: str, sample: NDArray[Any], *, folder: Path) -> Compute | None:
    """Return a function from images to features.

    Parameters
    ----------
    prefix : Prefix
        What to run.
    engine : {"litert", "keras"}
        With what.
    sample : ndarray, shape (n, height, width, channels)
        A few of the images; the converted prefix must agree with Keras on them before it is used, see `features.agreement`.
    folder : path
        Where the converted prefix is kept, with a checksum.

    Returns
    -------
    callable or None
        None if LiteRT cannot run this prefix, or, after a warning, if it disagrees with Keras: then use Keras.
    """
    if engine == "keras":
        return keras_engine(prefix)
    if prefix.compute_dtype != "float32":  # LiteRT has no kernels for lower precision
        return None
    images = np.asarray(sample[:_CHECK_IMAGES])
    expected = live_values(prefix, images)
    kept = _load_converted(folder / _CONVERTED, images, expected)
    if kept is not None:
        return kept
    converted = convert_checked(prefix, images, expected)
    if converted is None:
        return None
    with suppress(PermissionError, CacheError):  # it serves this time, and is converted anew the next time
        _keep_converted(folder / _CONVERTED, converted)
    return litert_engine(converted)


def _keep_converted(file: Path, converted: bytes) -> None:
    with files.atomic_write(file) as stream:
        stream.write(hashlib.sha256(converted).digest() + converted)


def _load_converted(file: Path, images: NDArray[Any], expected: NDArray[np.float32]) -> Compute | None:
    """Return the converted prefix that is kept in a file; one that does not run, or gives other values, is removed."""
    kept = file.read_bytes() if file.is_file() else b""
    converted = kept[_CHECKSUM_BYTES:]
    if not kept or hashlib.sha256(converted).digest() != kept[:_CHECKSUM_BYTES]:
        return None
    try:
        compute = litert_engine(converted)
        difference = largest_difference(compute(images), expected)
    except Exception as error:  # noqa: BLE001 - LiteRT raises whatever its C++ raises
        problem = _first_line(error)
    else:
        if difference <= tolerance("float32"):
            return compute
        problem = f"it differs from Keras by {difference:.2g} of the scale"
    warn(f"the converted layers kept in {file} cannot be used ({problem}), and are converted anew.")
    with suppress(OSError):
        files.remove(file)
    return None


def convert_model(model: Any, sample: NDArray[Any]) -> Compute | None:
    """Return a function from images to the output of a whole model as it is now, if this machine's engine is LiteRT.

    None if it is not, or after a warning if LiteRT cannot run the model or disagrees with Keras.
    """
    if choose_engine() != "litert":
        return None
    try:
        whole = whole_model(model)
    except NoPrefixError:
        return None
    if whole.compute_dtype != "float32":
        return None
    images = np.asarray(sample[:_CHECK_IMAGES])
    converted = convert_checked(whole, images, live_values(whole, images), scale_at_least=1.0)
    return None if converted is None else litert_engine(converted)


def convert_checked(
    prefix: Prefix, images: NDArray[Any], expected: NDArray[np.float32], *, scale_at_least: float = 0.0
) -> bytes | None:
    """Convert a prefix and compare it with Keras on a few images; None, after a warning, if that fails."""
    try:
        converted = _convert(prefix, images.shape[1:], images.dtype)
        computed = litert_engine(converted)(images)
    except Exception as error:  # noqa: BLE001 - the converter raises whatever the layers and its C++ raise
        warn(f"{prefix.model.name}: LiteRT cannot run its layers ({_first_line(error)}); Keras does, more slowly.")
        return None
    difference = largest_difference(computed, expected, scale_at_least=scale_at_least)
    if difference > tolerance("float32"):
        warn(
            f"{prefix.model.name}: LiteRT differs from Keras by {difference:.2g} of the scale, more than "
            f"{tolerance('float32'):g}; Keras computes, more slowly."
        )
        return None
    return converted


def _convert(prefix: Prefix, shape: tuple[int, ...], dtype: Any) -> bytes:
    return chosen_backend().convert(prefix, prefix.weights, (BATCH_SIZE, *shape), dtype)


def keras_engine(prefix: Prefix) -> Compute:
    """Return a function from images to features that runs the layers with Keras, in large batches on an accelerator."""
    batch_size = BATCH_SIZE if chosen_backend().accelerator() is None else _ACCELERATED_BATCH
    return partial(in_batches, chosen_backend().compiled(prefix, prefix.weights), batch_size=batch_size)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
