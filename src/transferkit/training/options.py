"""What the training functions are asked to do: frozen recipes, checked when they are made, before any work."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar, cast, get_args

import keras
import numpy as np
from typing_extensions import TypedDict

from transferkit.backends import MatmulPrecision, chosen_backend
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.features.engine import check_engine
from transferkit.models.arguments import flag, positive_int
from transferkit.models.blocks import rates_by_block
from transferkit.models.compiling import fresh_optimizer
from transferkit.models.freezing import find_backbone, freeze, unfreeze
from transferkit.models.keras_internals import rate_of, scaled_rates
from transferkit.runs.records import PhasePlan
from transferkit.training.augmentation import MIXES, check_augmentations
from transferkit.training.class_weights import ClassWeight, check_class_weight
from transferkit.training.network import Engine
from transferkit.training.step_counts import (
    FEW_IMAGES,
    GENTLE_RATE,
    USUAL_RATE,
    WARMUP_SHARE,
    choose_batch_size,
    choose_batch_size_on,
    choose_epochs,
    choose_frozen_epochs,
    choose_head_epochs,
)

Schedule = Literal["constant", "cosine"]
Rate: TypeAlias = float | Any  # a number, or a schedule of Keras
Epochs: TypeAlias = int | Literal["auto"] | None
USUAL_EPOCHS, _BATCH_SIZE = 10, 64
_HEADS = ("gradient", "logistic")
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Recipe = TypeVar("_Recipe", bound="Keeping")


class KeepingOptions(TypedDict, total=False):
    """Options that every training has; see `transferkit.train`."""

    seed: int
    name: str | None
    folder: str | Path | None
    save_as: str | None
    tuning_trials: int
    overwrite: bool
    verbose: bool


class FittingOptions(KeepingOptions, total=False):
    """Options of everything that learns from labelled images."""

    class_weight: ClassWeight


class StepOptions(FittingOptions, total=False):
    """Options of every training by gradient steps."""

    batch_size: int | Literal["auto"] | None
    augment: str | Iterable[str] | None
    label_smoothing: float
    early_stopping: int | None
    average_weights: float | None
    matmul_precision: MatmulPrecision | Literal["auto"]
    engine: Engine
    callbacks: Any
    schedule: Schedule
    warmup_epochs: float | None
    learning_rate: Rate | None
    epochs: Epochs


class TrainOptions(StepOptions, total=False):
    """Options of `transferkit.train`."""

    head: Literal["gradient", "logistic"]


class HeadOptions(FittingOptions, total=False):
    """Options of `transferkit.fit_head`."""

    engine: Engine


class FineTuneOptions(StepOptions, total=False):
    """Options of `transferkit.fine_tune`."""

    head_epochs: int | None
    unfreeze_from: str | None
    unfreeze_last: int | None
    layer_decay: float | None
    batch_norm: bool | None
    head: Literal["gradient", "logistic"] | None
    head_learning_rate: Rate


@dataclass(frozen=True)
class Phase:
    """One stretch of epochs with one learning rate and one set of trainable layers."""

    name: str
    epochs: int
    learning_rate: Rate | None
    schedule: Schedule
    warmup_epochs: float

    def check(self) -> None:
        """Raise `InvalidInputError` if a value is out of its range."""
        positive_int("epochs", self.epochs)
        if self.schedule not in get_args(Schedule):
            raise UnknownNameError("schedule", self.schedule, get_args(Schedule))
        if self.schedule != "constant" and callable(self.learning_rate):
            raise InvalidInputError("learning_rate is a schedule of its own; pass schedule='constant' with it.")
        if not is_number(self.warmup_epochs) or not 0 <= self.warmup_epochs < self.epochs:
            raise InvalidInputError(
                f"warmup_epochs must be at least 0 and less than the {self.epochs} epochs; got {self.warmup_epochs!r}."
            )
        if self.warmup_epochs and self.schedule == "constant":
            raise InvalidInputError("warmup_epochs needs schedule='cosine'; the schedule is 'constant'.")

    def prepare(self, model: Any) -> None:
        """Set which layers train; here they stay as they are."""

    def pace(self, model: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - for those of a backbone
        """Return a context in which the model's optimiser has the learning rates of this phase; here one for all variables."""
        return nullcontext()

    def describe(self, *, views: int | None) -> PhasePlan:
        """Return what determines the result, as plain JSON values."""
        rate = type(self.learning_rate).__name__ if callable(self.learning_rate) else self.learning_rate
        plan: PhasePlan = {
            "name": self.name,
            "epochs": self.epochs,
            "learning_rate": rate,
            "schedule": self.schedule,
            "warmup_epochs": self.warmup_epochs,
        }
        return plan if views is None else {**plan, "views": views}

    def optimizer_for(self, optimizer: Any, steps: int) -> Any:
        """Return a fresh optimiser like the one given, with this phase's rate over `steps` an epoch."""
        if self.schedule == "constant":
            return fresh_optimizer(optimizer, self.learning_rate)
        peak = rate_of(optimizer) if self.learning_rate is None else self.learning_rate
        warmup = round(self.warmup_epochs * steps)
        falling = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else peak,
            decay_steps=max(1, self.epochs * steps - warmup),
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
        return fresh_optimizer(optimizer, falling)

    def check_optimizer(self, optimizer: Any) -> None:
        """Raise `InvalidInputError` if the optimiser brings a schedule that this phase would have to replace."""
        if self.schedule != "constant" and self.learning_rate is None and callable(rate_of(optimizer)):
            raise InvalidInputError("the optimiser has a learning-rate schedule of its own; pass schedule='constant'.")

    def rate_changes(self, optimizer: Any) -> bool:
        """Whether a schedule sets the rate of every step, so that no callback can."""
        rate = rate_of(optimizer) if self.learning_rate is None else self.learning_rate
        return self.schedule != "constant" or callable(rate)


