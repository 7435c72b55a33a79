"""Run: the record of one training."""

import hashlib
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.dataset import Dataset
from transferkit.data.description import DatasetRecord
from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.progress import printable
from transferkit.runs import interchange, storage
from transferkit.runs.checking import check_run
from transferkit.runs.metrics import Metrics, as_array, check_labels, check_probabilities, compute_metrics
from transferkit.runs.plain import plain
from transferkit.runs.records import (
    ARRAYS,
    FACTS,
    EnvironmentRecord,
    EpochRecord,
    ModelRecord,
    PartRecord,
    PhaseRecord,
    PlanRecord,
    ProbeRecord,
    Provenance,
    Recipe,
    Selection,
    Status,
)

if TYPE_CHECKING:
    import pandas as pd


SELECTIONS: Final = get_args(Selection)
STATUSES: Final = get_args(Status)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()  # the caller's own array stays writable
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """The record of one training: what was trained on what, how, and what it predicts on the test images.

    `transferkit.train` and `transferkit.fine_tune` return one, `transferkit.load_run` reads one from disk, `from_history` makes
    one of your own ``fit``. Any other classifier becomes one from its test probabilities, so that it can be compared as well.

    Parameters
    ----------
    name : str
        What tables and plots call it.
    class_names : tuple of str
        The classes in the order of the probability columns.
    test_probabilities : ndarray of float32, shape (n, classes)
        Softmax output on the test images in their order; shape ``(0, classes)`` unless `status` is ``"completed"``.
    test_labels : ndarray of int64, shape (n,)
        True classes of the test images.
    validation_probabilities, validation_labels : ndarray, optional
        The same for the validation images; empty if there are none.
    dataset : dict
        ``name``, ``source``, ``fingerprint``, ``train_fingerprint``, ``test_fingerprint``, ``train_size``,
        ``validation_size``, ``test_size``, ``labels_per_class``, ``split_seed``, ``image_shape``.
    history : list of dict
        One row an epoch: ``epoch`` (from 1), ``phase``, ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy`` where there
        is validation, ``learning_rate``, ``seconds``.
    phases : list of dict
        ``name``, ``epochs``, ``trainable_parameters``, ``seconds``, ``images`` (seen, all epochs), ``images_per_second``;
        ``preparation_seconds`` (before the first epoch; part of ``seconds``) and, with a frozen part, ``features_computed`` (images,
        0 if all were in the cache).
    recipe : dict
        How it was trained: ``epochs``, ``batch_size``, ``optimizer``, ``learning_rate``, ``schedule``, ``augment``, ...
    model_info : dict
        ``parameters``, ``trainable_parameters``, ``layers``, ``provenance`` of pretrained weights, ``engine``.
    seed : int
        The seed of initialisation, shuffling and augmentation.
    selection : {"validation", "last", "test", "none"}, default "none"
        What chose the epoch whose weights count. ``"test"`` bars a verdict.
    selected_epoch : int, optional
        That epoch, from 1.
    status : {"completed", "diverged", "interrupted"}, default "completed"
        How the training ended.
    train_accuracy : float, optional
        Accuracy of the final model on up to 10,000 training images without augmentation.
    test_seconds : float, optional
        Wall time of the prediction of all test images: a network's by Keras, from the median of some batches; another
        classifier's as measured.
    environment : dict
        Versions, platform, CPU, accelerator, cores.
    tuning_trials : int, default 1
        How many settings were tried on validation before this one.
    key : str, default ""
        SHA-256 of everything that determines the result; two runs with the same key and seed are the same run.
    created : str
        Time in ISO 8601, UTC; now if not given.
    notes : list of str
        Reservations that every report shows.
    probe : dict
        ``loss`` and ``gradients`` of one fixed batch at the initial weights, by which a model is known again.
    identity : dict of str to dict
        For each part that determines the result its ``sha256``; None if it has none, with the ``reason``.
    plan : dict
        The ``seeds`` that were declared beforehand, and how many times they were extended: ``looks``.
    model : keras.Model, optional
        The trained model itself; neither compared nor written into the record.
    path : Path, optional
        The folder it was loaded from.

    Raises
    ------
    InvalidInputError
        If shapes do not fit together, labels are not class indices, or a part of a dict holds what it cannot hold (a negative count,
        an accuracy above 1, a selected epoch that is not in the history).
    UnknownNameError
        If `status` or `selection` is not one of the above.

    Notes
    -----
    The dicts hold plain values from the start, as a saved run does: NumPy's numbers become Python's, tuples lists, NaN and infinity
    None. Their keys and types are declared in ``transferkit.runs.records``; others may stand beside them. A run does not change:
    ``dataclasses.replace(run, name="other")`` makes another one.

    Examples
    --------
    >>> run = Run(
    ...     name="toy", class_names=("cat", "dog"), test_probabilities=np.eye(2), test_labels=np.array([0, 1]), seed=0
    ... )
    >>> run.metrics["accuracy"]
    1.0
    >>> run
    Run('toy', completed, accuracy=1.0000, loss=0.0000, 0 epochs, seed 0)
    """

    name: str
    class_names: tuple[str, ...]
    test_probabilities: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    validation_probabilities: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    validation_labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    dataset: DatasetRecord = field(default_factory=DatasetRecord)
    history: list[EpochRecord] = field(default_factory=list)
    phases: list[PhaseRecord] = field(default_factory=list)
    recipe: Recipe = field(default_factory=Recipe)
    model_info: ModelRecord = field(default_factory=ModelRecord)
    seed: int
    selection: Selection = "none"
    selected_epoch: int | None = None
    status: Status = "completed"
    train_accuracy: float | None = None
    test_seconds: float | None = None
    environment: EnvironmentRecord = field(default_factory=EnvironmentRecord)
    tuning_trials: int = 1
    key: str = ""
    created: str = field(default_factory=_now)
    notes: list[str] = field(default_factory=list)
    probe: ProbeRecord = field(default_factory=ProbeRecord)
    identity: dict[str, PartRecord] = field(default_factory=dict)
    plan: PlanRecord = field(default_factory=PlanRecord)
    model: Any = field(default=None, repr=False)
    path: Path | None = None

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name.strip():
            raise InvalidInputError(f"a run's name must be a non-empty string; got {self.name!r}.")
        if self.status not in STATUSES:
            raise UnknownNameError("status", self.status, STATUSES)
        if self.selection not in SELECTIONS:
            raise UnknownNameError("selection", self.selection, SELECTIONS)
        if not isinstance(self.dataset, Mapping):
            raise InvalidInputError(f"dataset must be a dict; got {type(self.dataset).__name__}. Give data.describe().")
        record = {name: plain(getattr(self, name)) for name in FACTS}
        check_run(record)
        for name, value in record.items():
            self._set(name, value)
        names: object = self.class_names
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise InvalidInputError(f"class_names must be a sequence of names; got {names!r}.")
        self._set("class_names", tuple(plain(str(name)) for name in names))
        if len(set(self.class_names)) != len(self.class_names) or not self.class_names:
            raise InvalidInputError(f"class_names must be distinct and at least one; got {self.class_names}.")
        for split in ("test", "validation"):
            self._check_split(split)
        if self.status == "completed" and not len(self.test_probabilities):
            raise InvalidInputError(
                f"run {self.name!r} is 'completed' but has no test probabilities. Give them, or say how it ended in status."
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_split(self, split: str) -> None:
        classes = len(self.class_names)
        probabilities = getattr(self, f"{split}_probabilities")
        labels = getattr(self, f"{split}_labels")
        probabilities = as_array(probabilities, what=f"{split}_probabilities")
        if probabilities.size and probabilities.dtype.kind not in "fiub":
            raise InvalidInputError(
                f"{split}_probabilities must be an array of numbers; got dtype {probabilities.dtype}."
            )
        with np.errstate(over="ignore"):  # what is too large becomes infinity, and is told from probabilities later
            probabilities = probabilities.astype(np.float32, copy=False)
        if not probabilities.size:
            probabilities = np.empty((0, classes), np.float32)
        if probabilities.ndim != 2 or probabilities.shape[1] != classes:
            raise InvalidInputError(
                f"{split}_probabilities must have shape (n, {classes}), one column for each class name; "
                f"got {probabilities.shape}."
            )
        labels = check_labels(labels, classes, what=f"{split}_labels")
        if len(probabilities) not in (0, len(labels)):
            raise InvalidInputError(
                f"{split}_probabilities and {split}_labels must be equally many; got {len(probabilities)} and {len(labels)}."
            )
        self._set(f"{split}_probabilities", _read_only(probabilities))
        self._set(f"{split}_labels", _read_only(labels))

    @cached_property
    def test_predictions(self) -> NDArray[np.int64]:
        """Predicted class of each test image, shape (n,): the most probable, the first of equals.

        Raises `RunError` if there are no predictions, `InvalidInputError` if the probabilities are none.
        """
        if not len(self.test_probabilities):
            raise RunError(f"run {self.name!r} has no test predictions, since it is {self.status!r}. Train it again.")
        check_probabilities(self.test_probabilities, what=f"the test probabilities of run {self.name!r}")
        return _read_only(self.test_probabilities.argmax(axis=1))

    @cached_property
    def test_correct(self) -> NDArray[np.bool_]:
        """Whether each test image is predicted correctly, shape (n,); raises what `test_predictions` does."""
        return _read_only(self.test_predictions == self.test_labels)

    @cached_property
    def metrics(self) -> Metrics:
        """Test metrics, see `transferkit.runs.metrics.compute_metrics`; raises what `test_predictions` does."""
        _ = self.test_predictions  # checked, and the message names the run
        return compute_metrics(self.test_labels, self.test_probabilities)

    @property
    def parameters(self) -> int | None:
        """Number of weights of the model."""
        return self.model_info.get("parameters")

    @property
    def trainable_parameters(self) -> int | None:
        """Number of weights that the last phase trained."""
        return self.model_info.get("trainable_parameters")

    @property
    def provenance(self) -> Provenance:
        """Where the initial weights came from: ``source``, ``backbone``, ``image_size``, ...; empty if not recorded."""
        return self.model_info.get("provenance") or Provenance()

    @property
    def train_seconds(self) -> float | None:
        """Wall time of all phases, features of frozen layers that were computed for it included; None if none is recorded."""
        return _total(phase.get("seconds") for phase in self.phases)

    @property
    def images_per_second(self) -> float | None:
        """Training images per second over all phases; None if not recorded."""
        seconds, images = self.train_seconds, _total(phase.get("images") for phase in self.phases)
        return images / seconds if seconds and images else None

    @property
    def overfit_gap(self) -> float | None:
        """Training accuracy minus test accuracy, both of the final model; None if either is unknown."""
        if self.train_accuracy is None or not len(self.test_probabilities):
            return None
        return self.train_accuracy - self.metrics["accuracy"]

    @property
    def weights_file(self) -> Path | None:
        """The file of the saved weights; None if the run was read from no folder, or they are not there."""
        file = None if self.path is None else self.path / storage.WEIGHTS
        return file if file is not None and file.is_file() else None

    def save(self, path: Path | str, *, weights: bool = True, replace: bool = False) -> Path:
        """Write the run as a folder of plain files: JSON, arrays without pickle, weights, and their SHA-256 sums.

        Parameters
        ----------
        path : path
            The folder; it must not exist yet, or hold an older run if `replace`.
        weights : bool, default True
            Whether the model and its weights are written as well, if the run has a model or was read from a folder that has them.
        replace : bool, default False
            Whether a run that is there is replaced.

        Returns
        -------
        Path
            The folder; `transferkit.load_run` reads it.

        Raises
        ------
        RunError
            If something is there already, or it is no run that could be replaced; or the model was trained further since, or the
            folder that the run was read from holds another one by now.
        StorageError
            If the disk is full or read-only; a run that is there stays as it was.
        InvalidInputError
            If the run is completed, and its predictions are no probabilities.

        Notes
        -----
        A scikit-learn classifier is not written: it could only be pickled, and a pickle runs code when it is read. The recipe is,
        from which it can be fitted again.

        Examples
        --------
        >>> run = Run(name="toy", class_names=("cat", "dog"), test_probabilities=np.eye(2), test_labels=[0, 1], seed=0)
        >>> folder = run.save("runs/toy")
        >>> sorted(file.name for file in folder.iterdir())
        ['manifest.json', 'predictions.npz', 'run.json']
        """
        require_probabilities(self)
        record = {name: getattr(self, name) for name in FACTS} | {"class_names": list(self.class_names)}
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return storage.write_run(
            path, record, arrays, model=self.model, saved=self.path, weights=weights, replace=replace
        )

    def history_frame(self) -> "pd.DataFrame":
        """Return the history as a table.

        Returns
        -------
        pandas.DataFrame
            One row an epoch, in order: ``epoch`` (from 1), ``phase``, ``loss``, ``accuracy``, and whatever else was
            recorded. NaN where an epoch has no such value.

        Examples
        --------
        >>> rows = [{"epoch": 1, "phase": "train", "loss": 0.7}, {"epoch": 2, "phase": "train", "loss": 0.5}]
        >>> run = Run(
        ...     name="toy",
        ...     class_names=("cat", "dog"),
        ...     test_probabilities=np.eye(2),
        ...     test_labels=[0, 1],
        ...     seed=0,
        ...     history=rows,
        ... )
        >>> run.history_frame()
           epoch  phase  loss
        0      1  train   0.7
        1      2  train   0.5
        """
        return interchange.history_frame(self.history)

    def predictions_frame(self, split: interchange.SplitName = "test") -> "pd.DataFrame":
        """Return what the model says of each image as a table.

        Parameters
        ----------
        split : {"test", "validation"}, default "test"
            Which images.

        Returns
        -------
        pandas.DataFrame
            One row an image, in order: ``label`` and ``predicted`` (class names, categorical in the order of the classes),
            ``right`` (bool), ``probability`` of the predicted and ``label_probability`` of the true class (float32). Of images from
            files the first column is ``file``, relative to the folder that was loaded.

        Raises
        ------
        RunError
            If there are no predictions of that split.
        UnknownNameError
            If there is no such split.

        Examples
        --------
        >>> run = Run(
        ...     name="toy", class_names=("cat", "dog"), test_probabilities=[[0.75, 0.25]], test_labels=[1], seed=0
        ... )
        >>> run.predictions_frame()
              label predicted  right  probability  label_probability
        image
        0       dog       cat  False         0.75               0.25
        """
        if split not in get_args(interchange.SplitName):
            raise UnknownNameError("split", split, get_args(interchange.SplitName))
        probabilities, labels = getattr(self, f"{split}_probabilities"), getattr(self, f"{split}_labels")
        if not len(probabilities):
            raise RunError(
                f"run {self.name!r} has no {split} predictions ({self.status}), so there is nothing to list."
            )
        files = self.dataset.get("test_files") if split == "test" else self.dataset.get("validation_files")
        return interchange.predictions_frame(self.class_names, probabilities, labels, files)

    @classmethod
    def from_history(
        cls,
        history: Any,
        *,
        name: str,
        data: Dataset,
        test_probabilities: ArrayLike,
        validation_probabilities: ArrayLike | None = None,
        seed: int = 0,
        selection: Selection = "last",
        selected_epoch: int | None = None,
        train_seconds: float | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> "Run":
        """Make a run of a training by your own ``fit``, so that it can join a comparison.

        Parameters
        ----------
        history : keras.callbacks.History, dict, DataFrame or path
            What ``model.fit`` returned, its ``.history``, a table of it, or the file that ``keras.callbacks.CSVLogger`` wrote:
            columns (lists, arrays, tensors) with one number an epoch. Keras's longer names of accuracy become ``accuracy``.
        name : str
            What tables and plots call the run.
        data : Dataset
            What the model was trained and tested on; labels and fingerprints are taken from it.
        test_probabilities : array-like of float, shape (n, classes)
            Softmax output on ``data.test.images``, in their order; of two classes also the one column of a sigmoid.
        validation_probabilities : array-like of float, optional
            The same on ``data.validation.images``; `transferkit.calibrate` needs it.
        seed : int, default 0
            The seed that the training used.
        selection : {"last", "validation", "test", "none"}, default "last"
            What chose the epoch whose weights made the probabilities: ``"validation"`` with
            ``EarlyStopping(restore_best_weights=True)`` or a checkpoint on ``val_*``. ``"test"`` if its validation data were
            the test images: that bars a verdict.
        selected_epoch : int, optional
            That epoch, from 1; the last one if None and `selection` is ``"last"``.
        train_seconds : float, optional
            Wall time of ``fit``.
        recipe : mapping of str, optional
            What a report should say of the training, for instance ``{"batch_size": 64, "learning_rate": 1e-3}``.

        Returns
        -------
        Run
            With the number of weights and the optimiser, if `history` is the object of a Keras model. The model itself is
            not kept; save it with ``model.save``.

        Raises
        ------
        InvalidInputError
            If the history's columns are not equally long lists of numbers, probabilities are not probabilities or not those
            of the dataset's images, or `selection` is contradicted: ``val_loss`` of the epoch that the probabilities are from is the
            loss on the test images, or that epoch is not the last one.
        UnknownNameError
            If there is no such `selection`.

        Warns
        -----
        TransferKitWarning
            If ``val_accuracy`` of an epoch that was not the last is the accuracy on the test images, which may be chance.

        Examples
        --------
        >>> import transferkit as tk
        >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
        >>> model = tk.build_cnn(filters=(4, 8))
        >>> history = model.fit(*data.train, validation_data=data.validation, epochs=2, verbose=0)
        >>> probabilities = model.predict(data.test.images, batch_size=500, verbose=0)
        >>> tk.Run.from_history(history, name="mine", data=data, test_probabilities=probabilities)
        Run('mine', completed, accuracy=0..., loss=..., 2 epochs, seed 0)
        """
        own = interchange.describe_fit(
            history,
            name=name,
            data=data,
            test_probabilities=test_probabilities,
            validation_probabilities=validation_probabilities,
            seed=seed,
            selection=selection,
            selected_epoch=selected_epoch,
            train_seconds=train_seconds,
            recipe=recipe,
        )
        return cls(**own)

    def __repr__(self) -> str:
        try:
            result = f", accuracy={self.metrics['accuracy']:.4f}, loss={self.metrics['loss']:.4f}"
        except ValueError:  # no predictions, or none that are probabilities
            result = ""
        return printable(f"Run({self.name!r}, {self.status}{result}, {len(self.history)} epochs, seed {self.seed})")

    def _repr_html_(self) -> str:
        try:
            scores = {name: f"{self.metrics[name]:.4f}" for name in ("accuracy", "loss", "f1_macro")}
        except ValueError:
            scores = {}
        facts: dict[str, object] = {"status": self.status, **scores, "epochs": len(self.history), "seed": self.seed}
        facts |= {
            name: f"{count:,}"
            for name in ("parameters", "trainable_parameters")
            if (count := getattr(self, name)) is not None
        }
        facts |= {} if self.train_seconds is None else {"train_seconds": f"{self.train_seconds:.1f}"}
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
        return f"<table><caption>{html.escape(self.name)}</caption>{cells}</table>"


def run_of(result: Any) -> Any:
    """Return the run of a result that has one, as `transferkit.tune`'s does, and anything else as it is."""
    run = getattr(result, "run", None)
    return run if isinstance(run, Run) else result


def derived_key(run: Run, change: str) -> str:
    """Return the key of what was made of a run without training; empty if the run has none."""
    return hashlib.sha256(f"{run.key} {change}".encode()).hexdigest() if run.key else ""


def require_probabilities(run: Run) -> None:
    """Raise if a completed run's predictions are no probabilities.

    Raises
    ------
    InvalidInputError
        If they are not; the message names the run and the split.
    """
    if run.status == "completed":
        _ = run.test_predictions
        check_probabilities(run.validation_probabilities, what=f"the validation probabilities of run {run.name!r}")


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else None
