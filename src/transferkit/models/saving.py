"""Rebuild the model of a saved run from plain files, in which nothing can run code.

The configuration may name built-in layers only, from the list below; the weights may be plain numbers only. Nothing is
unpickled, and no class is looked up by a module's name that the file gives.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras

from transferkit.errors import MissingDependencyError, RunError
from transferkit.files import MANIFEST, as_path, read_json, verify_manifest
from transferkit.models.hdf5 import BadFileError, list_arrays, load_weights
from transferkit.models.hub import import_hub, is_hub_backbone
from transferkit.models.keras_internals import serialised_under
from transferkit.models.weights import WeightsProvenance

_MODEL = "model.json"
_WEIGHTS = "model.weights.h5"
_RECORD = "run.json"

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
CategoryEncoding CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix Dense
DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell
GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity
InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D
MaxPooling3D Maximum Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding SeparableConv1D
SeparableConv2D SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D
UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal RandomNormal
RandomUniform TruncatedNormal VarianceScaling Zeros
"""
_OPTIMIZERS = "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop SGD"
_SCHEDULES = "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
_LOSSES = """
BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy CategoricalFocalCrossentropy
CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge Huber KLDivergence LogCosh
MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
SparseCategoricalCrossentropy SquaredHinge Tversky
"""
_METRICS = """
AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy CategoricalHinge
ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence
LogCoshError Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score
Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
TopKCategoricalAccuracy TrueNegatives TruePositives
"""
_CONSTANTS = ("__tensor__", "__numpy__")  # as ``preprocess_input`` of ResNet has: their values and a dtype
_DTYPES = {"bool", *(f"{kind}{bits}" for kind in ("float", "int", "uint") for bits in (8, 16, 32, 64)), "bfloat16"}
# Module in the file -> names that may stand there.
_ALLOWED_IN_MODEL: dict[str | None, set[str]] = {
    None: {"__keras_tensor__", "__slice__", "__ellipsis__", *_CONSTANTS},
    "keras": {"DTypePolicy", "Functional", "Sequential"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.initializers": set(_INITIALIZERS.split()),
    "keras.layers": set(_LAYERS.split()),
    "keras.regularizers": {"L1", "L1L2", "L2", "OrthogonalRegularizer"},
    **serialised_under(),
}
_ALLOWED_IN_COMPILING = {
    "keras.losses": set(_LOSSES.split()),
    "keras.metrics": set(_METRICS.split()),
    "keras.optimizers": set(_OPTIMIZERS.split()),
    "keras.optimizers.schedules": set(_SCHEDULES.split()),
}
_WIDTH_KEYS = ("filters", "input_dim", "output_dim", "projection_dim", "units")
_LARGEST_NUMBER = 1_000_000  # of pixels a side, channels, ...: what a network of images can need, and memory can hold
_LARGEST_SHAPE = 100_000_000  # numbers in a list of sides
_LARGEST_IN_METRICS = 10_000  # classes, thresholds


def load_model(path: str | Path) -> keras.Model:
    """Rebuild the model of a saved run, with its weights.

    Parameters
    ----------
    path : str or Path
        The folder that ``run.save(path)`` wrote, weights included.

    Returns
    -------
    keras.Model
        Compiled as it was if its optimiser, loss and metrics are Keras's own, otherwise not compiled. Its attribute
        ``provenance`` is restored.

    Raises
    ------
    RunError
        If the folder is no saved run, was saved without a model or weights, was damaged, or names a layer that could
        run code (``Lambda``, ``TFSMLayer``) or is not built in. The message names the file.

    See Also
    --------
    transferkit.load_run : The record of the training, without Keras.

    Notes
    -----
    Models with layers of your own are saved with ``model.save("model.keras")`` and loaded with
    ``keras.models.load_model``, which needs the layers' code.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=1, name="CNN", folder="runs", verbose=False)
    >>> model = tk.load_model("runs/cnn")
    >>> model.predict(data.test.images[:3], verbose=0).shape
    (3, 10)
    """
    folder = as_path(path, "path")
    file, weights = folder / _MODEL, folder / _WEIGHTS
    config, provenance = _read(folder)
    compiling = config.pop("compile_config", None)
    try:
        for inner in _dictionaries(config):  # a compiled model inside computes, whatever it was trained with
            inner.pop("compile_config", None)
            _settle_resizing(inner)
        _check_config(file, config)
        if any(is_hub_backbone(*_class(entry)) for entry in _dictionaries(config)):
            import_hub()
        _check_widths(file, config, weights)
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except (RunError, MissingDependencyError):
        raise
    except BadFileError as error:
        raise RunError(f"{weights} cannot be used: {error}.") from None
    except Exception as error:  # noqa: BLE001 - Keras raises many types for a configuration that makes no sense
        raise RunError(f"{file} describes no model that Keras can build ({_first_line(error)}).") from None
    try:
        load_weights(model, weights, f"{_MODEL} beside it")
    except BadFileError as error:
        raise RunError(f"{weights} cannot be used: {error}.") from None
    if compiling is not None and _can_compile(compiling):
        with suppress(Exception):  # of a configuration that makes no sense: the model stays uncompiled
            model.compile_from_config(compiling)
    if provenance is not None:
        model.provenance = provenance
    return model


def _read(folder: Path) -> tuple[dict[str, Any], WeightsProvenance | None]:
    """Verify the folder, and return the configuration of its model and where its pretrained weights came from."""
    if not (folder / MANIFEST).is_file():
        raise RunError(f"{folder} is not a saved run: it has no {MANIFEST}. Give the folder that run.save(path) wrote.")
    try:
        listed = verify_manifest(folder, {_MODEL: None, _WEIGHTS: None, _RECORD: None})["files"]
        for name, why in ((_MODEL, "without a model"), (_WEIGHTS, "without weights")):
            if name not in listed:
                _refuse_classifier(folder, listed)
                raise RunError(
                    f"{folder} was saved {why}. Save the run again with run.save(path, weights=True); one of Run.from_history has no model."
                )
        config = read_json(folder / _MODEL)
        record = read_json(folder / _RECORD) if _RECORD in listed else {}
    except (ValueError, OSError, RecursionError) as error:  # DataError among them
        raise RunError(f"{error}") from None
    if not isinstance(config, dict):
        raise RunError(f"{folder / _MODEL} holds no configuration of a Keras model.")
    return config, _read_provenance(record)


def _refuse_classifier(folder: Path, listed: Any) -> None:
    """Raise if the folder holds the run of a scikit-learn classifier, which is not saved with or without weights."""
    try:
        known = _RECORD in listed and "estimator" in read_json(folder / _RECORD)["model_info"]
    except (KeyError, TypeError):
        known = False
    if known:
        raise RunError(
            f"{folder} holds the run of a scikit-learn classifier, which is never saved: it could only be pickled, and a "
            "pickle runs code when it is read. Fit it again: run.recipe and run.model_info['estimator'] of load_run say "
            "how, and train(build_baseline(...), data) does it for the baselines."
        )


def _read_provenance(record: Any) -> WeightsProvenance | None:
    try:
        facts = dict(record["model_info"]["provenance"])
        known: dict[str, Any] = {field.name: facts.get(field.name) for field in fields(WeightsProvenance)}
        return WeightsProvenance(**known)
    except (KeyError, TypeError, ValueError):
        return None


def _settle_resizing(layer: dict[str, Any]) -> None:
    """Let layers after a `Resizing` of an older file run as the model is called, and not in training always."""
    if layer.get("class_name") == "Resizing":
        for arguments in _dictionaries(layer.get("inbound_nodes")):
            if arguments.get("training") is True:
                arguments["training"] = False


def _check_config(file: Path, config: dict[str, Any]) -> None:
    if config.get("class_name") not in ("Functional", "Sequential"):
        raise RunError(
            f"{file} describes a {config.get('class_name')!r}; only functional and sequential models "
            f"are rebuilt from plain files. {_cure(file)}"
        )
    strangers = _strangers(config, _ALLOWED_IN_MODEL)
    if strangers:
        raise RunError(
            f"{file} names {', '.join(strangers)}, which could run code or is not built into Keras, so nothing of it "
            f"was loaded. {_cure(file)}"
        )
    for held in (entry.get("config") for entry in _dictionaries(config) if entry.get("class_name") in _CONSTANTS):
        if not isinstance(held, dict) or str(held.get("dtype")) not in _DTYPES:
            raise RunError(f"{file} holds a constant that is none of numbers, so nothing of it was loaded.")
    for key, value in _numbers(config):
        if abs(value) > _LARGEST_NUMBER and key != "seed":
            raise RunError(f"{file} asks for {key} of {value:,}, which no network of images needs.")
    for sides in _shapes(config):
        if abs(math.prod(sides)) > _LARGEST_SHAPE:
            raise RunError(f"{file} asks for {sides}, which no network of images needs.")
    for node in (node for entry in _dictionaries(config) for node in entry.get("inbound_nodes") or ()):
        # Keras runs an operation on plain numbers while it reads the file.
        if not any(part.get("class_name") == "__keras_tensor__" for part in _dictionaries(node)):
            raise RunError(f"{file} has an operation that is given no tensor, so nothing of it was loaded.")


def _can_compile(compiling: dict[str, Any]) -> bool:
    measured = [compiling.get(part) for part in ("loss", "metrics", "weighted_metrics")]
    is_large = any(abs(value) > _LARGEST_IN_METRICS for key, value in _numbers(measured) if key != "seed")
    return not is_large and not _strangers(compiling, _ALLOWED_IN_MODEL | _ALLOWED_IN_COMPILING)


def _shapes(value: Any) -> Iterator[list[int]]:
    """Yield the lists of whole numbers in a configuration."""
    if isinstance(value, list):
        sides = [side for side in value if isinstance(side, int) and not isinstance(side, bool)]
        if sides:
            yield sides
    inner = [value[key] for key in value if key != "bin_boundaries"] if isinstance(value, dict) else value
    for entry in inner if isinstance(inner, list) else ():
        yield from _shapes(entry)


def _cure(file: Path) -> str:
    weights = str(file.with_name(_WEIGHTS))
    return f"Build the model again with your own code, and give it the weights: model.load_weights({weights!r})."


def _strangers(config: Any, allowed: dict[Any, set[str]]) -> list[str]:
    """Return the classes in a configuration that are not on the list."""
    found = {}
    for entry in _dictionaries(config):
        if "class_name" not in entry and "registered_name" not in entry and "module" not in entry:
            continue
        name, module, registered = _class(entry)
        known = isinstance(name, str) and isinstance(module, str | None) and name in allowed.get(module, ())
        if is_hub_backbone(name, module, registered):
            continue
        if not known or registered not in (None, name):
            label = f"{registered if known else name}"
            found[label if module in (None, "keras.layers") else f"{module}.{label}"] = True
    return sorted(found)


def _class(entry: dict[str, Any]) -> tuple[Any, Any, Any]:
    return entry.get("class_name"), entry.get("module"), entry.get("registered_name")


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for entry in value.values():
            yield from _dictionaries(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _dictionaries(entry)


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _numbers(entry, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value


def _check_widths(file: Path, config: dict[str, Any], weights: Path) -> None:
    """Refuse a layer wider than any array in the file of weights, before Keras makes room for it."""
    known = {side for shape, _ in list_arrays(weights) for side in shape}
    for entry in _dictionaries(config):
        for key in _WIDTH_KEYS:
            width = entry.get(key)
            if isinstance(width, int) and width not in known:
                raise RunError(f"{file} asks for {key} of {width:,}, and {weights.name} holds no array of that width.")


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