class HeadPhase(Phase):
    """The new head trains, the backbone is frozen."""

    def prepare(self, model: Any) -> None:
        """Freeze the backbone."""
        freeze(model, verbose=False)


class ExactHeadPhase(HeadPhase):
    """The new head is fitted exactly, on kept features; it counts as one epoch."""


@dataclass(frozen=True)
class BodyPhase(Phase):
    """The backbone trains too, from one of its layers on."""

    unfreeze_from: str | None = None
    unfreeze_last: int | None = None
    layer_decay: float | None = None
    batch_norm: bool = True

    def prepare(self, model: Any) -> None:
        """Unfreeze the backbone."""
        unfreeze(model, self.unfreeze_from, last=self.unfreeze_last, batch_norm=self.batch_norm, verbose=False)

    def pace(self, model: Any) -> AbstractContextManager[None]:
        """Let lower blocks learn more slowly."""
        if self.layer_decay is None:
            return nullcontext()
        scales = rates_by_block(find_backbone(model), self.layer_decay, model.trainable_variables)
        return scaled_rates(model.optimizer, scales)

    def describe(self, *, views: int | None) -> PhasePlan:
        """Add from where on the backbone trains."""
        plan = super().describe(views=views)
        if self.unfreeze_from is not None:
            plan = {**plan, "unfreeze_from": self.unfreeze_from}
        if self.unfreeze_last is not None:
            plan = {**plan, "unfreeze_last": self.unfreeze_last}
        return plan if self.batch_norm else {**plan, "batch_norm": False}


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """How a training is called, seeded and kept."""

    seed: int = 0
    name: str | None = None
    folder: str | Path | None = None
    save_as: str | None = None
    tuning_trials: int = 1
    overwrite: bool = False
    verbose: bool = True

    def __post_init__(self) -> None:
        # A number of NumPy is that number, also in what identifies a run.
        self._set(**{name: value.item() for name, value in vars(self).items() if isinstance(value, np.generic)})
        self._set(seed=check_seed(self.seed), tuning_trials=positive_int("tuning_trials", self.tuning_trials))
        for option in ("name", "save_as"):
            value = getattr(self, option)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise InvalidInputError(f"{option} must be a text that is not empty; got {value!r}.")
        if self.folder is not None and not isinstance(self.folder, str | Path):
            raise InvalidInputError(f"folder must be a path; got {self.folder!r}.")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Fitting(Keeping):
    """How much each class counts; all that a scikit-learn classifier is asked for besides."""

    class_weight: ClassWeight = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(class_weight=check_class_weight(self.class_weight))


