"""Read runs that were saved."""

from pathlib import Path
from typing import Any

from transferkit import files
from transferkit.errors import RunError, TransferKitError, warn
from transferkit.runs import storage
from transferkit.runs.run import Run, require_probabilities


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
        Its ``path`` is the folder, its ``model`` None; `transferkit.load_model` of that folder makes the model, if ``weights_file`` is
        there.

    Raises
    ------
    RunError
        If the folder is missing, is not a run, was written in another format, any file is missing or damaged, or a value in it cannot be
        one of a run; the message names it.

    Examples
    --------
    >>> load_run("no-such-run")
    Traceback (most recent call last):
    transferkit.errors.RunError: no-such-run does not exist. ...
    """
    folder = files.as_path(path, "path")
    record, arrays = storage.read_run(folder)
    fields: dict[str, Any] = {**record, **arrays}
    try:
        run = Run(**fields, path=folder.absolute())  # notebooks change the working directory
        require_probabilities(run)
    except TransferKitError as error:
        raise RunError(
            f"{folder} does not hold a run: {error} Copy it again from where it came from, or train again."
        ) from None
    return run


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
    parent = files.as_path(folder, "folder")
    if not parent.exists():
        raise RunError(f"{parent} does not exist. Give the folder that holds the saved runs.")
    if not parent.is_dir():
        raise RunError(f"{parent} is a file. Give the folder that holds the saved runs.")
    if (parent / storage.RECORD).is_file():
        raise RunError(f"{parent} is one run. Read it with load_run, or give the folder above it.")
    runs = []
    for child in sorted(child for child in parent.iterdir() if child.is_dir()):
        if _is_left_over(child):
            warn(f"{child} is what an interrupted save left behind; delete it.")
        elif child.name.startswith("."):
            continue  # .git, .ipynb_checkpoints: never a run's folder
        elif any((child / name).exists() for name in (storage.RECORD, storage.PREDICTIONS, files.MANIFEST)):
            runs.append(load_run(child))
        else:
            warn(f"{child} is not a saved run and is left out.")
    if not runs:
        raise RunError(f"{parent} holds no saved run. Save some with run.save('{parent.name}/NAME').")
    return runs


def _is_left_over(folder: Path) -> bool:
    return folder.name.startswith(".") and folder.suffix in (".tmp", ".old")
