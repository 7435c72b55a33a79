"""What train and fine_tune are asked to do, checked before any work."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import keras

from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.features.engine import check_engine
from transferkit.models.arguments import positive_int
from transferkit.models.compiling import fresh_optimizer
from transferkit.training.augmentation import check_augmentations
from transferkit.training.network import Engine

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Phase:
    """One stretch of epochs with one learning rate and one set of trainable layers."""

    name: str
    epochs: int
    learning_rate: float | None
    schedule: Schedule
    warmup_epochs: float
    prepare: Callable[[Any], None] | None = None
    views: int | None = None  # how many augmented views an image has; as many as chance makes if None

    def check(self) -> None:
        """Raise `InvalidInputError` if a value is out of its range."""
        positive_int("epochs" if self.name != "head" else "head_epochs", self.epochs)
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
        limited = {} if self.views is None else {"views": self.views}
        return {name: getattr(self, name) for name in names} | limited

    def rate_for(self, optimizer: Any, steps: int) -> Any:
        """Return a number, a Keras schedule over `steps` an epoch, or None to leave the optimiser's own."""
        if self.schedule == "constant":
            return self.learning_rate
        peak = self.learning_rate
        if peak is None:
            peak = fresh_optimizer(optimizer).get_config()["learning_rate"]
            if not isinstance(peak, float):
                raise InvalidInputError(
                    "the optimiser has a learning-rate schedule of its own; pass schedule='constant'."
                )
        warmup = round(self.warmup_epochs * steps)
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else peak,
            decay_steps=max(1, self.epochs * steps - warmup),
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )


@dataclass(frozen=True)
class Settings:
    """The options that all phases share; see `transferkit.train`."""

    seed: int
    name: str | None
    batch_size: int
    augment: str | Iterable[str]
    label_smoothing: float
    engine: Engine
    callbacks: Sequence[Any]
    folder: str | Path | None
    overwrite: bool
    verbose: bool
    save_as: str | None = None
    tuning_trials: int = 1
    augmentations: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "augmentations", check_augmentations(self.augment))

    def check(self) -> None:
        """Raise `InvalidInputError` if a value is out of its range."""
        positive_int("batch_size", self.batch_size)
        positive_int("tuning_trials", self.tuning_trials)
        check_seed(self.seed)
        check_engine(self.engine, Engine)
        if not 0 <= self.label_smoothing < 1:
            raise InvalidInputError(f"label_smoothing must be at least 0 and below 1; got {self.label_smoothing!r}.")
