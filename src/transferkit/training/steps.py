"""Training in gradient steps: Keras's ``fit``, phase after phase, on the whole model or on kept features."""

import time
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from transferkit.backends import MatmulPrecision, chosen_backend
from transferkit.data.checks import check_fits_model
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, DivergedError, InvalidInputError, first_time, warn
from transferkit.features.graph import scales_no_pixels
from transferkit.features.loading import FeatureDataset
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.models.compiling import recompile, set_optimizer
from transferkit.models.devices import batch_up_to, even, images_an_epoch, size_of_looks
from transferkit.models.freezing import find_backbone, freeze
from transferkit.models.keras_internals import build_metrics, fit_of
from transferkit.models.weights import weights_provenance
from transferkit.progress import say
from transferkit.runs.metrics import check_probabilities
from transferkit.runs.records import EpochRecord, ProbeRecord
from transferkit.runs.run import Run
from transferkit.training.augmentation import MIXES, VIEWS, count_views, has_many_views
from transferkit.training.batches import Batches
from transferkit.training.batchnorm import BatchNormStatistics, trains_batchnorm
from transferkit.training.callbacks import (
    BestWeights,
    CallbackStates,
    DivergenceGuard,
    DropoutSeeds,
    EpochHook,
    FrozenGuard,
    ModelCallbacks,
    ProgressBar,
    Recorder,
    appending,
    number_columns,
)
from transferkit.training.checkpoint import (
    Progress,
    assign_values,
    load_progress,
    save_checkpoint,
    saved_optimizer,
    saved_weights,
)
from transferkit.training.class_weights import weights_of_classes
from transferkit.training.compiled import lent, snapshot, unchanged_on_error
from transferkit.training.contract import Outcome, Predict
from transferkit.training.description import count_parameters, describe_model, describe_recipe
from transferkit.training.evaluation import Predictor, check_network
from transferkit.training.identity import identify_network, probe_network
from transferkit.training.keeping import keep
from transferkit.training.kernels import fast_kernels
from transferkit.training.logistic import count_trials, fit_softmax, softmax_layer
from transferkit.training.losses import (
    is_crossentropy,
    is_sparse_crossentropy,
    metrics_of_rows,
    name_of_loss,
    wants_one_hot,
)
from transferkit.training.memory import fit_into_memory
from transferkit.training.network import Engine, Network, check_features, choose_network, count_dead, rounded_to_one
from transferkit.training.options import (
    USUAL_EPOCHS,
    BodyPhase,
    ExactHeadPhase,
    FineTuneRecipe,
    HeadPhase,
    Phase,
    Steps,
)
from transferkit.training.record import check_data, some_training_images
from transferkit.training.speed import seconds_for_test
from transferkit.training.step_counts import least_steps, steps_an_epoch

_STEPS_AT_ONCE = 32


def fit_steps(model: Any, data: Dataset, steps: Steps) -> Run:
    """Train `model` through all phases and return the run."""
    check_trainable(model, check_data(data), engine=steps.engine)
    if isinstance(data, FeatureDataset):
        _refuse_images(steps)
    if steps.label_smoothing and not is_sparse_crossentropy(model.loss):
        raise InvalidInputError(
            f"label_smoothing trains with smoothed cross-entropy, but the model is compiled with the loss {model.loss!r}. Compile it "
            "with 'sparse_categorical_crossentropy', or leave label_smoothing out."
        )
    if steps.mixes:
        _check_mixing(model, steps)
    if steps.early_stopping and not len(data.validation.labels):
        raise InvalidInputError(
            "early_stopping watches the validation loss, but the data have no validation split. Keep one back, or leave it out."
        )
    left = steps.batch_size == "auto"
    steps = _divide_batches(model, _settle(model, data, steps), left=left)
    _check_rates(model, steps)
    if left:
        steps = fit_into_memory(model, data, steps)
    return keep(GradientSteps(model, data, steps), steps)


