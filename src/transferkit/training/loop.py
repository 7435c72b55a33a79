"""The loop that both train and fine_tune are: check, find again, fit each phase, keep the best, measure, record."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import rich
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.checks import check_input_shape
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, DivergedError, InvalidInputError, warn
from transferkit.features.prefix import NoPrefixError, find_prefix
from transferkit.models.compiling import compile_like, recompile
from transferkit.models.freezing import restore_flags, trainable_flags
from transferkit.models.health import dead_features
from transferkit.runs.metrics import check_probabilities
from transferkit.runs.run import Run
from transferkit.runs.storage import WEIGHTS, check_replaceable
from transferkit.training.augmentation import VIEWS, count_views
from transferkit.training.batches import Batches
from transferkit.training.batchnorm import BatchNormStatistics, trains_batchnorm
from transferkit.training.callbacks import (
    BestWeights,
    DivergenceGuard,
    DropoutSeeds,
    EpochHook,
    ModelCallbacks,
    ProgressBar,
    Recorder,
)
from transferkit.training.checkpoint import Progress, load_progress, restore_optimizer, restore_weights, save_checkpoint
from transferkit.training.description import count_parameters, describe_callbacks, describe_model, describe_recipe
from transferkit.training.environment import describe_environment
from transferkit.training.evaluation import Predictor, check_network
from transferkit.training.finished import beside, find_finished, holds_finished, run_folder, warn_of_changes
from transferkit.training.fused import fused_batchnorm
from transferkit.training.identity import is_sparse_crossentropy, training_key
from transferkit.training.network import Network, choose_network
from transferkit.training.options import Phase, Settings
from transferkit.training.probe import fit_probe, softmax_layer, total_trials

_GAP_IMAGES = 10_000  # enough for the overfit gap to half a point, and cheap
_TIMED_IMAGES, _TIMED_BATCH = 320, 64
_STEPS_AT_ONCE = 32
_HEALTH_IMAGES, _MANY_DEAD = 512, 0.5
_LOCK_SECONDS = 86_400.0  # another process may be training the very same run: wait for it


def run_phases(model: Any, data: Dataset, phases: Sequence[Phase], settings: Settings) -> Run:
    """Train `model` through all phases and return the record."""
    settings.check()
    for phase in phases:
        phase.check()
    _check_fit(model, data)
    if settings.label_smoothing:
        _check_smoothing(model)
    if phases[0].name == "logistic":
        softmax_layer(model)  # raises if there is none that could be fitted
    phases = [_limit_views(phase, model, settings) for phase in phases]
    name = settings.name or model.name
    recipe = describe_recipe(model, phases, settings)
    key = training_key(model, fingerprint=data.fingerprint, recipe=recipe, seed=settings.seed)
    recipe |= describe_callbacks(settings)  # told, but not part of the key: some only write a log
    place = None if settings.folder is None else run_folder(settings.folder, settings.save_as or name)
    guard = nullcontext() if place is None else files.lock(beside(place, ""), timeout_seconds=_LOCK_SECONDS)
    with guard:
        if place is not None and not settings.overwrite:
            finished = find_finished(place, key=key, recipe=recipe, seed=settings.seed)
            if finished is not None:
                warn_of_changes(finished, recipe=recipe, tuning_trials=settings.tuning_trials)
                return _take_up(finished, model, phases, settings)
        if place is not None:
            check_replaceable(place, replace=True)  # before the training, not after it
        return _Training(model, data, phases, settings, name, recipe, key, place).run()


def _limit_views(phase: Phase, model: Any, settings: Settings) -> Phase:
    """Limit the views of each image where a frozen backbone would have to be asked anew in every epoch."""
    if "shift" not in settings.augmentations or phase.epochs <= VIEWS:
        return phase
    if phase.prepare is None:
        try:
            frozen = find_prefix(model).gives_vectors
        except NoPrefixError:
            frozen = False
    else:
        frozen = phase.name == "head"
    return replace(phase, views=VIEWS) if frozen else phase


def _take_up(finished: Run, model: Any, phases: Sequence[Phase], settings: Settings) -> Run:
    """Give the model the weights of a finished run."""
    place = finished.path
    assert place is not None  # noqa: S101 - it was loaded from there
    if (place / WEIGHTS).is_file():
        for phase in phases:
            if phase.prepare is not None:
                phase.prepare(model)
        model.load_weights(place / WEIGHTS)
        object.__setattr__(finished, "model", model)
    if settings.verbose:
        message = f"{finished.name}: finished run found in {place}"
        if finished.model is None:
            message += ", saved without weights: the model stays as it is"
        rich.get_console().print(message, highlight=False, markup=False, soft_wrap=True)
    return finished


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
        self._checkpoint = None if place is None else beside(place, ".checkpoint.npz")
        self._validates = len(data.validation.labels) > 0
        self._progress = Progress()
        self._best = BestWeights()
        self._phase_facts: list[dict[str, Any]] = []
        self._network = Network(model, None, "plain")
        self._computed_before = 0

    def run(self) -> Run:
        """Fit, restore the weights that count, measure and record."""
        original_optimizer, original_loss = self._model.optimizer, self._model.loss
        start, flags = self._model.get_weights(), trainable_flags(self._model)
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
            if status == "interrupted" and self._place is not None:
                self._save(self._record(status))
                # The same call with the same model finds the checkpoint only if the model is what it was.
                restore_flags(self._model, flags)
                self._model.set_weights(start)
            recompile(self._model, optimizer=original_optimizer, loss=original_loss)
        run = self._record(status)
        if self._place is not None:
            self._save(run)
            if self._checkpoint is not None:
                self._checkpoint.unlink(missing_ok=True)
        return run

    def _save(self, run: Run) -> None:
        """Save the run in its place, unless it has no result and a run that has one is there."""
        assert self._place is not None  # noqa: S101 - the caller knows
        if run.status != "completed" and holds_finished(self._place):
            warn(f"run {run.name!r} has no result ({run.status}), so the finished run in {self._place} stays.")
            return
        run.save(self._place, weights=run.status == "completed", replace=True)
        object.__setattr__(run, "path", self._place)

    def _find_checkpoint(self) -> dict[str, Any] | None:
        found = None if self._checkpoint is None else load_progress(self._checkpoint, key=self._key)
        if found is None:
            return None
        self._progress, arrays = found
        self._best.epoch, self._best.score = self._progress.best_epoch, self._progress.best_score
        self._best.weights = self._progress.best_weights
        return arrays

    def _fit_all(self, arrays: dict[str, Any] | None) -> None:
        if arrays is not None:
            restore_weights(self._model, arrays)
        first = 0
        for phase in self._phases:
            last = first + phase.epochs
            if phase.prepare is not None:
                phase.prepare(self._model)
            if self._progress.finished < last:
                resumes = arrays is not None and self._progress.finished > first
                self._fit(phase, first, last, arrays if resumes else None)
                arrays = None
            self._phase_facts.append(self._describe_phase(phase))
            first = last

    def _fit(self, phase: Phase, first: int, last: int, arrays: dict[str, Any] | None) -> None:
        settings, model = self._settings, self._model
        initial = max(first, self._progress.finished)
        start = time.perf_counter()
        self._network = network = self._choose_network(phase)
        self._look_for_dead_features()
        if phase.name == "logistic":
            self._fit_probe(first, last, start)
            return
        batches = self._batches(phase, initial)
        rate = phase.rate_for(model.optimizer, len(batches))
        if settings.label_smoothing:
            recompile(model, learning_rate=rate, loss=keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
        else:
            recompile(model, learning_rate=rate)
        model.optimizer.build(model.trainable_variables)
        if network.model is not model:
            # A step on features is so short that Python between the steps would take longer; callbacks may want every step.
            compile_like(network.model, model, steps_at_once=1 if settings.callbacks else _STEPS_AT_ONCE)
        if arrays is not None:
            restore_optimizer(model, arrays)
        bar = ProgressBar(self._name, phase.name, sum(phase.epochs for phase in self._phases))
        statistics = self._statistics(phase)
        self._note_preparation(phase.name, time.perf_counter() - start)
        callbacks = [
            DivergenceGuard(),
            DropoutSeeds(settings.seed),
            *statistics,
            Recorder(phase.name, self._progress.history),
            *([self._best] if self._validates else []),
            EpochHook(partial(self._save_progress, phase.name)),
            *([bar] if settings.verbose else []),
            *settings.callbacks,
        ]
        try:
            with fused_batchnorm(model):
                network.model.fit(
                    batches,
                    epochs=last,
                    initial_epoch=initial,
                    validation_data=self._validation_batches() if self._validates else None,
                    shuffle=False,
                    # Callbacks see the whole model, also when only what comes after its frozen part is run.
                    callbacks=ModelCallbacks(
                        callbacks, add_history=True, model=model, epochs=last, steps=len(batches), verbose=0
                    ),
                    verbose=0,
                )
        finally:
            bar.close()

    def _fit_probe(self, first: int, last: int, start: float) -> None:
        probe = fit_probe(self._network, self._data, first_epoch=first + 1)
        softmax_layer(self._model).set_weights([probe.kernel, probe.bias])
        self._progress.history += probe.history
        self._best.epoch, self._best.weights = probe.chosen, self._model.get_weights()
        fitted = sum(row["seconds"] for row in probe.history)
        self._note_preparation("logistic", time.perf_counter() - start - fitted)
        self._save_progress("logistic", last)

    def _note_preparation(self, phase: str, seconds: float) -> None:
        """Count what came before the epochs: features of images as they are, the conversion of the frozen part."""
        prepared = self._progress.prepared.setdefault(phase, {"preparation_seconds": 0.0})
        prepared["preparation_seconds"] += seconds
        prepared["engine"] = self._network.engine
        self._computed_before = int(prepared.get("features_computed", 0))

    def _choose_network(self, phase: Phase) -> Network:
        settings, data = self._settings, self._data
        views = count_views(settings.augmentations, epochs=phase.epochs, limit=phase.views)
        expected = views * len(data.train.labels) + len(data.validation.labels) + len(data.test.labels)
        return choose_network(self._model, data.train.images, engine=settings.engine, expected=expected)

    def _look_for_dead_features(self) -> None:
        network, data = self._network, self._data
        images = (data.validation if self._validates else data.train).images[:_HEALTH_IMAGES]
        if network.cache is None or len(network.cache.shape) != 1 or len(images) < 2:
            return
        found = dead_features(network.cache.take(network.cache.locate(np.asarray(images))))
        self._progress.dead_features = [found.dead, found.total]
        if found.fraction > _MANY_DEAD:
            warn(
                f"{found.dead} of {found.total} features of {self._model.name!r} are the same for every image, so "
                "its frozen layers can say little about them. A larger image_size usually helps."
            )

    def _batches(self, phase: Phase, first_epoch: int) -> Batches:
        settings, data = self._settings, self._data
        return Batches(
            data.train,
            batch_size=settings.batch_size,
            augment=settings.augmentations,
            smoothing=settings.label_smoothing,
            num_classes=data.num_classes,
            seed=settings.seed,
            first_epoch=first_epoch,
            cache=self._network.cache,
            views=phase.views,
        )

    def _validation_batches(self) -> Batches:
        data = self._data
        return Batches(
            data.validation,
            batch_size=256,
            num_classes=data.num_classes,
            seed=self._settings.seed,
            shuffle=False,
            one_hot=self._settings.label_smoothing > 0,
            cache=self._network.cache,
        )

    def _statistics(self, phase: Phase) -> list[Any]:
        network = self._network.model
        if not trains_batchnorm(network):
            return []
        batches = self._batches(phase, first_epoch=0)
        return [BatchNormStatistics(network, batches, batch_size=self._settings.batch_size, validates=self._validates)]

    def _save_progress(self, phase: str, finished: int) -> None:
        if self._network.cache is not None:
            computed = self._computed_before + self._network.cache.computed
            self._progress.prepared[phase]["features_computed"] = computed
        self._progress.finished = finished
        self._progress.best_epoch, self._progress.best_score = self._best.epoch, self._best.score
        self._progress.best_weights = self._best.weights
        if self._checkpoint is not None:
            save_checkpoint(self._checkpoint, self._model, self._progress, key=self._key)

    def _describe_phase(self, phase: Phase) -> dict[str, Any]:
        rows = [row for row in self._progress.history if row["phase"] == phase.name]
        prepared = self._progress.prepared.get(phase.name, {"preparation_seconds": 0.0})
        seconds = prepared["preparation_seconds"] + sum(row["seconds"] for row in rows)
        images = len(rows) * len(self._data.train.labels)
        return {
            "name": phase.name,
            "epochs": len(rows),
            "trainable_parameters": count_parameters(self._model.trainable_weights),
            "engine": "plain",
            "seconds": seconds,
            "validation_seconds": sum(row["validation_seconds"] for row in rows),
            "images": images,
            "images_per_second": images / seconds if seconds else None,
            **prepared,
        }

    def _record(self, status: str) -> Run:
        model, data = self._model, self._data
        completed = status == "completed"
        empty = np.empty((0, data.num_classes), np.float32)
        test, validation, train_accuracy = empty, empty, None
        if completed:
            some = _some_training_images(data, self._settings.seed)
            expected = len(data.test.labels) + len(data.validation.labels) + len(some)
            predict = Predictor(model, data.test.images, expected=expected, engine=self._settings.engine)
            test, validation = predict(data.test.images), predict(data.validation.images)
            if not (np.isfinite(test).all() and np.isfinite(validation).all()):  # the last step did it
                warn(
                    f"run {self._name!r} diverged: its predictions are not finite. Lower the learning rate or add warm-up."
                )
                return self._record("diverged")
            right = predict(data.train.images[some]).argmax(axis=1) == data.train.labels[some]
            train_accuracy = float(np.mean(right))
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
            model_info=describe_model(model, engine=self._network.engine, dead=self._progress.dead_features),
            seed=self._settings.seed,
            selection="validation" if self._validates else "last",
            selected_epoch=(self._best.epoch if self._validates else max(epochs, default=None)) if completed else None,
            status=status,
            tuning_trials=total_trials(self._settings.tuning_trials, self._progress.history),
            train_accuracy=train_accuracy,
            test_seconds=_test_seconds(model, data) if completed else None,
            environment=describe_environment(),
            key=self._key,
            model=model,
        )


def _check_fit(model: Any, data: Dataset) -> None:
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be a Dataset; got {type(data).__name__}. Make one with Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    check_network(model)
    if not model.compiled:
        raise InvalidInputError(f"the model {model.name!r} is not compiled. Call model.compile(...) first.")
    check_input_shape(data.image_shape, model.input_shape[1:], name="images")
    if model.output_shape != (None, data.num_classes):
        raise DataError(
            f"the model {model.name!r} has output shape {model.output_shape}, but the data have {data.num_classes} classes. "
            f"Build it with num_classes={data.num_classes}."
        )
    # A sigmoid or a second activation shows in the numbers only; better now than after the training.
    answers = keras.ops.convert_to_numpy(model(np.asarray(data.train.images[:2]), training=False))
    check_probabilities(answers, what=f"the outputs of the model {model.name!r}")


def _check_smoothing(model: Any) -> None:
    if not is_sparse_crossentropy(model.loss):
        raise InvalidInputError(
            f"label_smoothing trains with smoothed cross-entropy, but the model is compiled with the loss {model.loss!r}. Compile it "
            "with 'sparse_categorical_crossentropy', or leave label_smoothing out."
        )


def _some_training_images(data: Dataset, seed: int) -> NDArray[np.int64]:
    """Return the indices of up to 10,000 training images, on which the overfit gap is measured."""
    return np.sort(np.random.default_rng(seed).permutation(len(data.train.labels))[:_GAP_IMAGES])


def _test_seconds(model: Any, data: Dataset) -> float:
    """Return how long Keras takes for all test images, from the median rate of some batches."""
    images = data.test.images[:_TIMED_IMAGES]
    model.predict_on_batch(images[:_TIMED_BATCH])
    seconds = []
    for first in range(0, len(images), _TIMED_BATCH):
        batch = images[first : first + _TIMED_BATCH]
        start = time.perf_counter()
        model.predict_on_batch(batch)
        seconds.append((time.perf_counter() - start) / len(batch))
    return float(np.median(seconds)) * len(data.test.labels)
