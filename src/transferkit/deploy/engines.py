"""Models of every form, each as a function from raw uint8 images to probabilities."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.deploy.metadata import EXTRA, NAME, ModelMetadata, metadata_of, parse_metadata, read_archive
from transferkit.errors import DataError, InvalidInputError, MissingDependencyError, TransferKitError
from transferkit.progress import quietly

Format = Literal["keras", "litert", "onnx", "saved_model"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_SUFFIXES: Final = {".keras": "keras", ".tflite": "litert", ".onnx": "onnx"}

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Engine(NamedTuple):
    """What computes probabilities, the shape of one image that it takes (None: any), and what is known of it.

    A classifier that was fitted without the last classes has no column for them.
    """

    compute: Compute
    input_shape: tuple[int | None, ...] | None
    metadata: ModelMetadata
    may_lack_classes: bool = False


def guess_format(path: Path) -> Format:
    """Return the form of a model by its name: a name without a known suffix is a SavedModel's folder."""
    return cast(Format, _SUFFIXES.get(path.suffix.lower(), "saved_model"))


def open_engine(source: Any) -> Engine:
    """Make a model of any kind ready to compute.

    Parameters
    ----------
    source : Run, keras.Model, scikit-learn classifier or path-like
        A path is the folder of a saved run, a ``.keras``, ``.tflite`` or ``.onnx`` file, or the folder of a SavedModel.

    Returns
    -------
    Engine
        The model.

    Raises
    ------
    InvalidInputError
        If it is something else, or a run without its model.
    DataError
        If there is nothing at the path, or something else.
    MissingDependencyError
        If the package that runs such a file is not installed.
    """
    from transferkit.runs.run import Run, run_of

    source = run_of(source)
    if isinstance(source, Run):
        model = model_of(source)
        return open_engine(model)._replace(metadata=metadata_of(source))
    if isinstance(source, str | os.PathLike):
        return _open_path(files.as_path(source, "source"))
    if hasattr(source, "predict_proba") and hasattr(source, "classes_"):
        return _open_classifier(source)
    if hasattr(source, "predict_on_batch"):
        return open_keras(source)
    raise InvalidInputError(
        "give a Run, a Keras model, a fitted scikit-learn classifier, or the path of a saved run or an exported file; got"
        f" {type(source).__name__}."
    )


def model_of(run: Any) -> Any:
    """Return the model of a run, loaded from its folder if it is not in memory.

    Raises
    ------
    InvalidInputError
        If the run has no model and no folder, or its model was trained further since and is not in a folder.
    """
    from transferkit.models.saving import load_model
    from transferkit.runs.storage import find_model

    found = find_model(run, InvalidInputError)
    return load_model(found) if isinstance(found, Path) else found


def open_keras(model: Any) -> Engine:
    """Make a Keras model ready."""
    from transferkit.models.devices import predict_batch
    from transferkit.models.outputs import check_answers

    shape = image_shape_of(model)
    check_answers(model)

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return predict_batch(model, images).astype(np.float32, copy=False)

    return Engine(compute, shape, ModelMetadata())


def image_shape_of(model: Any) -> tuple[int | None, ...]:
    """Return the shape of one image that a Keras model takes, or raise `InvalidInputError` if it is none of one input and one output."""
    if not getattr(model, "inputs", None) or not hasattr(model, "input_shape"):
        raise InvalidInputError(
            f"the model {model.name!r} is no built functional or sequential model. Build it with keras.Model(inputs, outputs), or "
            "begin the Sequential with an Input."
        )
    if isinstance(model.input_shape, list) or isinstance(model.output_shape, list):
        raise InvalidInputError(f"the model {model.name!r} must have one input and one output.")
    return check_sides(tuple(model.input_shape[1:]))


