"""Compile a model again as it was, with a fresh optimiser."""

from typing import Any

import keras

from transferkit.errors import InvalidInputError


def recompile(
    model: Any, *, learning_rate: Any = None, loss: Any = None, metrics: list[Any] | None = None, optimizer: Any = None
) -> None:
    """Compile `model` with its own optimiser, loss and metrics, except for what is given.

    Parameters
    ----------
    model : keras.Model
        A compiled model.
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, optional
        The optimiser's own if None.
    loss, metrics : optional
        The model's own if None.
    optimizer : keras.optimizers.Optimizer, optional
        Whose class and settings to take; the model's own if None. Its state is never taken over.

    Raises
    ------
    InvalidInputError
        If the model was never compiled.
    """
    if not model.compiled or model.optimizer is None:
        raise InvalidInputError(f"the model {model.name!r} is not compiled. Call model.compile(...) first.")
    config = model.get_compile_config() or {}
    options = {
        name: keras.saving.deserialize_keras_object(config[name])
        for name in ("loss_weights", "metrics", "weighted_metrics")
        if config.get(name) is not None
    }
    if metrics is not None:
        options["metrics"] = metrics
    model.compile(
        optimizer=fresh_optimizer(optimizer or model.optimizer, learning_rate),
        loss=model.loss if loss is None else loss,
        steps_per_execution=model.steps_per_execution,
        jit_compile=model.jit_compile,
        run_eagerly=model.run_eagerly,
        **options,
    )


def fresh_optimizer(optimizer: Any, learning_rate: Any = None) -> Any:
    """Return an optimiser of the same class and settings without its state."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # compile wraps it again under mixed_float16
    config = inner.get_config()
    if learning_rate is not None:
        config["learning_rate"] = learning_rate
    return type(inner).from_config(config)
