"""Keras callbacks that watch, record, select and save while a phase trains."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from transferkit.errors import DivergedError
from transferkit.models.structure import is_seed_state
from transferkit.runs.interchange import standard_columns


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
    """Stop at the first step whose loss is NaN or infinite, before anything selects or saves those weights."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the running loss of the epoch."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} at step {batch + 1} of the epoch.")


class DropoutSeeds(keras.callbacks.Callback):
    """Seed every random layer from (seed, epoch), so that a resumed training equals an uninterrupted one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the state of all seed generators."""
        states = [variable for variable in self.model.variables if is_seed_state(variable)]
        for index, state in enumerate(states):
            rng = np.random.default_rng([self._seed, epoch, index])
            state.assign(rng.integers(0, 2**32, size=2, dtype=np.uint32))


class Recorder(keras.callbacks.Callback):
    """Keep one row an epoch; ``seconds`` counts the training steps without validation."""

    def __init__(self, phase: str, rows: list[dict[str, Any]]) -> None:
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
        rate = self.model.optimizer.learning_rate
        row = {"epoch": epoch + 1, "phase": self._phase}
        row |= {name: float(value) for name, value in standard_columns(logs or {}).items()}
        trained = self._trained or seconds
        row |= {"learning_rate": float(rate), "seconds": trained, "validation_seconds": seconds - trained}
        self._rows.append(row)


class BestWeights(keras.callbacks.Callback):
    """Keep the weights of the epoch with the highest validation accuracy; among equals, or without that metric, of the lowest loss."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch: int | None = None
        self.score: tuple[float, float] | None = None
        self.weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare this epoch with the best so far."""
        logs = standard_columns(logs or {})
        score = (float(logs.get("val_accuracy", 0.0)), -float(logs["val_loss"]))
        if self.score is None or score > self.score:
            self.epoch, self.score, self.weights = epoch + 1, score, self.model.get_weights()


class EpochHook(keras.callbacks.Callback):
    """Call a function after each epoch, when its row is recorded and its weights are judged."""

    def __init__(self, hook: Callable[[int], None]) -> None:
        super().__init__()
        self._hook = hook

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call it with the number of finished epochs."""
        self._hook(epoch + 1)


class ProgressBar(keras.callbacks.Callback):
    """A moving bar within the epoch on a terminal, and one line an epoch everywhere."""

    def __init__(self, name: str, phase: str, epochs: int) -> None:
        super().__init__()
        self._title = name if phase == "train" else f"{name}, {phase}"
        self._epochs = epochs
        self._console = Console()
        self._progress: Progress | None = None
        self._task: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the bar."""
        if self._console.is_terminal or self._console.is_jupyter:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._task = self._progress.add_task(
                f"{self._title} epoch {epoch + 1}/{self._epochs}", total=self.params["steps"]
            )
            self._progress.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line."""
        self.close()
        names = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        shown = [f"{label} {float(logs[name]):.4f}" for name, label in names.items() if logs and name in logs]
        line = f"{self._title}: epoch {epoch + 1}/{self._epochs}  {'  '.join(shown)}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away, also after an interruption."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
