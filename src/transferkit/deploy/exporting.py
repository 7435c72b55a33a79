"""Write a model for another program, and prove on images that the file answers as the model does."""

import importlib.util
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit import files
from transferkit.data.checks import check_class_names, check_images
from transferkit.data.dataset import Dataset
from transferkit.deploy.engines import (
    FORMATS,
    Engine,
    Format,
    guess_format,
    image_shape_of,
    model_of,
    open_keras,
    open_litert,
    open_onnx,
    open_saved_model,
)
from transferkit.deploy.metadata import EXTRA, LABELS, NAME, ModelMetadata, append_archive, metadata_of, write_labels
from transferkit.errors import (
    ExportError,
    InvalidInputError,
    MissingDependencyError,
    TransferKitError,
    UnknownNameError,
)
from transferkit.progress import quietly

if TYPE_CHECKING:
    from transferkit.runs.run import Run

_TOLERANCE: Final = 1e-3  # of a probability; LiteRT's rounding differs by some millionths
_MIXED_TOLERANCE: Final = 0.05  # between half precision and the float32 that is exported
_IMAGES: Final = 32
_OTHER_SUFFIXES: Final = (
    ".h5",
    ".hdf5",
    ".pt",
    ".pth",
    ".pb",
    ".pkl",
    ".pickle",
    ".joblib",
    ".lite",
    ".tfile",
    ".json",
)


@dataclass(frozen=True)
class Exported(os.PathLike[str]):
    """A file or folder that was written and tried.

    Parameters
    ----------
    path : Path
        Where it is.
    format : str
        ``"keras"``, ``"litert"``, ``"onnx"`` or ``"saved_model"``.
    difference : float
        The largest difference of a probability from the model's, over the images that were tried.
    num_images : int
        How many that were.

    Examples
    --------
    >>> import os
    >>> os.fspath(Exported(Path("cnn.tflite"), "litert", 2e-7, 32))
    'cnn.tflite'
    """

    path: Path
    format: Format
    difference: float
    num_images: int

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__  # keras.models.load_model and others look at str(path)


def export(
    model: "Run | Any",
    path: str | os.PathLike[str],
    format: Format | None = None,
    *,
    images: ArrayLike | None = None,
    data: Dataset | None = None,
    class_names: Iterable[str] | None = None,
) -> Exported:
    """Write a trained model as a file for another program, after comparing its answers with the model's.

    The file takes raw pixels, as the model does. Class names and how images were decoded travel in it, so that
    `transferkit.predict` and `transferkit.ImageClassifier` can use the file alone.

    Parameters
    ----------
    model : Run or keras.Model
        What to export. Under mixed precision the file computes in float32.
    path : path-like
        The file (``.keras``, ``.tflite``, ``.onnx``) or, for a SavedModel, the folder. What is there is replaced, but no folder
        that is something else than a SavedModel.
    format : {"keras", "litert", "onnx", "saved_model"}, optional
        The form; by the suffix of `path` if None.
    images : array_like of uint8, shape (n, height, width, channels), optional
        Images to compare on. If None, those of `data`'s test split, or else parts of the two photographs that scikit-learn
        brings.
    data : Dataset, optional
        What the model was trained on, if it is a bare Keras model: gives class names, decoding and images.
    class_names : sequence of str, optional
        Names in the order of the outputs, if nothing else says them.

    Returns
    -------
    Exported
        The path, and the largest difference of a probability. It can be used as a path.

    Raises
    ------
    ExportError
        If the model cannot be written in that form, or the file answers otherwise. Nothing is left at `path` then.
    InvalidInputError
        If it is no Keras model, or the folder is something else.
    MissingDependencyError
        If ONNX is asked for and its packages are not installed.
    UnknownNameError
        If there is no such format.

    Notes
    -----
    LiteRT: the classes are in the associated file ``labels.txt`` (a zip archive behind the model). ONNX: in the metadata
    property ``class_names``. SavedModel: in ``assets.extra/labels.txt``. In each the JSON text ``transferkit.json`` (ONNX:
    property ``transferkit``) says the rest.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=1, verbose=False)
    >>> exported = tk.export(run, "cnn.tflite", images=data.test.images[:20])
    >>> exported.difference < 1e-3
    True
    >>> tk.predict(exported.path, data.test.images[:3]).shape
    (3, 2)
    """
    target = files.as_path(path, "path")
    if format is None and target.suffix.lower() in _OTHER_SUFFIXES:
        raise InvalidInputError(
            f"no format of export is called {target.suffix!r}. A Keras file ends in .keras, a LiteRT file in .tflite, an ONNX file in .onnx; "
            "a name without a suffix is the folder of a SavedModel."
        )
    form = guess_format(target) if format is None else format
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    network, metadata = _read_source(model, data, class_names)
    _check_target(target, form)
    tried = _choose_images(network, images, data)
    expected = open_keras(network).compute(tried)
    exact = network if form == "keras" else _as_float32(network)
    if exact is not network:
        expected = _compare(open_keras(exact).compute(tried), expected, "float32 model", allowed=_MIXED_TOLERANCE)[0]
    # Windows removes no file that its reader still maps.
    with tempfile.TemporaryDirectory(prefix="transferkit-", ignore_cleanup_errors=True) as folder:
        written = Path(folder) / {"keras": "model.keras", "litert": "model.tflite", "onnx": "model.onnx"}.get(
            form, "model"
        )
        _WRITERS[form](exact, written, metadata)
        answers = _ask(form, written, tried)
        _, difference = _compare(answers, expected, f"exported {form} file", allowed=_TOLERANCE)
        _place(written, target)
    return Exported(target, form, difference, len(tried))


