"""Compile a model again as it was, with a fresh optimiser."""

import copy
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from transferkit.errors import InvalidInputError
from transferkit.models.keras_internals import (
    forget_functions,
    given_to_compile,
    inner_optimizer,
    optimizer_config,
    set_beside_config,
    settings_beside_config,
)


def recompile(
    model: Any,
    *,
    like: Any = None,
    learning_rate: Any = None,
    loss: Any = None,
    adapt_metrics: Callable[[Any], list[Any]] | None = None,
) -> None:
    """Compile `model` with its own optimiser, loss and metrics, except for what is given.

    Parameters
    ----------
    model : keras.Model
        A compiled model; any if `like` is given.
    like : keras.Model, optional
        The compiled model whose optimiser, loss and metrics to take, each made anew.
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, optional
        The optimiser's own if None.
    loss : optional
        The model's own if None.
    adapt_metrics : callable, optional
        Makes metrics for another loss of the model's own.

    Raises
    ------
    InvalidInputError
        If the model was never compiled.
    """
    like = model if like is None else like
    if not like.compiled or like.optimizer is None:
        raise InvalidInputError(f"the model {like.name!r} is not compiled. Call model.compile(...) first.")
    options = _metrics_of(like)
    if adapt_metrics is not None:
        options |= {name: adapt_metrics(given) for name, given in options.items() if name != "loss_weights"}
    model.compile(
        optimizer=fresh_optimizer(like.optimizer, learning_rate),
        loss=like.loss if loss is None else loss,
        steps_per_execution=like.steps_per_execution,
        jit_compile=like.jit_compile,
        run_eagerly=like.run_eagerly,
        **options,
    )


def _metrics_of(model: Any) -> dict[str, Any]:
    config = model.get_compile_config() or {}
    names = [name for name in ("loss_weights", "metrics", "weighted_metrics") if config.get(name) is not None]
    try:
        return {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
    except (TypeError, ValueError):  # a metric of one's own, which Keras cannot make again from its name
        given = given_to_compile(model)
        return {name: given[name] for name in names}


def fresh_optimizer(optimizer: Any, learning_rate: Any = None) -> Any:
    """Return an optimiser of the same class and settings without its state.

    Raises
    ------
    InvalidInputError
        If it is of a class without a configuration and has been used.
    """
    inner = inner_optimizer(optimizer)
    try:
        config = optimizer_config(inner)
        fresh = type(inner).from_config(config)
        lacking = _lacking(fresh, inner)
        if learning_rate is not None:
            fresh = type(inner).from_config(config | {"learning_rate": learning_rate})
    except Exception as error:  # noqa: BLE001 - a user's class raises what it likes
        if inner.built:
            raise InvalidInputError(
                f"the optimiser {type(inner).__name__} was used before, and a fresh one cannot be made from its get_config() ({error}). "
                "Write get_config for it, or build and compile the model again for each training; fine_tune needs the former."
            ) from None
    else:
        set_beside_config(fresh, lacking)
        return fresh
    if learning_rate is not None:
        inner.learning_rate = learning_rate
    return inner


def _lacking(fresh: Any, optimizer: Any) -> dict[str, Any]:
    """Return the settings that an optimiser made from a configuration lacks, since that does not hold them."""
    made = settings_beside_config(fresh)
    return {
        name: copy.copy(value)
        for name, value in settings_beside_config(optimizer).items()
        if name not in made or not _equal(made[name], value)
    }


def _equal(a: Any, b: Any) -> bool:
    try:
        if isinstance(a, float) and isinstance(b, float):
            return math.isclose(a, b, rel_tol=1e-6)  # a rate comes back as float32
        return type(a) is type(b) and bool(np.all(a == b))
    except Exception:  # noqa: BLE001 - objects of one's own
        return False


def set_optimizer(model: Any, optimizer: Any) -> None:
    """Let a compiled model train with another optimiser; loss and metrics stay the objects that they are."""
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(
        optimizer, keras.optimizers.LossScaleOptimizer
    ):
        scaled = model.optimizer
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=scaled.initial_scale, dynamic_growth_steps=scaled.dynamic_growth_steps
        )
    model.optimizer = optimizer
    forget_functions(model)
