"""Keras callbacks that watch, record, select and save while a phase trains."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import keras
import numpy as np

from transferkit.backends import chosen_backend
from transferkit.errors import DivergedError, InvalidInputError, warn
from transferkit.models.keras_internals import first_epoch, settle_monitor
from transferkit.progress import Bar
from transferkit.runs.interchange import standard_columns
from transferkit.runs.records import EpochRecord
from transferkit.training.checkpoint import assign_values, values_of
from transferkit.training.identity import set_random_states

_STEPS_BETWEEN_LOOKS = 50


class ModelCallbacks(keras.callbacks.CallbackList):
    """Callbacks that see one model, whichever part of it ``fit`` is called on.

    To others it looks like the list that ``fit`` usually gets: MLflow's autologging goes through it and appends to it.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def append(self, callback: Any) -> None:
        """Add one more callback."""
        callback.set_model(self.model)
        callback.set_params(self.params)
        self.callbacks.append(callback)


class DivergenceGuard(keras.callbacks.Callback):
    """Stop when the loss is NaN or infinite, before anything selects or saves those weights.

    After each step, or on an accelerator after some, since looking at a loss there means waiting for it; the running loss of an epoch
    stays NaN once it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._every = 1 if chosen_backend().accelerator() is None else _STEPS_BETWEEN_LOOKS
        self._last: tuple[int, dict[str, Any]] = 0, {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the running loss of the epoch."""
        self._last = batch, logs or {}
        if batch % self._every == 0:
            self._check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check what came after the last look."""
        self._check()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check it where there is no validation."""
        self._check()

    def _check(self) -> None:
        batch, logs = self._last
        loss = float(logs.get("loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} at step {batch + 1} of the epoch.")


class DropoutSeeds(keras.callbacks.Callback):
    """Seed every random layer from (seed, epoch), so that a resumed training equals an uninterrupted one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the state of all seed generators."""
        set_random_states(self.model, self._seed, epoch)


class Recorder(keras.callbacks.Callback):
    """Keep one row an epoch; ``seconds`` counts the training steps without validation."""

    def __init__(self, phase: str, rows: list[EpochRecord]) -> None:
        super().__init__()
        self._phase = phase
        self._rows = rows
        self._start = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        self._trained = 0.0

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note when validation begins."""
        self._trained = time.perf_counter() - self._start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the row."""
        seconds = time.perf_counter() - self._start
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        numbers = number_columns(logs or {})
        trained = self._trained or seconds
        row = {"epoch": epoch + 1, "phase": self._phase, **numbers, "learning_rate": float(rate)}
        row |= {"seconds": trained, "validation_seconds": seconds - trained}
        self._rows.append(cast("EpochRecord", row))


def number_columns(logs: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of an epoch, under the names that they have in a record."""
    found = {}
    for name, x in standard_columns(logs).items():
        if np.ndim(x) == 0:
            with suppress(TypeError, ValueError):  # a text, or None
                found[name] = float(x)
    return found


class BestWeights(keras.callbacks.Callback):
    """Keep the weights of the epoch with the highest validation accuracy; among equals, or without that metric, of the lowest loss.

    They are taken while validation ends: averaged weights that stand in for the model's during validation are those that were judged.

    Parameters
    ----------
    variables : sequence of keras.Variable
        The weights that training changes.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        super().__init__()
        self._variables = variables
        self.epoch: int | None = None
        self.score: tuple[float, float] | None = None
        self.weights: list[Any] | None = None
        self._current = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note which epoch it is."""
        self._current = epoch + 1

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Compare this epoch with the best so far."""
        found = standard_columns(logs or {})
        self.judge(self._current, float(found.get("accuracy", 0.0)), float(found.get("loss", 0.0)))

    def judge(self, epoch: int, accuracy: float, loss: float) -> None:
        """Keep the weights if they are the best so far."""
        score = (accuracy, -loss)
        if self.score is None or score >= self.score:  # a validation that always says the same chooses the last
            self.epoch, self.score, self.weights = epoch, score, values_of(self._variables)

    def restore(self) -> None:
        """Give the variables the weights that were kept, if any were."""
        if self.weights is not None:
            assign_values(self._variables, self.weights)


class EpochHook(keras.callbacks.Callback):
    """Call a function after each epoch, when its row is recorded, its weights are judged and all other callbacks have spoken."""

    def __init__(self, hook: Callable[[int, dict[str, Any]], None]) -> None:
        super().__init__()
        self._hook = hook

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call it with the number of finished epochs and what is known of this one, what callbacks added included."""
        self._hook(epoch + 1, logs or {})


class FrozenGuard(keras.callbacks.Callback):
    """Notice when another callback changes weights whose features are kept.

    Parameters
    ----------
    digest : callable
        Returns what identifies the frozen weights as they are.
    """

    def __init__(self, digest: Callable[[], str]) -> None:
        super().__init__()
        self._digest = digest
        self._before = digest()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the weights with those at the start."""
        if self._digest() != self._before:
            raise InvalidInputError(
                f"a callback changed weights of the frozen part of {self.model.name!r}, whose features are computed once. Train with "
                "engine='plain', which computes them in every step."
            )


@contextmanager
def appending(callbacks: Sequence[Any], goes_on: bool) -> Iterator[None]:
    """Let a `CSVLogger` that begins a new file append to it, where that holds earlier epochs of the same training."""
    fresh = [each for each in callbacks if isinstance(each, keras.callbacks.CSVLogger) and not each.append]
    try:
        for each in fresh:
            each.append = goes_on
        yield
    finally:
        for each in fresh:
            each.append = False


class CallbackStates(keras.callbacks.Callback):
    """What the caller's callbacks know, so that it can be saved with a checkpoint and given back.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
        The caller's.
    saved : list of dict, optional
        What `states` returned when the checkpoint was written, put back when training begins.
    first_epoch : int
        Where training begins.
    build_metrics : callable
        Builds the metrics of the model, whose names say whether more of ``val_accuracy`` is better.
    kept : bool, default False
        Whether there is a checkpoint for the states, so that it matters if one cannot be saved.
    """

    def __init__(
        self,
        callbacks: Any,
        saved: list[dict[str, Any]] | None,
        *,
        first_epoch: int,
        build_metrics: Callable[[], None] = lambda: None,
        kept: bool = False,
    ) -> None:
        super().__init__()
        self._build_metrics, self._kept = build_metrics, kept
        self._callbacks, self._saved, self._first_epoch = tuple(callbacks), saved, first_epoch
        self._begun: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the states back, after the callbacks have begun; refuse a callback that goes on from a training of its own."""
        if first_epoch(self.model) not in (None, self._first_epoch):
            raise InvalidInputError(
                "a callback (BackupAndRestore?) went on from a training before this one, whose epochs the record would lack. Delete its "
                "backup; folder= keeps a checkpoint after each epoch and goes on from it."
            )
        self._begun = [dict(vars(callback)) for callback in self._callbacks]
        for callback, state in zip(self._callbacks, self._saved or (), strict=False):
            if "monitor_op" in state.pop("__functions__", ()):
                self._build_metrics()
                settle_monitor(callback)
            vars(callback).update(state)

    def states(self) -> list[dict[str, Any]] | None:
        """Return what each callback knows now, as plain values and lists of arrays; None, with a warning, if something else counts as well."""
        found = []
        for name, held in vars(self.model).items():
            if isinstance(held, keras.optimizers.Optimizer) and held is not self.model.optimizer:
                self._say_unsaved(
                    f"the model's optimiser {name!r}, beside the one that it is compiled with, is not saved,"
                )
                return None
        for callback, begun in zip(self._callbacks, self._begun, strict=True):
            try:
                found.append(_state(callback, begun))
            except TypeError as error:
                self._say_unsaved(
                    f"what the callback {type(callback).__name__} knows cannot be saved ({error}),",
                    " Let it hold numbers, strings, lists and dicts of them, and open files in on_epoch_end.",
                )
                return None
        return found

    def _say_unsaved(self, why: str, cure: str = "") -> None:
        if self._kept:
            warn(f"{why} so if this training is cut off it begins anew.{cure}")
        self._kept = False


def _state(callback: Any, begun: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a callback that can be saved and differ from what any callback has; raise TypeError if one cannot."""
    state: dict[str, Any] = {"__functions__": [name for name, held in vars(callback).items() if callable(held)]}
    base = vars(keras.callbacks.Callback())
    for name, value in vars(callback).items():
        if name in base or (name in begun and begun[name] is value and not isinstance(value, list | dict | set)):
            continue
        if callable(value) and not isinstance(value, type):
            continue  # settled by what the callback was made with
        if isinstance(value, list) and value and all(isinstance(item, np.ndarray | np.generic) for item in value):
            state[name] = [np.asarray(item) for item in value]
        elif hasattr(value, "dtype") and np.ndim(value) == 0:
            state[name] = float(value)
        elif _is_plain(value):
            state[name] = value
        elif not isinstance(callback, _OPENING):
            raise TypeError(f"{name} is of {type(value).__name__}")
    return state


# They open their files anew.
_OPENING = (keras.callbacks.CSVLogger, keras.callbacks.TensorBoard)


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=True)
    except (TypeError, ValueError):
        return False
    return True


class ProgressBar(keras.callbacks.Callback):
    """A live bar over a phase on a terminal and in a notebook, and one line an epoch."""

    def __init__(self, name: str, phase: str, epochs: int) -> None:
        super().__init__()
        self._title = name if phase == "train" else f"{name}, {phase}"
        self._epochs = epochs
        self._bar: Bar | None = None
        self._first = self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the bar."""
        self._epoch = epoch
        if self._bar is None:
            self._first = epoch
            self._bar = Bar(self._title, transient=True)
        self._move(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar; several steps at once may end past the last one."""
        self._move(min(batch + 1, self.params["steps"]))

    def _move(self, steps: int) -> None:
        if self._bar is not None:
            each, before = self.params["steps"], self._epoch - self._first
            total = each * (self.params["epochs"] - self._first)
            self._bar.move(each * before + steps, total, f"{self._title}: epoch {self._epoch + 1}/{self._epochs}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Say how the epoch went."""
        names = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        logs = number_columns(logs or {})
        shown = [f"{label} {logs[name]:.4f}" for name, label in names.items() if name in logs]
        line = f"{self._title}: epoch {epoch + 1}/{self._epochs}  {'  '.join(shown)}"
        self._bar = self._bar or Bar(self._title, transient=True)
        self._bar.say(line)

    def close(self) -> None:
        """Take the bar away, also after an interruption."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