def _settle(model: Any, data: Dataset, steps: Steps) -> Steps:
    """Choose what the recipe leaves to the number of training images; refuse that for a network that learns from nothing."""
    images = len(data.train.labels)
    if isinstance(steps, FineTuneRecipe):
        return steps.settled(images, exact_head=steps.leaves_head(images) and _fits_exactly(model, data))
    if steps.epochs not in ("auto", None):
        return steps.settled(images)
    prefix, provenance = _lasting_prefix(model, steps), weights_provenance(model)
    frozen = _has_frozen_backbone(model) if prefix is None else prefix.gives_vectors
    if prefix is None and not frozen and (provenance is None or provenance.source == "random"):
        if steps.epochs is None:
            return replace(steps, epochs=USUAL_EPOCHS).settled(images)
        raise InvalidInputError(
            f"epochs='auto' is for networks that are pretrained or partly frozen; {model.name!r} is neither, so say how many epochs it "
            "needs, for example epochs=10."
        )
    return steps.settled(images, frozen=frozen)


def _has_frozen_backbone(model: Any) -> bool:
    """Whether nothing of a nested network trains, also where augmentation inside of the model comes before it."""
    try:
        return not find_backbone(model).trainable_weights
    except InvalidInputError:
        return False


def _divide_batches(model: Any, steps: Steps, *, left: bool) -> Steps:
    """Return a recipe whose batches divide among the devices of the model."""
    size, devices = cast("int", steps.batch_size), chosen_backend().replicas(model)
    if size % devices == 0:
        return steps
    if left:
        return replace(steps, batch_size=batch_up_to(size, model))
    raise InvalidInputError(
        f"batch_size={size} does not divide among {devices} devices. Take a multiple of {devices}, for example {size + -size % devices}."
    )


def _check_mixing(model: Any, steps: Steps) -> None:
    """Refuse to mix images where the loss has no use for mixed targets, or where features of single images are kept."""
    names = " and ".join(name for name in steps.augmentations if name in MIXES)
    if not is_crossentropy(model.loss):
        raise InvalidInputError(
            f"{names}: mixed targets are for cross-entropy, but the model is compiled with the loss {name_of_loss(model.loss)!r}. Compile it "
            f"with 'sparse_categorical_crossentropy' or 'categorical_crossentropy', or leave {names} out of augment."
        )
    if steps.engine != "plain" and _lasting_prefix(model, steps) is not None:
        raise InvalidInputError(
            f"{names}: the frozen layers of {model.name!r} are computed once for each image, and a mixed image is another one in every epoch. "
            "Pass engine='plain', which computes them in every step; or unfreeze the model, or train it with fine_tune, whose head phase "
            "leaves mixing out."
        )


def _fits_exactly(model: Any, data: Dataset) -> bool:
    """Whether the head of a pretrained model is one softmax layer whose exact optimum is its loss's."""
    if not is_sparse_crossentropy(model.loss) or len(np.unique(data.train.labels)) < data.num_classes:
        return False
    restore = snapshot(model)
    try:
        freeze(model, verbose=False)
        softmax_layer(model)
    except InvalidInputError:
        return False
    else:
        return True
    finally:
        restore()