@dataclass(frozen=True, kw_only=True)
class Steps(Fitting):
    """What all trainings by gradient steps share.

    What is ``"auto"`` or None is chosen by `settled`, once the number of training images is known.
    """

    epochs: Epochs = None
    batch_size: int | Literal["auto"] | None = None
    learning_rate: Rate | None = None
    schedule: Schedule = "constant"
    warmup_epochs: float | None = None
    augment: str | Iterable[str] | None = ()
    label_smoothing: float = 0.0
    early_stopping: int | None = None
    average_weights: float | None = None
    matmul_precision: MatmulPrecision | Literal["auto"] = "float32"
    engine: Engine = "auto"
    callbacks: Any = ()
    _usual_warmup: ClassVar[float] = 0.0
    _chosen: ClassVar[tuple[str, ...]] = ()  # further options that may be "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            batch_size=self.batch_size
            if self.batch_size in (None, "auto")
            else positive_int("batch_size", self.batch_size),
            callbacks=check_callbacks(self.callbacks),
        )
        if not self._is_left("augment"):
            self._set(augment=check_augmentations(self.augment))
        if self.learning_rate is not None and not self._is_left("learning_rate"):
            self._set(learning_rate=check_learning_rate("learning_rate", self.learning_rate))
        check_engine(self.engine, Engine)
        if self.matmul_precision == "auto":
            self._set(matmul_precision="bfloat16" if chosen_backend().prefers_bfloat16() else "float32")
        if self.matmul_precision not in get_args(MatmulPrecision):
            raise UnknownNameError("matmul_precision", self.matmul_precision, (*get_args(MatmulPrecision), "auto"))
        if not is_number(self.label_smoothing) or not 0 <= self.label_smoothing < 1:
            raise InvalidInputError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing!r}.")
        if self.early_stopping is not None:
            self._set(early_stopping=positive_int("early_stopping", self.early_stopping))
        if self.average_weights is not None and not (is_number(self.average_weights) and 0 < self.average_weights < 1):
            raise InvalidInputError(
                f"average_weights must be above 0 and below 1, usually 0.9 to 0.999; got {self.average_weights!r}."
            )
        if isinstance(self.epochs, str) and self.epochs != "auto":
            raise InvalidInputError(f"epochs must be a positive int or 'auto'; got {self.epochs!r}.")
        if self._is_settled:
            for phase in self.phases:
                phase.check()
        else:
            self.settled(1)  # what was given is checked now

    def _is_left(self, option: str) -> bool:
        value = getattr(self, option)
        return option in self._chosen and isinstance(value, str) and value == "auto"

    @property
    def _is_settled(self) -> bool:
        left = any(self._is_left(option) for option in self._chosen)
        chosen = (self.epochs, self.batch_size, self.warmup_epochs)
        return not left and None not in chosen and "auto" not in (self.epochs, self.batch_size)

    def settled(self, images: int, *, frozen: bool = False, exact_head: bool = False) -> Self:
        """Return the recipe with everything chosen that was left to the number of training images.

        Parameters
        ----------
        images : int
            Training images.
        frozen : bool, default False
            Whether only a head on a frozen backbone trains.
        exact_head : bool, default False
            Whether the head could be fitted exactly.
        """
        return replace(self, **self._choices(images, frozen=frozen, exact_head=exact_head))

    def _choices(self, images: int, *, frozen: bool, exact_head: bool) -> dict[str, Any]:  # noqa: ARG002 - for fine-tuning
        auto = self._chooses_epochs
        if self.batch_size == "auto":
            batch_size = choose_batch_size_on(chosen_backend().accelerator(), images)
        else:
            batch_size = self.batch_size or (choose_batch_size(images) if auto else _BATCH_SIZE)
        choose = choose_frozen_epochs if frozen else choose_epochs
        epochs = choose(images, batch_size) if auto else self.epochs
        warmup = self.warmup_epochs
        if warmup is None:
            usual = WARMUP_SHARE * cast("int", epochs) if auto else self._usual_warmup
            warmup = 0.0 if self.schedule == "constant" else usual
        return {"epochs": epochs, "batch_size": batch_size, "warmup_epochs": warmup}

    @property
    def _chooses_epochs(self) -> bool:
        return self.epochs in ("auto", None)

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names of the augmentations, in a fixed order."""
        return () if self._is_left("augment") else tuple(self.augment or ())

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that targets are rows."""
        return not set(MIXES).isdisjoint(self.augmentations)

    def augmentations_in(self, phase: Phase) -> tuple[str, ...]:
        """Return those of one phase: a head on kept features of single images learns from images that are not mixed."""
        without = MIXES if isinstance(phase, HeadPhase) else ()
        return tuple(name for name in self.augmentations if name not in without)

    @property
    def phases(self) -> list[Phase]:
        """The phases, in order, of a recipe in which nothing is left to be chosen."""
        raise NotImplementedError

    @property
    def _plan(self) -> tuple[int, Rate | None, Schedule, float]:
        return cast("int", self.epochs), self.learning_rate, self.schedule, cast("float", self.warmup_epochs)


