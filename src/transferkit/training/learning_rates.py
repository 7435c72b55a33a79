"""find_learning_rate: the range test of learning rates, which leaves the model as it was."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transferkit.data.dataset import Dataset
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, warn
from transferkit.features.engine import check_engine
from transferkit.models.arguments import positive_int, rate
from transferkit.models.compiling import fresh_optimizer, set_optimizer
from transferkit.models.keras_internals import fit_plainly, forget_functions, has_own_step, inner_optimizer
from transferkit.training.batches import Batches
from transferkit.training.compiled import snapshot
from transferkit.training.identity import OneBatch, set_random_states
from transferkit.training.kernels import fast_kernels
from transferkit.training.losses import wants_one_hot
from transferkit.training.network import Engine, choose_network
from transferkit.training.record import check_data
from transferkit.training.step_counts import choose_batch_size
from transferkit.training.steps import check_trainable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEMORY = 0.9  # of the moving average
_DIVERGED = 4.0  # times the lowest loss: where fastai stops too
_FALL = 0.05  # of the loss at the start: less says nothing
_BELOW_LOWEST = 10.0


@dataclass(frozen=True, eq=False)
class LearningRateRange:
    """What a range test of learning rates found.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a step: ``rate``, the ``loss`` of its batch, and ``smoothed``, a moving average. It ends where the loss diverged.
    suggestion : float or None
        The rate to begin with; None if the loss never fell.
    reason : str
        How it was found, in words.

    Examples
    --------
    `find_learning_rate` makes one; here one of three steps.

    >>> import pandas as pd
    >>> import transferkit as tk
    >>> table = pd.DataFrame({"rate": [1e-3, 1e-2, 1e-1], "loss": [2.3, 1.9, 4.0], "smoothed": [2.3, 2.1, 2.8]})
    >>> found = tk.LearningRateRange(table, 1e-3, "a tenth of 1.0e-02, at which the smoothed loss was lowest (2.1).")
    >>> found
    LearningRateRange(suggestion=1.0e-03, 3 steps)
    >>> found.plot().axes[0].get_xlabel()
    'Learning rate'
    """

    table: pd.DataFrame
    suggestion: float | None
    reason: str

    def __repr__(self) -> str:
        suggestion = "None" if self.suggestion is None else f"{self.suggestion:.1e}"
        return f"LearningRateRange(suggestion={suggestion}, {len(self.table)} steps)"

    def plot(self, *, language: str = "en") -> "Figure":
        """Draw the loss against the rate, with the suggestion.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            Of the labels.

        Returns
        -------
        matplotlib.figure.Figure
            A new one.
        """
        from transferkit.plots.learning_rates import draw_learning_rates

        return draw_learning_rates(self.table, self.suggestion, language=language)


def find_learning_rate(
    model: Any,
    data: Dataset,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    engine: Engine = "auto",
) -> LearningRateRange:
    """Train for some steps while the learning rate rises, and say at which rates the network learns (Smith 2017).

    What is trainable now is trained, with the optimiser, loss and dropout that the model is compiled with, on training images only.
    Afterwards the model is exactly what it was: weights, optimiser with its state, and the states of its random layers. The test
    and the validation images are never looked at, so nothing of it counts as a setting tried.

    Parameters
    ----------
    model : keras.Model
        Compiled, as for `train`. `unfreeze` it first to find the rate of the second phase of `fine_tune`.
    data : Dataset
        Its training images are taken in the order of a training's first epochs.
    lowest, highest : float, default 1e-6 and 1.0
        The rates of the first and the last step; from step to step they rise by one factor.
    steps : int, default 100
        How many; 20 or more.
    batch_size : int, optional
        Images in a step; 16 below 320 training images, 32 below 4,000, 64 above if None, as in `fine_tune`.
    seed : int, default 0
        Draws order and dropout.
    engine : {"auto", "litert", "keras", "plain"}, default "auto"
        What computes frozen layers, once for each image and kept on disk; see `train`.

    Returns
    -------
    LearningRateRange
        ``table``, ``suggestion``, ``reason`` and ``plot()``.

    Raises
    ------
    InvalidInputError
        If a value is out of its range, or the model is not compiled or nothing of it trains.
    DataError
        If the images or classes do not fit the model.

    Warns
    -----
    TransferKitWarning
        If the loss never fell, so that there is no suggestion.

    See Also
    --------
    transferkit.fine_tune : Takes the rate as ``learning_rate=``.

    Notes
    -----
    The test is that of Smith (2017, doi:10.1109/WACV.2017.58, section 3.3), with the loss in place of the accuracy and a rate that rises
    by a factor. The suggestion is a tenth of the rate at which the smoothed loss was lowest, as in fastai (Howard & Gugger 2020,
    doi:10.3390/info11020108): there the steps are already too long. It is a place to begin, not the best rate, which depends on schedule and
    length as well. The test ends early where the smoothed loss is four times its lowest, or not finite.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> found = tk.find_learning_rate(tk.build_cnn(filters=(4, 8)), data, steps=40)
    >>> list(found.table.columns)
    ['rate', 'loss', 'smoothed']
    >>> figure = found.plot()
    """
    check_trainable(model, check_data(data))
    low, high = rate("lowest", lowest), rate("highest", highest)
    if low >= high:
        raise InvalidInputError(f"lowest must be below highest; got {lowest!r} and {highest!r}.")
    count = positive_int("steps", steps, at_least=20)
    check_engine(engine, Engine)
    if not model.trainable_variables:
        raise InvalidInputError(f"nothing of the model {model.name!r} trains. Unfreeze a part of it first.")
    images = len(data.train.labels)
    size = choose_batch_size(images) if batch_size is None else positive_int("batch_size", batch_size)
    network = choose_network(model, data.train.images, engine=engine, expected=images)
    batches = Batches(
        data.train,
        batch_size=size,
        num_classes=data.num_classes,
        seed=check_seed(seed),
        one_hot=wants_one_hot(model.loss, data.num_classes),
        cache=network.cache,
    )
    rates = np.geomspace(low, high, count)
    with _borrowed(model, low) as optimizer, fast_kernels(model):
        set_random_states(model, seed, 0)
        if network.model is not model:
            network.model.follow(model)
        losses = list(_losses(model, network.model, optimizer, batches, rates))
    table = pd.DataFrame({"rate": rates[: len(losses)], "loss": losses, "smoothed": _smooth(losses)})
    suggestion, reason = _suggest(table)
    if suggestion is None:
        warn(f"find_learning_rate: {reason}")
    return LearningRateRange(table, suggestion, reason)


@contextmanager
def _borrowed(model: Any, learning_rate: float) -> Iterator[Any]:
    """Yield a fresh optimiser like the model's, with which it trains for a while; then everything is what it was."""
    own, at_once, restore = model.optimizer, model.steps_per_execution, snapshot(model)
    optimizer = fresh_optimizer(own, learning_rate)
    if optimizer is inner_optimizer(own):
        raise InvalidInputError(
            f"a second optimiser like {type(optimizer).__name__} cannot be made from its get_config(), and the model's own must stay as it is. "
            "Write get_config for it."
        )
    model.steps_per_execution = 1
    set_optimizer(model, optimizer)
    try:
        optimizer.build(model.trainable_variables)
        yield optimizer
    finally:
        model.optimizer, model.steps_per_execution = own, at_once
        forget_functions(model)
        restore()
        model.reset_metrics()


