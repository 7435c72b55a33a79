"""Save a Run as a folder of plain files, and read it back only if nothing was damaged.

The folder holds ``run.json`` (strict JSON), ``predictions.npz`` (float32 and int64 arrays, no pickle), with a model also
``model.json`` (its Keras configuration) and ``model.weights.h5``, and ``manifest.json`` with the SHA-256 of each.
"""

import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from transferkit import files
from transferkit.errors import DataError, RunError, TransferKitError, TransferKitWarning
from transferkit.runs.run import Run

SCHEMA: Final = 1
RECORD: Final = "run.json"
PREDICTIONS: Final = "predictions.npz"
MODEL: Final = "model.json"
WEIGHTS: Final = "model.weights.h5"

_KIND: Final = "transferkit-run"
_ARRAYS: Final = ("test_probabilities", "test_labels", "validation_probabilities", "validation_labels")
_RECORDED: Final = tuple(f.name for f in fields(Run) if f.name not in (*_ARRAYS, "model", "path"))


def _plain(value: Any) -> Any:
    """Return what strict JSON can hold: NaN and infinity become None, unknown objects their repr.

    A training that took hours must not be lost because somebody's recipe holds an odd object.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return repr(value)


def save_run(run: Run, path: Path | str, *, weights: bool = True, replace: bool = False) -> Path:
    """Write a run as a folder, complete or not at all.

    Parameters
    ----------
    run : Run
        The run.
    path : path
        The folder to make; its parents are made as well.
    weights : bool, default True
        Whether the weights of ``run.model`` are written. Without them the record stays small and comparable, but the model
        cannot be loaded. A scikit-learn classifier is never written: its recipe is, from which it can be fitted again.
    replace : bool, default False
        Whether a run that is saved there already is replaced. Nothing but a saved run or an empty folder ever is.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        If `path` exists and may not be replaced, or the model was trained further since the run.

    Notes
    -----
    NaN and infinity (the history of a diverged training) are written as ``null``, since JSON has no word for them.

    Examples
    --------
    >>> run = Run(
    ...     name="toy", class_names=("cat", "dog"), test_probabilities=np.eye(2), test_labels=np.array([0, 1]), seed=0
    ... )
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_run(save_run(run, f"{folder}/toy")).metrics["accuracy"]
    1.0
    """
    folder = Path(path).expanduser()
    check_replaceable(folder, replace=replace)
    if weights and hasattr(run.model, "get_weights"):
        _check_weights(run)
    record = {"schema": SCHEMA} | {name: _plain(getattr(run, name)) for name in _RECORDED}
    with files.atomic_folder(folder, replace=replace or folder.exists()) as temporary:
        files.write_json(temporary / RECORD, record)
        with (temporary / PREDICTIONS).open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **{name: getattr(run, name) for name in _ARRAYS})
        if hasattr(run.model, "to_json"):  # scikit-learn's could only be pickled, and a pickle runs code when read
            files.write_text(temporary / MODEL, run.model.to_json())
            if weights:
                run.model.save_weights(str(temporary / WEIGHTS))
        files.write_manifest(temporary, kind=_KIND, schema=SCHEMA)
    return folder


def weights_digest(model: Any) -> str:
    """Return one SHA-256 over all weights of a model."""
    return files.sha256_arrays(*(np.asarray(array) for array in model.get_weights()))


def _check_weights(run: Run) -> None:
    """Refuse to save a run with the weights of a later training."""
    recorded = run.model_info.get("weights_sha256")
    if recorded and weights_digest(run.model) != recorded:
        raise RunError(
            f"the model of run {run.name!r} was trained or changed since, so its weights are not those of the run. Save a run before its "
            "model is trained further, give train a folder, or save the record alone: weights=False."
        )


def check_replaceable(folder: Path, *, replace: bool) -> None:
    """Raise unless a run may be written to a place: a new or empty folder, or with `replace` another run.

    Raises
    ------
    RunError
        If it is a file, holds something else than a run, or holds a run that is not to be replaced.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; a run is saved as a folder. Give another path.")
    if not any(folder.iterdir()):
        return
    if not _is_run(folder):
        raise RunError(f"{folder} holds something else than a saved run and is left alone. Give another path.")
    if not replace:
        raise RunError(f"{folder} holds a saved run already. Give another path, or replace=True.")


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run, even a damaged one; other programs write a manifest.json as well."""
    if (folder / RECORD).is_file():
        return True
    try:
        manifest = files.read_json(folder / files.MANIFEST)
    except (OSError, DataError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == _KIND


def load_run(path: Path | str) -> Run:
    """Read a run that was saved with ``run.save``; neither Keras nor TensorFlow is needed.

    Every file is checked against the manifest first, so a damaged or half-copied run is refused. The weights may be
    absent: records are often published without them. The model itself is loaded by `transferkit.load_model`.

    Parameters
    ----------
    path : path
        The folder of the run.

    Returns
    -------
    Run
        Its ``path`` is the folder, its ``model`` None.

    Raises
    ------
    RunError
        If the folder is missing, is not a run, was written in another format, or any file is missing or damaged.

    Examples
    --------
    >>> load_run("no-such-run")
    Traceback (most recent call last):
    transferkit.errors.RunError: no-such-run does not exist. ...
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        raise RunError(f"{folder} does not exist. Give the folder that run.save(path) wrote.")
    if not folder.is_dir():
        raise RunError(f"{folder} is a file. Give the folder that run.save(path) wrote.")
    _verify(folder)
    record = _read_record(folder / RECORD)
    try:
        return Run(**record, **_read_predictions(folder / PREDICTIONS), path=folder)
    except TransferKitError as error:
        raise RunError(f"{folder / RECORD} does not describe a run: {error} {_CURE}") from None