@dataclass(frozen=True, kw_only=True)
class TrainRecipe(Steps):
    """What `transferkit.train` is asked for."""

    head: Literal["gradient", "logistic"] = "gradient"

    @property
    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("train", *self._plan)]


@dataclass(frozen=True, kw_only=True)
class FineTuneRecipe(Steps):
    """What `transferkit.fine_tune` is asked for."""

    epochs: Epochs = "auto"
    head_epochs: int | None = None
    head: Literal["gradient", "logistic"] | None = None
    head_learning_rate: Rate = 3e-3
    learning_rate: Rate | Literal["auto"] | None = "auto"
    schedule: Schedule = "cosine"
    augment: str | Iterable[str] | None = "auto"
    unfreeze_from: str | None = None
    unfreeze_last: int | None = None
    layer_decay: float | None = None
    batch_norm: bool | None = None
    _usual_warmup: ClassVar[float] = 0.5
    _chosen: ClassVar[tuple[str, ...]] = ("learning_rate", "augment")

    def __post_init__(self) -> None:
        if self.head not in (None, *_HEADS):
            raise UnknownNameError("head", self.head, _HEADS)
        if self.head_epochs is not None:
            self._set(head_epochs=positive_int("head_epochs", self.head_epochs, at_least=0))
            if self.head == "logistic" and self.head_epochs != 1:
                raise InvalidInputError(f"head='logistic' is fitted at once; leave head_epochs={self.head_epochs} out.")
        if self.batch_norm is not None:
            self._set(batch_norm=flag("batch_norm", self.batch_norm))
        self._set(head_learning_rate=check_learning_rate("head_learning_rate", self.head_learning_rate))
        if self.unfreeze_last is not None:
            self._set(unfreeze_last=positive_int("unfreeze_last", self.unfreeze_last))
        if self.layer_decay is not None:
            if not is_number(self.layer_decay) or not 0 < self.layer_decay <= 1:
                raise InvalidInputError(
                    f"layer_decay must be above 0, at most 1, usually 0.65 to 0.95; got {self.layer_decay!r}."
                )
            self._set(layer_decay=float(self.layer_decay))
        super().__post_init__()

    @property
    def phases(self) -> list[Phase]:
        """The head, then everything or the upper layers."""
        head: list[Phase] = []
        if self.head == "logistic":
            head = [ExactHeadPhase("head", 1, None, "constant", 0.0)]
        elif self.head_epochs:
            head = [HeadPhase("head", self.head_epochs, self.head_learning_rate, "constant", 0.0)]
        name = "all" if self.unfreeze_from is None and self.unfreeze_last is None else "upper layers"
        layers = (self.unfreeze_from, self.unfreeze_last, self.layer_decay, self.batch_norm is not False)
        return [*head, BodyPhase(name, *self._plan, *layers)]

    @property
    def _is_settled(self) -> bool:
        return super()._is_settled and None not in (self.head_epochs, self.head, self.batch_norm)

    def _has_few(self, images: int) -> bool:
        return self._chooses_epochs and images < FEW_IMAGES

    def leaves_head(self, images: int) -> bool:
        """Whether the head is fitted exactly if only it can be."""
        return self.head is None and self.head_epochs is None and self._has_few(images)

    def _choices(self, images: int, *, frozen: bool, exact_head: bool) -> dict[str, Any]:
        choices = super()._choices(images, frozen=frozen, exact_head=exact_head)
        auto, few = self._chooses_epochs, self._has_few(images)
        head, epochs, batch_norm = self.head, self.head_epochs, self.batch_norm
        if head is None:
            head = "logistic" if exact_head and self.leaves_head(images) else "gradient"
        if epochs is None:
            gradual = choose_head_epochs(images, choices["batch_size"]) if auto else 1
            epochs = 1 if head == "logistic" else gradual
        if batch_norm is None:
            batch_norm = not few
        if self._is_left("learning_rate"):
            choices["learning_rate"] = USUAL_RATE if batch_norm else GENTLE_RATE
        if self._is_left("augment"):
            choices["augment"] = "centred" if auto else None
        return {**choices, "head": head, "head_epochs": epochs, "batch_norm": batch_norm}