def _read_source(model: Any, data: Dataset | None, class_names: Iterable[str] | None) -> tuple[Any, ModelMetadata]:
    from transferkit.runs.run import Run, run_of

    model = run_of(model)
    network = model_of(model) if isinstance(model, Run) else model
    if not (hasattr(network, "export") and hasattr(network, "predict_on_batch")):
        raise InvalidInputError(
            f"only Keras models can be exported; got {type(network).__name__}. A scikit-learn classifier is kept with skops or"
            " joblib."
        )
    shape = image_shape_of(network)
    known = metadata_of(model) if isinstance(model, Run) else ModelMetadata() if data is None else metadata_of(data)
    names = known.class_names if class_names is None else check_class_names(class_names)
    outputs = network.output_shape[-1]
    if names is not None and len(names) != (outputs if outputs > 1 else 2):  # one sigmoid output: of the second of two
        raise InvalidInputError(f"the model has {outputs} outputs, but there are {len(names)} class names.")
    return network, ModelMetadata(
        names,
        known.image_shape or (None if None in shape else cast("tuple[int, int, int]", shape)),
        known.decoding,
        known.dataset,
    )


def _check_target(target: Path, form: Format) -> None:
    if (
        target.is_dir()
        and any(target.iterdir())
        and not (form == "saved_model" and (target / "saved_model.pb").is_file())
    ):
        raise InvalidInputError(
            f"{target} is a folder that holds something else, and is left alone. Give another path."
        )
    if form == "saved_model" and target.is_file():
        raise InvalidInputError(f"{target} is a file, and a SavedModel is a folder. Give another path.")
    suffix = {"keras": ".keras", "litert": ".tflite", "onnx": ".onnx"}.get(form)
    if suffix is not None and target.suffix.lower() != suffix:
        raise InvalidInputError(f"a file of format {form!r} ends in {suffix!r}; got {target.name!r}.")


# The images to compare on


