"""A run's folder: written complete or not at all, and read only if nothing was damaged.

The folder holds ``run.json`` (strict JSON), ``predictions.npz`` (float32 and int64 arrays, no pickle), with a model also
``model.json`` (its Keras configuration) and ``model.weights.h5``, and ``manifest.json`` with the SHA-256 of each.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import DataError, InvalidInputError, RunError, TransferKitError
from transferkit.runs.checking import check, check_run
from transferkit.runs.records import ARRAYS, RunRecord

SCHEMA: Final = 1
RECORD: Final = "run.json"
PREDICTIONS: Final = "predictions.npz"
MODEL: Final = "model.json"
WEIGHTS: Final = "model.weights.h5"

_KIND: Final = "transferkit-run"
_CURE: Final = "Copy the folder again from where it came from, or train again."


def write_run(
    path: Path | str,
    record: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    model: Any = None,
    saved: Path | None = None,
    weights: bool = True,
    replace: bool = False,
) -> Path:
    """Write a run as a folder, complete or not at all; see `transferkit.Run.save`.

    Parameters
    ----------
    path : path
        The folder to make; its parents are made as well.
    record : mapping of str
        A `transferkit.runs.records.RunRecord` of plain values; what is empty and not required is left out.
    arrays : mapping of str to ndarray
        The arrays named in `transferkit.runs.records.ARRAYS`.
    model : keras.Model, optional
        Anything else is not written: a scikit-learn classifier could only be pickled, and a pickle runs code when it is read.
    saved : path, optional
        The folder that the run was read from; without a model, that and the weights are copied from there.
    weights : bool, default True
        Whether the model's weights are written. Without them the record stays small and comparable.
    replace : bool, default False
        Whether a run that is saved there already is replaced. Nothing but a saved run or an empty folder ever is.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        If `path` exists and may not be replaced, or the model was trained further since the run, or `saved` holds another run by now.
    StorageError
        If it cannot be written: the disk is full or read-only. A run that is there stays as it was.
    """
    folder = files.as_path(path, "path")
    check_replaceable(folder, replace=replace)
    if weights and hasattr(model, "get_weights"):
        _check_weights(record, model)
    copied = [] if saved is None or model is not None else _files_to_copy(saved, record, weights=weights)
    kept = {name: value for name, value in record.items() if value or name in RunRecord.__required_keys__}
    with files.atomic_folder(folder, replace=replace or folder.exists(), what=f"run {record['name']!r}") as temporary:
        files.write_json(temporary / RECORD, {"schema": SCHEMA} | kept)
        with (temporary / PREDICTIONS).open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        if hasattr(model, "to_json"):
            configuration = _configuration(model)
            if configuration is not None:
                files.write_text(temporary / MODEL, configuration)
            if weights:
                model.save_weights(str(temporary / WEIGHTS))
        for file in copied:
            shutil.copyfile(file, temporary / file.name)
        files.write_manifest(temporary, kind=_KIND, schema=SCHEMA)
    return folder


def _files_to_copy(folder: Path, record: Mapping[str, Any], *, weights: bool) -> list[Path]:
    """Return the files of a saved model, with its weights or without; where they are no longer those of the run, raise or return none."""
    if weights and not folder.exists() and record["model_info"].get("weights_sha256"):
        raise RunError(
            f"{folder}, from which run {record['name']!r} was read, is not there any more, so its weights cannot be copied. Save the record "
            "alone: weights=False."
        )
    found = [file for name in (MODEL, *([WEIGHTS] if weights else [])) if (file := folder / name).is_file()]
    try:
        if found:
            _check_owner(folder, record)
    except RunError:
        if weights:
            raise
        return []
    return found


def _check_owner(folder: Path, record: Mapping[str, Any]) -> None:
    _verify(folder)
    if _weights_in(folder) != record["model_info"].get("weights_sha256"):
        raise RunError(
            f"{folder} holds the model of another run by now, not that of run {record['name']!r}. Save the record alone, elsewhere: "
            "weights=False."
        )


def _weights_in(folder: Path) -> str | None:
    """Return the digest of the weights that the run in a folder was saved with."""
    return _read_record(folder / RECORD).get("model_info", {}).get("weights_sha256")


def _configuration(model: Any) -> str | None:
    """Return a network's configuration as JSON, without what it is compiled with or None if a user's own object has none."""
    for compiled in (True, False):
        if not compiled:
            model.get_compile_config = lambda: None
        try:
            return str(model.to_json())
        except Exception:  # noqa: BLE001, S112 - an object without a configuration raises what it likes
            continue
        finally:
            vars(model).pop("get_compile_config", None)
    return None


def weights_digest(model: Any) -> str:
    """Return one SHA-256 over all weights of a model."""
    return files.sha256_arrays(*(np.asarray(array) for array in model.get_weights()))


def has_other_weights(model_info: Mapping[str, Any], model: Any) -> bool:
    """Whether a model was trained or changed since the run that recorded `model_info`, as far as that tells."""
    recorded = model_info.get("weights_sha256")
    return bool(recorded) and weights_digest(model) != recorded


def find_model(run: Any, error: type[TransferKitError]) -> Any:
    """Return the model that made a run's predictions, or, if it is not in memory or was trained further, the folder to load it from.

    Raises
    ------
    TransferKitError
        Of the type `error`, if there is neither.
    """
    changed = run.model is not None and has_other_weights(run.model_info, run.model)
    if run.model is not None and not changed:
        return run.model
    if run.weights_file is not None:
        _check_still_there(run, error)
        return run.path
    if "temperature" in run.recipe:
        raise error(
            f"run {run.name!r} is calibrated and has no model. Take the run that was calibrated, and give probabilities to "
            f"transferkit.apply_temperature(probabilities, {run.recipe['temperature']:.4g})."
        )
    if changed:
        raise error(
            f"the model of run {run.name!r} was trained or changed since, so its answers are not those of the run. Do this before the model "
            "is trained further, or train with folder=, which keeps the weights of each run."
        )
    if run.path is None:
        raise error(
            f"run {run.name!r} has no model. Give the model itself if you have it, as after Run.from_history; or train with folder=, or save "
            "the run, and give that folder or load it."
        )
    return run.path  # from which it cannot be loaded either; loading says why


def _check_still_there(run: Any, error: type[TransferKitError]) -> None:
    """Raise if a run's folder holds another training by now: its answers would not be those of the run."""
    ours = run.model_info.get("weights_sha256")
    if ours and (run.path / RECORD).is_file() and _weights_in(run.path) != ours:
        raise error(
            f"{run.path} holds the model of another training by now, not that of run {run.name!r}. Load the run that lies there, or train "
            "under another name."
        )