def _losses(model: Any, network: Any, optimizer: Any, batches: Batches, rates: Any) -> Iterator[float]:
    """Yield the loss of each batch before the step on it, until they diverge."""
    losses: list[float] = []
    for step, learning_rate in enumerate(rates):
        index = step % len(batches)
        if step and index == 0:
            batches.on_epoch_end()
        optimizer.learning_rate = learning_rate
        network.reset_metrics()
        if has_own_step(model):  # fit gives it (images, labels), and train_on_batch a third thing
            logs = fit_plainly(model, network, OneBatch(*batches[index]))
        else:
            logs = network.train_on_batch(*batches[index], return_dict=True)
        if "loss" not in logs:
            raise InvalidInputError(
                f"the train_step of {model.name!r} gives no 'loss', which this test follows; it gives {list(logs)}."
            )
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            return
        losses.append(loss)
        yield loss
        smoothed = _smooth(losses)
        if smoothed[-1] > _DIVERGED * min(smoothed):
            return


def _smooth(losses: list[float]) -> list[float]:
    """Return the exponential moving average, without the pull towards zero that it has at the start."""
    average, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = _MEMORY * average + (1 - _MEMORY) * loss
        smoothed.append(average / (1 - _MEMORY**step))
    return smoothed


def _suggest(table: pd.DataFrame) -> tuple[float | None, str]:
    if table.empty:
        return None, "the loss was not finite from the first step on. Look at the images, and at the loss of the model."
    start = float(table["loss"].iloc[: max(1, len(table) // 10)].median())
    lowest = int(np.argmin(table["smoothed"]))
    at, loss = float(table["rate"][lowest]), float(table["smoothed"][lowest])
    if loss > (1 - _FALL) * start:
        return (
            None,
            f"the loss did not fall at any rate from {table['rate'].iloc[0]:.1e} to {table['rate'].iloc[-1]:.1e}.",
        )
    reason = f"a tenth of {at:.1e}, at which the smoothed loss was lowest ({loss:.3g})"
    if lowest == len(table) - 1:
        reason += "; it was still falling at the end, so a higher one may do (highest=)"
    return at / _BELOW_LOWEST, f"{reason}."