_CURE: Final = "Copy the folder again from where it came from, or train again."


def _verify(folder: Path) -> None:
    """Check the manifest and every file that it lists."""
    manifest_file = folder / files.MANIFEST
    if not manifest_file.is_file():
        if (folder / RECORD).is_file():
            raise RunError(f"{manifest_file} is missing, so nothing in {folder} can be trusted. {_CURE}")
        raise RunError(
            f"{folder} is not a saved run: it has no {files.MANIFEST}. Give the folder that run.save(path) wrote."
        )
    try:
        manifest = files.read_json(manifest_file)
        if isinstance(manifest, dict):
            _check_kind(manifest, manifest_file)
        files.verify_manifest(folder)
        listed = manifest["files"]
    except RunError:
        raise
    except DataError as error:
        raise RunError(f"{error} {_CURE}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{manifest_file} cannot be read ({type(error).__name__}: {error}). {_CURE}") from None
    for name in (RECORD, PREDICTIONS):
        if name not in listed:
            raise RunError(f"{manifest_file} does not list {name}. It is damaged. {_CURE}")
    for name in (MODEL, WEIGHTS):
        if (folder / name).exists() and name not in listed:
            raise RunError(f"{manifest_file} does not list {name}, which was added or belongs to another run. {_CURE}")


def _check_kind(manifest: Mapping[str, Any], file: Path) -> None:
    kind, schema = manifest.get("kind"), manifest.get("schema")
    if kind != _KIND:
        raise RunError(f"{file} is of kind {kind!r}, not {_KIND!r}. Give the folder that run.save(path) wrote.")
    _check_schema(schema, file)


def _check_schema(schema: object, file: Path) -> None:
    if type(schema) is not int or schema != SCHEMA:
        raise RunError(
            f"{file} has schema {schema!r}; this version of transferkit reads schema {SCHEMA}. "
            "Install the version of transferkit that wrote it, or train again."
        )


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"it holds {constant}, where null is meant")


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:
        raise RunError(f"{file} is not strict JSON ({error}). {_CURE}") from None
    if not isinstance(record, dict):
        raise RunError(f"{file} does not hold a JSON object. {_CURE}")
    _check_schema(record.get("schema"), file)
    missing = [name for name in _RECORDED if name not in record]
    if missing:
        raise RunError(f"{file} lacks {', '.join(missing)}. {_CURE}")
    values = {name: record[name] for name in _RECORDED}
    for name, kind in _JSON_TYPES.items():
        if not isinstance(values[name], kind) or isinstance(values[name], bool):
            raise RunError(f"{file}: {name} should be {_describe(kind)}; got {values[name]!r:.80}. {_CURE}")
    for name in ("history", "phases"):
        if not all(isinstance(row, dict) for row in values[name]):
            raise RunError(f"{file}: {name} should be a list of objects. {_CURE}")
    return values


_OPTIONAL_NUMBER: Final = (int, float, type(None))
_JSON_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "name": str,
    "class_names": list,
    "dataset": dict,
    "history": list,
    "phases": list,
    "recipe": dict,
    "model_info": dict,
    "seed": int,
    "selection": str,
    "selected_epoch": (int, type(None)),
    "status": str,
    "train_accuracy": _OPTIONAL_NUMBER,
    "test_seconds": _OPTIONAL_NUMBER,
    "environment": dict,
    "tuning_trials": int,
    "key": str,
    "created": str,
    "notes": list,
}


def _describe(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join("null" if item is type(None) else item.__name__ for item in kinds)


def _read_predictions(file: Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in _ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"{file} is not an archive of plain arrays ({type(error).__name__}: {error}). {_CURE}") from None


def load_runs(folder: Path | str) -> list[Run]:
    """Read every run saved directly inside a folder, sorted by folder name.

    Parameters
    ----------
    folder : path
        The folder that holds the runs' folders.

    Returns
    -------
    list of Run
        At least one.

    Raises
    ------
    RunError
        If the folder is missing or holds no run, or any run in it is damaged: none is left out silently.

    Warns
    -----
    TransferKitWarning
        For each subfolder that is not a run, and each that an interrupted save left behind.

    Examples
    --------
    >>> load_runs("no-such-folder")
    Traceback (most recent call last):
    transferkit.errors.RunError: no-such-folder does not exist. ...
    """
    parent = Path(folder).expanduser()
    if not parent.exists():
        raise RunError(f"{parent} does not exist. Give the folder that holds the saved runs.")
    if not parent.is_dir():
        raise RunError(f"{parent} is a file. Give the folder that holds the saved runs.")
    if (parent / RECORD).is_file():
        raise RunError(f"{parent} is one run. Read it with load_run, or give the folder above it.")
    runs = []
    for child in sorted(child for child in parent.iterdir() if child.is_dir()):
        if _is_left_over(child):
            warnings.warn(
                f"{child} is what an interrupted save left behind; delete it.", TransferKitWarning, stacklevel=2
            )
        elif child.name.startswith("."):
            continue  # .git, .ipynb_checkpoints: never a run's folder
        elif (child / RECORD).exists() or (child / files.MANIFEST).exists() or (child / PREDICTIONS).exists():
            runs.append(load_run(child))
        else:
            warnings.warn(f"{child} is not a saved run and is left out.", TransferKitWarning, stacklevel=2)
    if not runs:
        raise RunError(f"{parent} holds no saved run. Save some with run.save('{parent.name}/NAME').")
    return runs


def _is_left_over(folder: Path) -> bool:
    return folder.name.startswith(".") and folder.suffix in (".tmp", ".old")
