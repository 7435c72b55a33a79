"""How the frozen prefix is run: LiteRT with XNNPACK on a CPU, Keras on an accelerator or where LiteRT cannot."""

import hashlib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import UnknownNameError, warn
from transferkit.features.prefix import NoPrefixError, Prefix, whole_model
from transferkit.features.threads import thread_count

Engine = Literal["auto", "litert", "keras"]
Compute = Callable[[NDArray[Any]], NDArray[np.float32]]

_CONVERTED = "prefix.tflite"  # the checksum, then the converted prefix
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_BATCH_SIZE = 64
_CHECK_IMAGES = 8
_TOLERANCE = 1e-3  # rounding between kernels stays below 2e-4 on an ImageNet MobileNet


def check_engine(engine: str, engines: Any = Engine) -> None:
    """Raise `UnknownNameError` if there is no such engine among the values of a ``Literal``."""
    if engine not in get_args(engines):
        raise UnknownNameError("engine", engine, get_args(engines))


def choose_engine(engine: Engine = "auto") -> Literal["litert", "keras"]:
    """Return the engine for this machine: LiteRT if TensorFlow sees no accelerator."""
    check_engine(engine)
    if engine != "auto":
        return engine
    accelerated = [device for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
    return "keras" if accelerated or keras.backend.backend() != "tensorflow" else "litert"


def engine_version(engine: str) -> str:
    """Return what, besides the prefix, determines an engine's output."""
    if engine == "litert":
        return f"ai-edge-litert {version('ai-edge-litert')}, tensorflow {tf.__version__}"
    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def load_engine(prefix: Prefix, engine: str, sample: NDArray[Any], *, folder: Path) -> Compute | None:
    """Return a function from images to features.

    Parameters
    ----------
    prefix : Prefix
        What to run.
    engine : {"litert", "keras"}
        With what.
    sample : ndarray, shape (n, height, width, channels)
        A few of the images; the converted prefix must agree with Keras on them to 1e-3 before it is used.
    folder : path
        Where the converted prefix is kept, with a checksum.

    Returns
    -------
    callable or None
        None, after a warning, if LiteRT cannot run this prefix or disagrees with Keras: then use Keras.
    """
    if engine == "keras":
        return _keras_engine(prefix)
    file = folder / _CONVERTED
    kept = file.read_bytes() if file.is_file() else b""
    if kept and hashlib.sha256(kept[_CHECKSUM_BYTES:]).digest() == kept[:_CHECKSUM_BYTES]:
        return _litert_engine(kept[_CHECKSUM_BYTES:])
    converted = _convert_checked(prefix, sample)
    if converted is None:
        return None
    with files.atomic_write(file) as stream:
        stream.write(hashlib.sha256(converted).digest() + converted)
    return _litert_engine(converted)


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
    converted = _convert_checked(whole, sample)
    return None if converted is None else _litert_engine(converted)


def _convert_checked(prefix: Prefix, sample: NDArray[Any]) -> bytes | None:
    """Convert a prefix and compare it with Keras on a few images; None, after a warning, if that fails."""
    images = np.asarray(sample[:_CHECK_IMAGES])
    try:
        converted = _convert(prefix, images.shape[1:], images.dtype)
        difference = float(np.abs(_litert_engine(converted)(images) - _keras_engine(prefix)(images)).max())
    except Exception as error:  # noqa: BLE001 - the converter raises whatever the layers and its C++ raise
        warn(f"{prefix.model.name}: LiteRT cannot run its layers ({_first_line(error)}); Keras does, more slowly.")
        return None
    if not difference <= _TOLERANCE:  # NaN included
        warn(
            f"{prefix.model.name}: LiteRT differs from Keras by {difference:.2g}, more than {_TOLERANCE:g}; Keras computes, "
            "more slowly."
        )
        return None
    return converted


def _convert(prefix: Prefix, shape: tuple[int, ...], dtype: Any) -> bytes:
    function = tf.function(prefix, input_signature=[tf.TensorSpec((_BATCH_SIZE, *shape), dtype)])
    owner = tf.Module()  # without an owner of the variables the converter loses their values
    owner.variables_of_prefix = [variable.value for variable in prefix.weights]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], owner)
    return bytes(converter.convert())


def _litert_engine(converted: bytes) -> Compute:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=converted, num_threads=thread_count())
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        batch = np.zeros((_BATCH_SIZE, *images.shape[1:]), images.dtype)
        batch[: len(images)] = images
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        return interpreter.get_tensor(result)[: len(images)]

    return partial(_in_batches, compute)


def _keras_engine(prefix: Prefix) -> Compute:
    function = tf.function(prefix, reduce_retracing=True)

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        return keras.ops.convert_to_numpy(function(tf.convert_to_tensor(images))).astype(np.float32, copy=False)

    return partial(_in_batches, compute)


def _in_batches(compute: Compute, images: NDArray[Any]) -> NDArray[np.float32]:
    starts = range(0, len(images), _BATCH_SIZE)
    return np.concatenate([compute(np.asarray(images[start : start + _BATCH_SIZE])) for start in starts])


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