def _choose_images(model: Any, images: ArrayLike | None, data: Dataset | None) -> NDArray[np.uint8]:
    shape = tuple(model.input_shape[1:])
    if images is None and data is not None:
        images = data.test.images[:_IMAGES]
    if images is not None:
        array = check_images(images, name="images", input_shape=shape)
        return np.asarray(array[:: max(1, len(array) // _IMAGES)][:_IMAGES])
    height, width, channels = (side or default for side, default in zip(shape, (224, 224, 3), strict=True))
    return _photographs(height, width, channels)


def _photographs(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Return parts of scikit-learn's two photographs at a size."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    parts = []
    for photograph in load_sample_images().images:
        picture = Image.fromarray(photograph)
        for _ in range(_IMAGES // 2):
            side = int(rng.integers(64, min(picture.size)))
            left, top = (int(rng.integers(0, length - side)) for length in picture.size)
            part = picture.crop((left, top, left + side, top + side)).resize((width, height))
            parts.append(np.asarray(part))
    array = np.stack(parts).astype(np.uint8)
    if channels == 3:
        return array
    return np.repeat(array.mean(axis=-1, keepdims=True).astype(np.uint8), channels, axis=-1)


def _compare(
    answers: NDArray[np.float32], expected: NDArray[np.float32], what: str, *, allowed: float
) -> tuple[NDArray[np.float32], float]:
    """Return the answers and their largest difference from what was expected, or raise `ExportError`."""
    if answers.shape != expected.shape:
        raise ExportError(f"the {what} answers with shape {answers.shape}, the model with {expected.shape}.")
    difference = float(np.abs(answers - expected).max())
    if not difference <= allowed:
        raise ExportError(
            f"the {what} answers otherwise than the model: probabilities differ by up to {difference:.3g} (allowed {allowed:g})"
            f" on {len(answers)} images, so it was not kept. Export it in another format."
        )
    return answers, difference


def _cure(form: str) -> str:
    if form == "keras":
        return (
            "Layers of your own need keras.saving.register_keras_serializable, and an __init__ that passes **kwargs on."
        )
    others = {"onnx": "'litert' or 'keras'", "litert": "'saved_model' or 'keras'"}
    return f"Export it as {others.get(form, 'another format')} instead."


# Models that other programs can compute


def _as_float32(model: Any) -> Any:
    """Return a model, rebuilt in float32 if it computes in another precision."""
    from transferkit.models.keras_internals import all_layers

    layers = all_layers(model)[1:]
    if all(layer.compute_dtype == "float32" for layer in layers if layer.variables or layer.compute_dtype in _HALVES):
        return model
    try:
        exact = type(model).from_config(_in_float32(model.get_config()))
        exact.set_weights([np.asarray(weight, dtype=np.float32) for weight in model.get_weights()])
    except Exception as error:
        raise ExportError(
            f"the model computes in mixed precision and cannot be rebuilt in float32 ({type(error).__name__}: {error}). Build it"
            " under keras.config.set_dtype_policy('float32'), load its weights, and export that."
        ) from error
    return exact


_HALVES: Final = ("float16", "bfloat16")


def _in_float32(config: Any) -> Any:
    """Return a configuration whose precisions are all float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {
            key: "float32"
            if key == "dtype" and value in (*_HALVES, "mixed_float16", "mixed_bfloat16")
            else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config


@contextmanager
def _inline_constants(model: Any) -> Iterator[None]:
    """Make the mean and variance of Normalization layers part of the graph: tf2onnx takes them for inputs otherwise."""
    import keras

    from transferkit.models.keras_internals import all_layers

    layers = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.Normalization)]
    kept = [(layer, layer.mean, layer.variance) for layer in layers if layer.mean is not None]
    try:
        for layer, mean, variance in kept:
            layer.mean, layer.variance = keras.ops.convert_to_numpy(mean), keras.ops.convert_to_numpy(variance)
        yield
    finally:
        for layer, mean, variance in kept:
            layer.mean, layer.variance = mean, variance


# The forms


def _write_keras(model: Any, file: Path, metadata: ModelMetadata) -> None:
    model.save(file)
    append_archive(file, metadata)


def _write_litert(model: Any, file: Path, metadata: ModelMetadata) -> None:
    _export(model, file, "litert")
    append_archive(file, metadata)


def _write_onnx(model: Any, file: Path, metadata: ModelMetadata) -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401 - runs the file
        import tf2onnx  # noqa: F401 - writes it
    except ImportError as error:
        raise MissingDependencyError(f"ONNX needs more packages ({error}): pip install 'transferkit[onnx]'") from None
    import json

    import keras

    from transferkit.models.keras_internals import all_layers, replaced_call

    with _inline_constants(model), ExitStack() as stack:
        for layer in filter(_only_trains, all_layers(model)):  # of these tf2onnx writes files that do not run
            stack.enter_context(replaced_call(layer, lambda x, to=layer.compute_dtype, **_: keras.ops.cast(x, to)))
        _export(model, file, "onnx")
    proto = onnx.load(file)
    properties = {"transferkit": metadata.to_json()}
    if metadata.class_names is not None:
        properties["class_names"] = json.dumps(metadata.class_names, ensure_ascii=False)
    onnx.helper.set_model_props(proto, properties)
    onnx.save(proto, file)


def _only_trains(layer: Any) -> bool:
    """Whether a layer of Keras gives images back as they are, except in training."""
    from transferkit.models.keras_internals import is_plain

    name = type(layer).__name__
    return name.startswith("Random") and name != "RandomCrop" and is_plain(layer)


def _write_saved_model(model: Any, folder: Path, metadata: ModelMetadata) -> None:
    _export(model, folder, "tf_saved_model")
    extra = folder / EXTRA
    extra.mkdir(exist_ok=True)
    (extra / NAME).write_text(metadata.to_json(), encoding="utf-8")
    if metadata.class_names is not None:
        (extra / LABELS).write_text(write_labels(metadata.class_names), encoding="utf-8")


def _export(model: Any, path: Path, form: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingDependencyError(
            f"{form} is written with TensorFlow, which is not installed: pip install tensorflow. Or save it as a .keras file."
        )
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), quietly():
            warnings.simplefilter("ignore")
            if form == "tf_saved_model":
                _write_endpoint(model, path)
            else:
                model.export(str(path), format=form, verbose=False)
    except Exception as error:
        raise ExportError(
            f"the model {model.name!r} cannot be written as {form} ({type(error).__name__}: {str(error)[:300]}). {_cure(form)}"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _write_endpoint(model: Any, path: Path) -> None:
    """Write a SavedModel that answers as `predict` does: Keras's own calls the model without saying that it does not train."""
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    (given,) = model.inputs
    signature = tf.TensorSpec((None, *given.shape[1:]), given.dtype, name=given.name)
    archive.add_endpoint("serve", lambda images: model(images, training=False), [signature])
    archive.write_out(str(path), verbose=False)


def _ask(form: Format, file: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a file that was just written answers, or raise `ExportError` if it cannot be run."""
    try:
        return _OPENERS[form](file).compute(images)
    except TransferKitError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        why = said[-1] if form == "keras" else said[0]  # Keras begins with the configuration, and ends with the cause
        raise ExportError(
            f"the {form} file of this model cannot be run ({why[:300]}), so nothing was kept. {_cure(form)}"
        ) from error


def _open_keras(file: Path) -> Engine:
    import keras

    return open_keras(keras.models.load_model(file, compile=False))


_WRITERS: Final = {
    "keras": _write_keras, "litert": _write_litert, "onnx": _write_onnx, "saved_model": _write_saved_model
}  # fmt: skip
_OPENERS: Final = {"keras": _open_keras, "litert": open_litert, "onnx": open_onnx, "saved_model": open_saved_model}


def _place(written: Path, target: Path) -> None:
    """Put what was written under its name, whole or not at all."""
    if written.is_dir():
        with files.atomic_folder(target, replace=True) as folder:
            shutil.copytree(written, folder, dirs_exist_ok=True)
        return
    with files.atomic_write(target) as stream, written.open("rb") as source:
        shutil.copyfileobj(source, stream)