def _check_weights(record: Mapping[str, Any], model: Any) -> None:
    """Refuse to save a run with the weights of a later training."""
    if has_other_weights(record["model_info"], model):
        raise RunError(
            f"the model of run {record['name']!r} was trained or changed since, so its weights are not those of the run. Save a run "
            "before its model is trained further, give train a folder, or save the record alone: weights=False."
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


def read_run(path: Path | str) -> tuple[RunRecord, dict[str, NDArray[Any]]]:
    """Check every file of a run's folder and read the record and the arrays; see `transferkit.load_run`.

    Raises
    ------
    RunError
        If the folder is missing, is not a run, was written in another format, any file is missing or damaged, or the record holds
        a value that it cannot hold.
    """
    folder = files.as_path(path, "path")
    if not folder.exists():
        raise RunError(f"{folder} does not exist. Give the folder that run.save(path) wrote.")
    if not folder.is_dir():
        raise RunError(f"{folder} is a file. Give the folder that run.save(path) wrote.")
    _verify(folder)
    return _read_record(folder / RECORD), _read_predictions(folder / PREDICTIONS)


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


def _read_record(file: Path) -> RunRecord:
    try:
        record = files.read_json(file)
    except DataError as error:
        raise RunError(f"{error} {_CURE}") from None
    if not isinstance(record, dict):
        raise RunError(f"{file} does not hold a JSON object. {_CURE}")
    _check_schema(record.get("schema"), file)
    missing = sorted(RunRecord.__required_keys__ - record.keys())
    if missing:
        raise RunError(f"{file} lacks {', '.join(missing)}. {_CURE}")
    try:
        check(record["class_names"], list[str], "class_names")
        check_run(record)
    except InvalidInputError as error:
        raise RunError(f"{file}: {error} {_CURE}") from None
    known: Any = {name: record[name] for name in RunRecord.__annotations__ if name in record}
    return known


def _read_predictions(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in ARRAYS}
    except Exception as error:  # noqa: BLE001 - zipfile, zlib and NumPy each raise their own for a file that was tampered with
        raise RunError(f"{file} is not an archive of plain arrays ({type(error).__name__}: {error}). {_CURE}") from None
