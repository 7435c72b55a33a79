"""What a model is compiled with, lent and given back without calling ``compile``, which a user's class may have made its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transferkit.models.compiling import fresh_optimizer, set_optimizer
from transferkit.models.freezing import restore_flags, trainable_flags
from transferkit.models.keras_internals import forget_functions, given_to_compile
from transferkit.training.checkpoint import assign_values, values_of


@contextmanager
def other_optimizer(model: Any, optimizer: Any, *, eagerly: bool) -> Iterator[None]:
    """Lend a model an optimiser for some steps, and give it its own back."""
    own, was_eager = model.optimizer, model.run_eagerly
    model.optimizer, model.run_eagerly = optimizer, eagerly
    forget_functions(model)
    try:
        yield
    finally:
        model.optimizer, model.run_eagerly = own, was_eager
        forget_functions(model)


def snapshot(model: Any) -> Callable[[], None]:
    """Return a function that gives all variables of a model, and what trains, the values that they have now."""
    flags = trainable_flags(model)
    variables = list(model.variables)
    held = values_of(variables)

    def restore() -> None:
        restore_flags(flags)
        assign_values(variables, held)

    return restore


@contextmanager
def unchanged_on_error(model: Any) -> Iterator[None]:
    """Give a model back as it was if an exception or Ctrl-C ends the block, so that the same call finds its checkpoint."""
    restore = snapshot(model)
    try:
        yield
    except BaseException:
        restore()
        raise


@contextmanager
def lent(model: Any) -> Iterator[None]:
    """Give a model back compiled as it was, its optimiser without the state of this training."""
    given, optimizer, loss = given_to_compile(model), model.optimizer, model.loss
    try:
        yield
    finally:
        if model.loss is not loss:
            model.compile(**given)
        # One of a user's class that cannot be made anew stays.
        set_optimizer(model, optimizer if model.optimizer is optimizer else fresh_optimizer(optimizer))