class GradientSteps:
    """One training in gradient steps, from the first epoch to its outcome."""

    def __init__(self, model: Any, data: Dataset, steps: Steps) -> None:
        self.model, self.data, self._steps = model, data, steps
        self.name = steps.name or model.name
        self._prefix = _lasting_prefix(model, steps)
        self._views = {phase: _views(phase, self._prefix, steps) for phase in steps.phases}
        self._one_hot = wants_one_hot(model.loss, data.num_classes)
        self._soft = steps.label_smoothing > 0 or steps.mixes
        self._class_weight = weights_of_classes(steps.class_weight, data)
        self.recipe = describe_recipe(model, steps, self._views, data)
        rates = [phase.learning_rate for phase in steps.phases if callable(phase.learning_rate)]
        self.identity = identify_network(
            model,
            data,
            recipe=self.recipe,
            settings={"rates": rates},
            callbacks=steps.callbacks,
            seed=steps.seed,
            prefix=self._prefix,
        )
        self._validates = len(data.validation.labels) > 0
        self._progress = Progress()
        self._changing = _changing_weights(model, self._prefix, steps)
        self._best = BestWeights(self._changing)
        self._phase_facts: list[Any] = []
        self._network: Network | None = None
        self._networks: dict[Phase, Network] = {}
        exact = isinstance(steps.phases[0], ExactHeadPhase)
        self._trials = count_trials(data) if exact else 1
        self._checkpoint: Path | None = None

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that gives the model back as it was if an exception ends it."""
        return unchanged_on_error(self.model)

    def probe(self, *, about_to_fit: bool = False) -> ProbeRecord | None:
        """Return loss and gradients of the first phase at the weights as they are; None where there are no images.

        Of the whole model, or of what the first phase is about to fit on features of the images as they are: both give the same.
        """
        if isinstance(self.data, FeatureDataset):
            return None
        phase, restore = self._steps.phases[0], snapshot(self.model)
        as_they_are = not isinstance(phase, ExactHeadPhase) and not self._steps.augmentations_in(phase)
        phase.prepare(self.model)
        try:
            network = self._network_of(phase) if about_to_fit and as_they_are else None
            with fast_kernels(self.model):
                return probe_network(
                    self.model, self.data, seed=self._steps.seed, one_hot=self._one_hot, network=network
                )
        finally:
            restore()

    def take_up(self, finished: Run) -> bool:
        """Give the model the weights of a finished run, and let those layers train that trained last."""
        if finished.weights_file is None:
            return False
        for phase in self._steps.phases:
            phase.prepare(self.model)
        self.model.load_weights(finished.weights_file)
        return True

    def fit(self, checkpoint: Path | None) -> Outcome:
        """Fit, and restore the weights that count."""
        model = self.model
        self._checkpoint = checkpoint
        found = None if checkpoint is None else load_progress(checkpoint, key=self.identity.key)
        start = snapshot(model)
        with lent(model):
            try:
                if found is None:
                    if self._steps.verbose:
                        self._say_few_steps()
                        self._say_unscaled()
                    self._progress.probe = self.probe(about_to_fit=True)
                else:
                    self._progress, arrays = found
                    self._best.epoch, self._best.score = self._progress.best_epoch, self._progress.best_score
                    self._best.weights = self._progress.best_weights
                    assign_values(self._changing, saved_weights(arrays))
                self._fit_phases(None if found is None else arrays)
            except DivergedError as error:
                warn(
                    f"run {self.name!r} diverged in epoch {len(self._progress.history) + 1}: {error} It has no result; lower the "
                    "learning rate or add warm-up."
                )
                if self._best.weights is None:
                    start()
                self._best.restore()
                return self._outcome("diverged")
            self._best.restore()
        return self._outcome("completed")

    def interrupted(self) -> Outcome:
        """Return the epochs that were finished before Ctrl-C."""
        return self._outcome("interrupted")

    def _say_few_steps(self) -> None:
        """Say at once what the report would say at its end: that the training is short."""
        steps, epochs = self._steps, self._steps.phases[-1].epochs
        each = steps_an_epoch(len(self.data.train.labels), cast("int", steps.batch_size))
        least = least_steps(unfrozen=isinstance(steps, FineTuneRecipe))
        message = f"{self.name}: few training steps: {epochs * each} ({each} an epoch). Below {least}, more epochs or a smaller batch_size usually help."
        if epochs * each < least and first_time(message):
            say(message)

    def _say_unscaled(self) -> None:
        """Say that a network may have been made for pixels that its author scaled elsewhere."""
        message = (
            f"{self.name}: nothing in the network scales the pixels of 0 to 255 before its first weights. If it was made for others, begin it with "
            "keras.layers.Rescaling(1 / 255), or with what scaled them."
        )
        if not isinstance(self.data, FeatureDataset) and scales_no_pixels(self.model) and first_time(message):
            say(message)

    def _fit_phases(self, arrays: dict[str, Any] | None) -> None:
        first = 0
        for index, phase in enumerate(self._steps.phases):
            last = first + phase.epochs
            phase.prepare(self.model)
            if index >= self._progress.phases:
                inside = arrays is not None and self._progress.finished > first
                if isinstance(phase, ExactHeadPhase):
                    self._fit_exactly(phase, first)
                else:
                    self._fit_phase(phase, first, last, arrays if inside else None)
                self._progress.phases, self._progress.stopped, arrays = index + 1, False, None
                self._save()
            self._phase_facts.append(self._describe_phase(phase))
            first = last

    def _fit_exactly(self, phase: ExactHeadPhase, first: int) -> None:
        """Give the softmax layer its exact optimum on kept features, as one epoch."""
        start = time.perf_counter()
        fitted = fit_softmax(self.model, self.data, engine=self._steps.engine, class_weight=self._class_weight)
        self._progress.dead_features = fitted.dead
        self._note_preparation(phase, fitted.network, time.perf_counter() - start - fitted.seconds)
        if fitted.network.cache is not None:
            self._progress.prepared[phase.name]["features_computed"] = fitted.network.cache.computed
        row: dict[str, Any] = {
            **fitted.history[fitted.chosen - 1],
            "epoch": first + 1,
            "phase": phase.name,
            "seconds": fitted.seconds,
        }
        self._progress.history.append(cast("EpochRecord", row))
        self._progress.finished = first + 1
        if self._validates:
            self._best.judge(first + 1, row["val_accuracy"], row["val_loss"])
        if self._steps.verbose:
            bar = ProgressBar(self.name, phase.name, sum(phase.epochs for phase in self._steps.phases))
            bar.on_epoch_end(first, row)
            bar.close()

    def _fit_phase(self, phase: Phase, first: int, last: int, arrays: dict[str, Any] | None) -> None:
        steps, model = self._steps, self.model
        initial = last if arrays is not None and self._progress.stopped else max(first, self._progress.finished)
        self._network = network = self._network_of(phase)
        start = time.perf_counter()
        self._progress.dead_features = count_dead(network, self.data) or self._progress.dead_features
        batches = self._batches(phase, network, initial)
        if self._soft and is_sparse_crossentropy(model.loss):
            recompile(model, loss=keras.losses.CategoricalCrossentropy(), adapt_metrics=metrics_of_rows)
        with chosen_backend().placed(model):
            optimizer = phase.optimizer_for(model.optimizer, len(batches))
            if steps.average_weights is not None:
                optimizer.use_ema, optimizer.ema_momentum = True, float(steps.average_weights)
            set_optimizer(model, optimizer)
            model.optimizer.build(model.trainable_variables)
        if network.model is not model:
            # A step on features is so short that Python between the steps would take longer; callbacks may want every step.
            network.model.follow(
                model, steps_at_once=1 if steps.callbacks or chosen_backend().replicas(model) > 1 else _STEPS_AT_ONCE
            )
        if arrays is not None:
            assign_values(model.optimizer.variables, saved_optimizer(arrays))
        bar = ProgressBar(self.name, phase.name, sum(phase.epochs for phase in steps.phases))
        given = [*steps.callbacks, *_stopping(steps)]
        states = CallbackStates(
            given,
            None if arrays is None else self._progress.callbacks,
            first_epoch=initial,
            build_metrics=lambda: build_metrics(network.model, *batches[0][:2]),
            kept=self._checkpoint is not None,
        )
        callbacks = [
            DivergenceGuard(),
            DropoutSeeds(steps.seed),
            Recorder(phase.name, self._progress.history),
            *([self._best] if self._validates else []),
            *given,
            *_averages(model, steps.callbacks),
            *self._statistics(phase, network),
            states,
            *([FrozenGuard(network.model.frozen_digest)] if steps.callbacks and network.model is not model else []),
            EpochHook(partial(self._end_epoch, phase, network, states, self._computed_before(phase))),
            *([bar] if steps.verbose else []),
        ]
        self._note_preparation(phase, network, time.perf_counter() - start)
        try:
            with (
                fast_kernels(network.model, cast("MatmulPrecision", steps.matmul_precision)),  # not what is frozen
                phase.pace(model),
                chosen_backend().fitting(model, network.model),
                appending(steps.callbacks, goes_on=self._callbacks_saw_epochs),
            ):
                fit_of(network.model)(
                    batches,
                    epochs=last,
                    initial_epoch=initial,
                    validation_data=self._validation_batches(network) if self._validates else None,
                    shuffle=False,
                    # Callbacks see the whole model, also when only what comes after its frozen part is run.
                    callbacks=ModelCallbacks(
                        callbacks, add_history=True, model=model, epochs=last, steps=len(batches), verbose=0
                    ),
                    verbose=0,
                )
        finally:
            bar.close()

    @property
    def _callbacks_saw_epochs(self) -> bool:
        by_steps = {phase.name for phase in self._steps.phases if not isinstance(phase, ExactHeadPhase)}
        return any(row["phase"] in by_steps for row in self._progress.history)

    def _note_preparation(self, phase: Phase, network: Network, seconds: float) -> None:
        """Count what came before the epochs: features of images as they are, the conversion of the frozen part."""
        prepared = self._progress.prepared.setdefault(phase.name, {"preparation_seconds": 0.0})
        prepared["preparation_seconds"] += seconds
        prepared["engine"] = network.engine

    def _computed_before(self, phase: Phase) -> int:
        return int(self._progress.prepared.get(phase.name, {}).get("features_computed", 0))

    def _network_of(self, phase: Phase) -> Network:
        """Return what a phase trains, chosen once: what is frozen must be as it is in the phase."""
        if phase not in self._networks:
            start = time.perf_counter()
            self._networks[phase] = self._choose_network(phase)
            self._note_preparation(phase, self._networks[phase], time.perf_counter() - start)
        return self._networks[phase]

    def _choose_network(self, phase: Phase) -> Network:
        steps, data = self._steps, self.data
        if steps.engine != "plain" and not set(MIXES).isdisjoint(steps.augmentations_in(phase)):
            return Network(self.model, None, "plain: mixed images are other ones in every epoch")
        views = count_views(steps.augmentations, epochs=phase.epochs, limit=self._views[phase])
        expected = views * len(data.train.labels) + len(data.validation.labels) + len(data.test.labels)
        return choose_network(
            self.model, data.train.images, engine=steps.engine, expected=expected, prefix=self._prefix
        )

    def _batches(self, phase: Phase, network: Network, first_epoch: int) -> Batches:
        steps, data = self._steps, self.data
        return Batches(
            data.train,
            batch_size=cast("int", steps.batch_size),
            augment=steps.augmentations_in(phase),
            smoothing=steps.label_smoothing,
            num_classes=data.num_classes,
            seed=steps.seed,
            first_epoch=first_epoch,
            one_hot=self._one_hot or self._soft,
            cache=network.cache,
            views=self._views[phase],
            class_weight=self._class_weight,
            images=images_an_epoch(len(data.train.labels), cast("int", steps.batch_size), self.model),
        )

    def _validation_batches(self, network: Network) -> Batches:
        data = self.data
        return Batches(
            data.validation,
            batch_size=size_of_looks(len(data.validation.labels), self.model),
            num_classes=data.num_classes,
            seed=self._steps.seed,
            shuffle=False,
            one_hot=self._one_hot or self._soft,
            cache=network.cache,
            images=even(len(data.validation.labels), self.model),
        )

    def _statistics(self, phase: Phase, network: Network) -> list[Any]:
        if not trains_batchnorm(network.model):
            return []
        batches = self._batches(phase, network, first_epoch=0)
        return [
            BatchNormStatistics(
                network.model, batches, batch_size=cast("int", self._steps.batch_size), validates=self._validates
            )
        ]

    def _end_epoch(
        self,
        phase: Phase,
        network: Network,
        states: CallbackStates,
        computed_before: int,
        finished: int,
        logs: dict[str, Any],
    ) -> None:
        row: Any = self._progress.history[-1]
        row |= {name: value for name, value in number_columns(logs).items() if name not in row}
        if network.cache is not None:
            computed = computed_before + network.cache.computed
            self._progress.prepared[phase.name]["features_computed"] = computed
        self._progress.finished, self._progress.stopped = finished, bool(self.model.stop_training)
        self._progress.callbacks = states.states()
        self._save()

    def _save(self) -> None:
        self._progress.best_epoch, self._progress.best_score = self._best.epoch, self._best.score
        self._progress.best_weights = self._best.weights
        if self._checkpoint is not None:
            save_checkpoint(
                self._checkpoint, self._changing, self.model.optimizer, self._progress, key=self.identity.key
            )

    def _describe_phase(self, phase: Phase) -> dict[str, Any]:
        rows = [row for row in self._progress.history if row["phase"] == phase.name]
        prepared = self._progress.prepared.get(phase.name, {"preparation_seconds": 0.0})
        seconds = prepared["preparation_seconds"] + sum(row["seconds"] for row in rows)
        images = len(rows) * len(self.data.train.labels)
        return {
            "name": phase.name,
            "epochs": len(rows),
            "trainable_parameters": count_parameters(self.model.trainable_weights),
            "engine": "plain",
            "seconds": seconds,
            "validation_seconds": sum(row["validation_seconds"] for row in rows),
            "images": images,
            "images_per_second": images / seconds if seconds else None,
            **prepared,
        }

    def _engine(self) -> str:
        """Return what computed the frozen layers of the last phase, also if that was before a kill."""
        return str(self._progress.prepared.get(self._steps.phases[-1].name, {}).get("engine", "plain"))

    def _outcome(self, status: Any) -> Outcome:
        model, data, epochs = self.model, self.data, [row["epoch"] for row in self._progress.history]
        policy = model.dtype_policy.name
        return Outcome(
            status=status,
            history=self._progress.history,
            phases=self._phase_facts,
            model_info=describe_model(model, engine=self._engine(), dead=self._progress.dead_features),
            predict=predictor_for(model, data, self._steps.seed, engine=self._steps.engine, network=self._network),
            selection="validation" if self._validates else "last",
            selected_epoch=self._best.epoch if self._validates else max(epochs, default=None),
            trials=self._trials,
            probe=self._progress.probe,
            test_seconds=lambda: seconds_for_test(model, data, network=self.identity.parts["model"]["sha256"]),
            notes=self._head_was_best() if status == "completed" else [],
            versions={} if policy == keras.config.dtype_policy().name else {"precision": policy},
        )

    def _head_was_best(self) -> list[str]:
        """Say so if no epoch of fine-tuning was better on validation than the head on the frozen backbone."""
        phase = {row["epoch"]: row["phase"] for row in self._progress.history}.get(self._best.epoch or 0)
        if not self._validates or len(self._steps.phases) < 2 or phase != self._steps.phases[0].name:
            return []
        return [
            "no epoch of fine-tuning was better on validation than the new head on the frozen backbone, which this run has"
        ]


def predictor_for(model: Any, data: Dataset, seed: int, *, engine: Engine, network: Network | None) -> Predict:
    """Return a function from images to a model's probabilities, made when it is first needed.

    Parameters
    ----------
    network : Network, optional
        What the last phase trained, if it was trained here.
    """
    made: list[Predictor] = []

    def predict(images: Any) -> Any:
        if not made:
            expected = len(data.test.labels) + len(data.validation.labels) + len(some_training_images(data, seed))
            made.append(Predictor(model, data.test.images, expected=expected, engine=engine, network=network))
        return made[0](images)

    return predict


def check_trainable(model: Any, data: Dataset, *, engine: Engine = "auto") -> None:
    """Raise unless a network can be trained on a dataset, of images or of features of its frozen part.

    Raises
    ------
    InvalidInputError
        If it is no compiled classifier.
    DataError
        If images or classes do not fit it.
    """
    check_network(model)
    if model.output_shape[-1] == 1:
        raise InvalidInputError(
            f"the model {model.name!r} has one output for two classes. Give it two, Dense(2, activation='softmax'), and a loss for class "
            "indices, sparse_categorical_crossentropy. (predict, evaluate and Run.from_history take it as it is.)"
        )
    if not model.compiled or model.optimizer is None:
        raise InvalidInputError(f"the model {model.name!r} is not compiled. Call model.compile(...) first.")
    check_fits_model(data.image_shape, model.input_shape[1:], name="images")
    if model.output_shape != (None, data.num_classes):
        raise DataError(
            f"the model {model.name!r} has output shape {model.output_shape}, but the data have {data.num_classes} classes. "
            f"Build it with num_classes={data.num_classes}."
        )
    # A sigmoid or a second activation shows in the numbers only; better now than after the training.
    some = np.asarray(data.train.images[:2])
    if isinstance(data, FeatureDataset):
        answers = check_features(model, data, engine=engine).finish(keras.ops.convert_to_tensor(some), training=False)
    else:
        with warnings.catch_warnings():  # that inputs=[...] was a list; fit and predict do not say so either
            warnings.filterwarnings("ignore", "The structure of `inputs`")
            answers = model(some, training=False)
    answers = rounded_to_one(keras.ops.convert_to_numpy(answers))
    check_probabilities(answers, what=f"the outputs of the model {model.name!r}")


def _refuse_images(steps: Steps) -> None:
    """Refuse what needs images, where there are features.

    Raises
    ------
    InvalidInputError
        If images are to be augmented, or a phase changes what is frozen.
    """
    if steps.augmentations:
        raise InvalidInputError(
            f"augment={steps.augmentations!r} changes images, and the data are features. Leave it out, or train on the images."
        )
    if any(isinstance(phase, HeadPhase | BodyPhase) for phase in steps.phases):
        raise InvalidInputError(
            "fine_tune trains layers that computed these features, so it needs the images. Use train or fit_head."
        )


def _check_rates(model: Any, steps: Steps) -> None:
    """Refuse callbacks that set the learning rate where a schedule sets it in every step."""
    kinds = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    setters = [type(callback).__name__ for callback in steps.callbacks if isinstance(callback, kinds)]
    for phase in steps.phases:
        phase.check_optimizer(model.optimizer)
        if setters and phase.rate_changes(model.optimizer):
            raise InvalidInputError(
                f"{setters[0]} sets the learning rate, and so does the schedule of the phase {phase.name!r} (schedule={phase.schedule!r}). "
                "Pass schedule='constant' and warmup_epochs=0, with a number as the rate, or leave the callback out."
            )


def _lasting_prefix(model: Any, steps: Steps) -> Prefix | None:
    """Return what is frozen now and stays so in all phases; None if there is no such part, or phases change what trains."""
    if any(isinstance(phase, HeadPhase | BodyPhase) for phase in steps.phases):
        return None
    try:
        return find_prefix(model)
    except NoPrefixError:
        return None


def _changing_weights(model: Any, prefix: Prefix | None, steps: Steps) -> list[Any]:
    """Return the variables that training may change; a caller's callback may change any."""
    frozen = set() if prefix is None or steps.callbacks else {id(variable) for variable in prefix.weights}
    return [variable for variable in model.weights if id(variable) not in frozen]


def _views(phase: Phase, prefix: Prefix | None, steps: Steps) -> int | None:
    """Limit the views of each image where a frozen backbone would have to be asked anew in every epoch."""
    if not has_many_views(steps.augmentations) or phase.epochs <= VIEWS:
        return None
    frozen = isinstance(phase, HeadPhase) or (prefix is not None and prefix.gives_vectors)
    return VIEWS if frozen else None


def _stopping(steps: Steps) -> list[Any]:
    return [keras.callbacks.EarlyStopping(patience=steps.early_stopping)] if steps.early_stopping else []


def _averages(model: Any, callbacks: Sequence[Any]) -> list[Any]:
    """Let the averaged weights of an optimiser with ``use_ema`` be validated and chosen, as they are what it ends with."""
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not inner.use_ema or any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in callbacks):
        return []
    return [keras.callbacks.SwapEMAWeights()]
