"""The loop that both train and fine_tune are: check, find again, fit each phase, keep the best, measure, record."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from transferkit import files
from transferkit.data.checks import check_input_shape
from transferkit.data.dataset import Dataset
from transferkit.data.splits import check_seed, is_int
from transferkit.errors import DataError, DivergedError, InvalidInputError, RunError, UnknownNameError, warn
from transferkit.models.compiling import fresh_optimizer, recompile
from transferkit.models.freezing import leaves
from transferkit.models.weights import weights_provenance
from transferkit.runs.run import Run
from transferkit.runs.storage import WEIGHTS, load_run
from transferkit.training.augmentation import check_augmentations
from transferkit.training.batches import Batches
from transferkit.training.batchnorm import STATISTICS_IMAGES, BatchNormStatistics, has_batchnorm
from transferkit.training.callbacks import BestWeights, DivergenceGuard, DropoutSeeds, EpochHook, ProgressBar, Recorder
from transferkit.training.checkpoint import Progress, load_progress, restore, save_checkpoint
from transferkit.training.environment import describe_environment
from transferkit.training.evaluation import timed_predict
from transferkit.training.fused import fused_batchnorm
from transferkit.training.identity import training_key

Schedule = Literal["constant", "cosine"]
_GAP_IMAGES = 10_000  # enough for the overfit gap to half a point, and cheap
_LOCK_SECONDS = 86_400.0  # another process may be training the very same run: wait for it


@dataclass(frozen=True)
class Phase:
    """One stretch of epochs with one learning rate and one set of trainable layers."""

    name: str
    epochs: int
    learning_rate: float | None
    schedule: Schedule
    warmup_epochs: float
    prepare: Callable[[Any], None] | None = None

    def check(self) -> None:
        """Raise `InvalidInputError` if a value is out of its range."""
        _check_count("epochs" if self.name != "head" else "head_epochs", self.epochs)
        if self.schedule not in get_args(Schedule):
            raise UnknownNameError("schedule", self.schedule, get_args(Schedule))
        if self.learning_rate is not None and not (0 < self.learning_rate < math.inf):
            raise InvalidInputError(f"learning_rate must be a finite number above 0; got {self.learning_rate!r}.")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise InvalidInputError(
                f"warmup_epochs must be at least 0 and less than the {self.epochs} epochs; got {self.warmup_epochs!r}."
            )
        if self.warmup_epochs and self.schedule == "constant":
            raise InvalidInputError("warmup_epochs needs schedule='cosine'; the schedule is 'constant'.")

    def describe(self) -> dict[str, Any]:
        """Return what determines the result, as plain JSON values."""
        names = ("name", "epochs", "learning_rate", "schedule", "warmup_epochs")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Settings:
    """The options that all phases share; see `transferkit.train`."""

    seed: int
    name: str | None
    batch_size: int
    augment: str | Iterable[str]
    label_smoothing: float
    callbacks: Sequence[Any]
    folder: str | Path | None
    overwrite: bool
    verbose: bool
    augmentations: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "augmentations", check_augmentations(self.augment))

    def check(self) -> None:
        """Raise `InvalidInputError` if a value is out of its range."""
        _check_count("batch_size", self.batch_size)
        check_seed(self.seed)
        if not 0 <= self.label_smoothing < 1:
            raise InvalidInputError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing!r}.")


def _check_count(name: str, value: object) -> None:
    if not is_int(value) or value < 1:
        raise InvalidInputError(f"{name} must be an integer of 1 or more; got {value!r}.")


def run_phases(model: Any, data: Dataset, phases: Sequence[Phase], settings: Settings) -> Run:
    """Train `model` through all phases and return the record."""
    settings.check()
    for phase in phases:
        phase.check()
    _check_fit(model, data)
    name = settings.name or model.name
    recipe = _describe_recipe(model, phases, settings)
    key = training_key(model, fingerprint=data.fingerprint, recipe=recipe, seed=settings.seed)
    place = None if settings.folder is None else Path(settings.folder).expanduser() / _slug(name)
    guard = nullcontext() if place is None else files.lock(_hidden(place, ""), timeout_seconds=_LOCK_SECONDS)
    with guard:
        if place is not None:
            finished = _find_finished(place, name, key, recipe, settings, model, phases)
            if finished is not None:
                return finished
        training = _Training(model, data, phases, settings, name, recipe, key, place)
        return training.run()


class _Training:
    """One training on its way from the first epoch to the record."""

    def __init__(
        self,
        model: Any,
        data: Dataset,
        phases: Sequence[Phase],
        settings: Settings,
        name: str,
        recipe: dict[str, Any],
        key: str,
        place: Path | None,
    ) -> None:
        self._model, self._data, self._phases, self._settings = model, data, phases, settings
        self._name, self._recipe, self._key, self._place = name, recipe, key, place
        self._checkpoint = None if place is None else _hidden(place, ".checkpoint.npz")
        self._validates = len(data.validation.labels) > 0
        self._progress = Progress()
        self._best = BestWeights()
        self._phase_facts: list[dict[str, Any]] = []

    def run(self) -> Run:
        """Fit, restore the weights that count, measure and record."""
        original_optimizer, original_loss = self._model.optimizer, self._model.loss
        start = self._model.get_weights()
        arrays = self._find_checkpoint()
        status = "completed"
        try:
            self._fit_all(arrays)
        except DivergedError as error:
            status = "diverged"
            warn(
                f"run {self._name!r} diverged in epoch {len(self._progress.history) + 1}: {error} It has no result; lower the "
                "learning rate or add warm-up."
            )
            self._model.set_weights(self._best.weights or start)
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            if status == "completed" and self._best.weights is not None:
                self._model.set_weights(self._best.weights)
            recompile(self._model, optimizer=original_optimizer, loss=original_loss)
            if status == "interrupted" and self._place is not None:
                self._record(status).save(self._place, weights=False, replace=True)
        run = self._record(status)
        if self._place is not None:
            run.save(self._place, weights=status == "completed", replace=True)
            object.__setattr__(run, "path", self._place)
            if self._checkpoint is not None:
                self._checkpoint.unlink(missing_ok=True)
        return run

    def _find_checkpoint(self) -> dict[str, Any] | None:
        found = None if self._checkpoint is None else load_progress(self._checkpoint, key=self._key)
        if found is None:
            return None
        self._progress, arrays = found
        self._best.epoch, self._best.score = self._progress.best_epoch, self._progress.best_score
        self._best.weights = self._progress.best_weights
        return arrays

    def _fit_all(self, arrays: dict[str, Any] | None) -> None:
        first = 0
        for phase in self._phases:
            last = first + phase.epochs
            if phase.prepare is not None:
                phase.prepare(self._model)
            if self._progress.finished < last:
                resumes = arrays is not None and self._progress.finished > first
                if arrays is not None and self._progress.finished == first:
                    self._model.set_weights([arrays[f"weight{i}"] for i in range(len(self._model.weights))])
                self._fit(phase, first, last, arrays if resumes else None)
                arrays = None
            self._phase_facts.append(self._describe_phase(phase))
            first = last

    def _fit(self, phase: Phase, first: int, last: int, arrays: dict[str, Any] | None) -> None:
        settings, data, model = self._settings, self._data, self._model
        initial = max(first, self._progress.finished)
        smoothing = settings.label_smoothing
        batches = Batches(
            data.train,
            batch_size=settings.batch_size,
            augment=settings.augmentations,
            smoothing=smoothing,
            num_classes=data.num_classes,
            seed=settings.seed,
            first_epoch=initial,
        )
        rate = _learning_rate(phase, model.optimizer, len(batches))
        if smoothing:
            recompile(model, learning_rate=rate, loss=keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
        else:
            recompile(model, learning_rate=rate)
        model.optimizer.build(model.trainable_variables)
        if arrays is not None:
            restore(model, arrays)
        bar = ProgressBar(self._name, phase.name, sum(phase.epochs for phase in self._phases))
        callbacks = [
            DivergenceGuard(),
            DropoutSeeds(settings.seed),
            *self._statistics(),
            Recorder(phase.name, self._progress.history),
            *([self._best] if self._validates else []),
            EpochHook(self._save_progress),
            *([bar] if settings.verbose else []),
            *settings.callbacks,
        ]
        validation = Batches(
            data.validation,
            batch_size=256,
            num_classes=data.num_classes,
            seed=settings.seed,
            shuffle=False,
            one_hot=smoothing > 0,
        )
        try:
            with fused_batchnorm(model):
                model.fit(
                    batches,
                    epochs=last,
                    initial_epoch=initial,
                    validation_data=validation if self._validates else None,
                    shuffle=False,
                    callbacks=callbacks,
                    verbose=0,
                )
        finally:
            bar.close()

    def _statistics(self) -> list[Any]:
        if not has_batchnorm(self._model):
            return []
        settings, data = self._settings, self._data
        batches = Batches(
            data.train,
            batch_size=settings.batch_size,
            augment=settings.augmentations,
            num_classes=data.num_classes,
            seed=settings.seed,
        )
        return [BatchNormStatistics(batches, batch_size=settings.batch_size, validates=self._validates)]

    def _save_progress(self, finished: int) -> None:
        self._progress.finished = finished
        self._progress.best_epoch, self._progress.best_score = self._best.epoch, self._best.score
        self._progress.best_weights = self._best.weights
        if self._checkpoint is not None:
            save_checkpoint(self._checkpoint, self._model, self._progress, key=self._key)

    def _describe_phase(self, phase: Phase) -> dict[str, Any]:
        rows = [row for row in self._progress.history if row["phase"] == phase.name]
        seconds = sum(row["seconds"] for row in rows)
        images = len(rows) * len(self._data.train.labels)
        return {
            "name": phase.name,
            "epochs": len(rows),
            "trainable_parameters": _count(self._model.trainable_weights),
            "seconds": seconds,
            "validation_seconds": sum(row["validation_seconds"] for row in rows),
            "images": images,
            "images_per_second": images / seconds if seconds else None,
        }

    def _record(self, status: str) -> Run:
        model, data = self._model, self._data
        completed = status == "completed"
        empty = np.empty((0, data.num_classes), np.float32)
        test, seconds = timed_predict(model, data.test.images) if completed else (empty, None)
        validation = timed_predict(model, data.validation.images)[0] if completed else empty
        epochs = [row["epoch"] for row in self._progress.history]
        return Run(
            name=self._name,
            class_names=data.class_names,
            test_probabilities=test,
            test_labels=data.test.labels,
            validation_probabilities=validation,
            validation_labels=data.validation.labels,
            dataset=data.describe(),
            history=self._progress.history,
            phases=self._phase_facts,
            recipe=self._recipe,
            model_info=_describe_model(model),
            seed=self._settings.seed,
            selection="validation" if self._validates else "last",
            selected_epoch=(self._best.epoch if self._validates else max(epochs, default=None)) if completed else None,
            status=status,
            train_accuracy=_train_accuracy(model, data, self._settings.seed) if completed else None,
            test_seconds=seconds,
            environment=describe_environment(),
            key=self._key,
            model=model,
        )


def _check_fit(model: Any, data: Dataset) -> None:
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be a Dataset; got {type(data).__name__}. Make one with Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"model must be a keras.Model; got {type(model).__name__}.")
    if not model.compiled:
        raise InvalidInputError(f"the model {model.name!r} is not compiled. Call model.compile(...) first.")
    if isinstance(model.input_shape, list) or isinstance(model.output_shape, list):
        raise InvalidInputError(f"the model {model.name!r} must have one input and one output.")
    check_input_shape(data.image_shape, model.input_shape[1:], name="images")
    if model.output_shape != (None, data.num_classes):
        raise DataError(
            f"the model {model.name!r} has output shape {model.output_shape}, but the data have {data.num_classes} classes. "
            f"Build it with num_classes={data.num_classes}."
        )


def _describe_recipe(model: Any, phases: Sequence[Phase], settings: Settings) -> dict[str, Any]:
    optimizer = fresh_optimizer(model.optimizer)
    config = optimizer.get_config()
    final = phases[-1]
    own = config["learning_rate"] if isinstance(config["learning_rate"], float) else "schedule of the optimiser"
    return {
        "epochs": sum(phase.epochs for phase in phases),
        "batch_size": settings.batch_size,
        "optimizer": type(optimizer).__name__,
        "learning_rate": own if final.learning_rate is None else final.learning_rate,
        "weight_decay": config.get("weight_decay"),
        "schedule": final.schedule,
        "warmup_epochs": final.warmup_epochs,
        "augment": list(settings.augmentations),
        "label_smoothing": settings.label_smoothing,
        "batchnorm_images": STATISTICS_IMAGES if has_batchnorm(model) else None,
        "phases": [phase.describe() for phase in phases],
    }


def _describe_model(model: Any) -> dict[str, Any]:
    provenance = weights_provenance(model)
    return {
        "name": model.name,
        "parameters": int(model.count_params()),
        "trainable_parameters": _count(model.trainable_weights),
        "layers": sum(1 for _ in leaves(model)),
        "provenance": None if provenance is None else asdict(provenance),
        "engine": "keras",
    }


def _count(variables: Iterable[Any]) -> int:
    return int(sum(math.prod(variable.shape) for variable in variables))


def _learning_rate(phase: Phase, optimizer: Any, steps: int) -> Any:
    """Return a number, a Keras schedule, or None to leave the optimiser's own."""
    if phase.schedule == "constant":
        return phase.learning_rate
    peak = phase.learning_rate
    if peak is None:
        peak = fresh_optimizer(optimizer).get_config()["learning_rate"]
        if not isinstance(peak, float):
            raise InvalidInputError("the optimiser has a learning-rate schedule of its own; pass schedule='constant'.")
    warmup = round(phase.warmup_epochs * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else peak,
        decay_steps=max(1, phase.epochs * steps - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def _train_accuracy(model: Any, data: Dataset, seed: int) -> float:
    """Return the accuracy on up to 10,000 training images as they are, without augmentation or dropout."""
    labels = data.train.labels
    chosen = np.sort(np.random.default_rng(seed).permutation(len(labels))[:_GAP_IMAGES])
    probabilities, _ = timed_predict(model, data.train.images[chosen])
    return float(np.mean(probabilities.argmax(axis=1) == labels[chosen]))


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-") or "run"


def _hidden(place: Path, suffix: str) -> Path:
    return place.with_name(f".{place.name}{suffix}")


def _find_finished(
    place: Path,
    name: str,
    key: str,
    recipe: dict[str, Any],
    settings: Settings,
    model: Any,
    phases: Sequence[Phase],
) -> Run | None:
    """Return the finished run of the same key, None if there is none to keep, or raise `RunError`."""
    if not place.exists() or settings.overwrite:
        return None
    run = load_run(place)
    if run.status != "completed":
        return None
    if run.key != key:
        differing = [
            f"{option} {run.recipe.get(option)!r} (now {value!r})"
            for option, value in recipe.items()
            if run.recipe.get(option) != value
        ]
        if run.seed != settings.seed:
            differing.append(f"seed {run.seed} (now {settings.seed})")
        what = "; ".join(differing) or "another model or other data"
        raise RunError(
            f"{place} holds the finished run {run.name!r} made with {what}. Give this one another name, or pass overwrite=True."
        )
    if (place / WEIGHTS).is_file():
        for phase in phases:
            if phase.prepare is not None:
                phase.prepare(model)
        model.load_weights(place / WEIGHTS)
        object.__setattr__(run, "model", model)
    if settings.verbose:
        from rich.console import Console

        Console().print(f"{name}: finished run found in {place}", highlight=False, markup=False, soft_wrap=True)
    return run