def check_sides(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the shape of what a model takes, or raise `InvalidInputError` if that is no image."""
    if len(shape) != 3:
        raise InvalidInputError(
            f"the model takes inputs of shape {shape}, not images of (height, width, channels). Begin it with an Input of those, for "
            "example Input((28, 28, 1)) for grey images."
        )
    return shape


def _open_classifier(classifier: Any) -> Engine:
    classes = np.asarray(classifier.classes_)
    named = classes.dtype.kind not in "iu" or classes.min() < 0  # each with its column
    columns = np.arange(len(classes)) if named else classes

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        every = np.zeros((len(images), int(columns.max()) + 1), dtype=np.float32)
        found = np.asarray(classifier.predict_proba(images), np.float64)
        with np.errstate(invalid="ignore"):  # as in training: GaussianNB may call two classes certain at once
            every[:, columns] = found / found.sum(axis=1, keepdims=True)
        return every

    metadata = ModelMetadata(tuple(map(str, classes))) if named else ModelMetadata()
    return Engine(compute, None, metadata, may_lack_classes=not named)


def _open_path(path: Path) -> Engine:
    from transferkit.runs.loading import load_run
    from transferkit.runs.storage import MODEL, RECORD

    if not path.exists():
        raise DataError(f"{path} does not exist. Give the folder of a saved run, or a file that export wrote.")
    if (path / RECORD).is_file() or (path / MODEL).is_file():
        return open_engine(load_run(path))
    if (path / "saved_model.pb").is_file():
        return open_saved_model(path)
    form = guess_format(path)
    if path.is_dir() or form == "saved_model":
        raise DataError(
            f"{path} is no saved run and no exported model: a .keras, .tflite or .onnx file, or the folder of a SavedModel."
        )
    try:
        return {"keras": _open_keras_file, "litert": open_litert, "onnx": open_onnx}[form](path)
    except TransferKitError:
        raise
    except Exception as error:
        raise DataError(f"{path} cannot be loaded as a model: {str(error)[:300] or type(error).__name__}") from error


def _open_keras_file(path: Path) -> Engine:
    import keras

    return open_keras(keras.models.load_model(path, compile=False))._replace(metadata=read_archive(path))


def open_litert(path: Path) -> Engine:
    """Make a LiteRT file ready."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise MissingDependencyError(
            "a LiteRT file is run by ai-edge-litert, which is not installed: pip install ai-edge-litert"
        ) from None
    with quietly():
        interpreter = Interpreter(str(path))
    (entry,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    one_at_a_time, prepared = Lock(), [()]  # the interpreter holds one input and one answer

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with one_at_a_time:
            if images.shape != prepared[0]:
                prepared[0] = ()  # a file of one shape refuses others
                interpreter.resize_tensor_input(entry["index"], images.shape)
                with quietly():
                    interpreter.allocate_tensors()
                prepared[0] = images.shape
            interpreter.set_tensor(entry["index"], _quantise(images, entry))
            interpreter.invoke()
            return _dequantise(interpreter.get_tensor(answer["index"]), answer)

    return Engine(compute, _sides(entry["shape_signature"][1:]), read_archive(path))


def _quantise(images: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    """Return pixels as a file takes them: https://ai.google.dev/edge/litert/models/quantization_spec."""
    (scale, zero), dtype = entry["quantization"], np.dtype(entry["dtype"])
    if not scale or dtype.kind not in "iu":
        return images.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(images / scale + zero), limits.min, limits.max).astype(dtype)


def _dequantise(found: NDArray[Any], answer: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = answer["quantization"]
    if not scale or found.dtype.kind not in "iu":
        return np.array(found, dtype=np.float32)
    probabilities = (found.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    total = probabilities.sum(axis=-1, keepdims=True)
    rounded = np.abs(total - 1) <= 0.5 * scale * found.shape[-1] + 1e-6  # what rounding moves, and no more
    return np.where(rounded, probabilities / np.where(rounded, total, 1), probabilities)


def open_onnx(path: Path) -> Engine:
    """Make an ONNX file ready."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError(
            "ONNX files are run by onnxruntime, which is not installed: pip install 'transferkit[onnx]'"
        ) from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    entries = session.get_inputs()
    if len(entries) != 1:
        raise DataError(
            f"{path} takes {len(entries)} inputs ({', '.join(entry.name for entry in entries)}), not images."
        )
    kind = np.uint8 if "uint8" in entries[0].type else np.float32

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {entries[0].name: images.astype(kind)})[0], dtype=np.float32)

    text = session.get_modelmeta().custom_metadata_map.get("transferkit")
    metadata = ModelMetadata() if text is None else parse_metadata(text, where=path)
    return Engine(compute, _sides(entries[0].shape[1:]), metadata)


def open_saved_model(path: Path) -> Engine:
    """Make a SavedModel ready."""
    try:
        import tensorflow as tf
    except ImportError:
        raise MissingDependencyError(
            "a SavedModel is run by TensorFlow, which is not installed: pip install tensorflow"
        ) from None
    with quietly():
        loaded = tf.saved_model.load(str(path))
    if not hasattr(loaded, "serve"):
        raise DataError(f"{path} has no endpoint 'serve'. Write it with export, or with Keras's model.export.")
    (spec,) = loaded.signatures["serve"].structured_input_signature[1].values()

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(loaded.serve(tf.cast(images, spec.dtype)), dtype=np.float32)

    note = path / EXTRA / NAME
    metadata = parse_metadata(note.read_bytes(), where=path) if note.is_file() else ModelMetadata()
    return Engine(compute, _sides(spec.shape[1:]), metadata)


def _sides(shape: Any) -> tuple[int | None, ...]:
    return tuple(int(side) if isinstance(side, int | np.integer) and side > 0 else None for side in shape)