@dataclass(frozen=True, kw_only=True)
class HeadRecipe(Fitting):
    """What `transferkit.fit_head` is asked for."""

    engine: Engine = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_engine(self.engine, Engine)


def takes(recipe: type) -> Callable[[_Function], _Function]:
    """Show a function's options, given as a recipe's fields, in its signature."""

    def show(function: _Function) -> _Function:
        signature = inspect.signature(function)
        first = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in sorted(fields(recipe), key=lambda field: _ORDER.index(field.name))
        ]
        function.__signature__ = signature.replace(parameters=[*first, *options])  # type: ignore[attr-defined]
        return function

    return show


_ORDER = ("head_epochs", "epochs", "unfreeze_from", "unfreeze_last", "layer_decay", "batch_norm", "seed", "name", "batch_size", "head_learning_rate", "learning_rate",
          "schedule", "warmup_epochs", "augment", "label_smoothing", "class_weight", "early_stopping", "average_weights", "matmul_precision", "head", "engine", "callbacks", "folder", "save_as",
          "tuning_trials", "overwrite", "verbose")  # fmt: skip


def recipe_from(recipe: type[_Recipe], options: Mapping[str, Any]) -> _Recipe:
    """Return a recipe with these options, or raise `UnknownNameError` if it has no option of a name."""
    known = [field.name for field in fields(recipe)]
    for name in options:
        if name not in known:
            raise UnknownNameError("option", name, known)
    return recipe(**options)


def options_for(recipe: type, options: Mapping[str, Any], *, what: str, ignored: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options, or raise `InvalidInputError` if the recipe has no place for one of them."""
    known = {field.name for field in fields(recipe)}
    usual = {field.name: field.default for field in fields(TrainRecipe)}
    foreign = [
        name
        for name, value in options.items()
        if name not in {*known, *ignored} and _differs(value, usual.get(name, options))
    ]
    if foreign:
        raise InvalidInputError(f"{', '.join(foreign)}: only for training in steps; leave this out {what}.")
    return {name: value for name, value in options.items() if name in known}


def _differs(value: Any, usual: Any) -> bool:
    return value is not usual and (type(value) is not type(usual) or value != usual)


def check_learning_rate(name: str, value: Any) -> Rate:
    """Return a rate as a Python float, or a Keras schedule as it is; raise `InvalidInputError` if it is neither."""
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    if not is_number(value) or not 0 < value < math.inf:
        raise InvalidInputError(f"{name} must be a finite number above 0, or a schedule of Keras; got {value!r}.")
    return float(value)


def is_number(value: object) -> bool:
    """Whether a value is a number, of Python or NumPy, and no bool."""
    plain = value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value
    return isinstance(plain, int | float) and not isinstance(plain, bool)


def check_callbacks(given: Any) -> tuple[Any, ...]:
    """Return callbacks as a tuple: one, several in any iterable, or None. Raise `InvalidInputError` if one is none."""
    if given is None:
        return ()
    if isinstance(given, keras.callbacks.Callback):
        return (given,)
    listed: Sequence[Any] = (
        tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else (given,)
    )
    wrong = [item for item in listed if not isinstance(item, keras.callbacks.Callback)]
    if wrong:
        cure = "an object, not its class" if isinstance(wrong[0], type) else "one or several keras.callbacks.Callback"
        raise InvalidInputError(f"callbacks must be {cure}; got {wrong[0]!r:.80}.")
    return tuple(listed)
