"""The program that a function of Keras layers executes, as one SHA-256: what is computed, not how it is described.

The backend traces the function: TensorFlow to a graph, JAX to a jaxpr, PyTorch to a graph of its operators. Two traces have one digest
only if they compute the same with the same operations, constants, operands in their order, side effects and variables.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from transferkit.backends import chosen_backend
from transferkit.models.keras_internals import all_layers, forget_losses, is_plain


def program_digest(
    function: Callable[..., Any],
    *specs: tuple[tuple[int | None, ...], Any],
    variables: Sequence[Any] | None = None,
    gradients: bool = False,
) -> str | None:
    """Return the SHA-256 of the program that a function executes.

    Parameters
    ----------
    function : callable
        Of tensors.
    *specs : tuple of (shape, dtype)
        Of its arguments.
    variables : sequence of keras.Variable, optional
        These count by their place in the sequence, not by what they hold. All others count by what they hold now.
    gradients : bool, default False
        Whether derivatives may be other than those that the backend knows.

    Returns
    -------
    str or None
        64 hexadecimal digits; None if the function cannot be traced, or its program depends on what cannot be hashed.
    """
    try:
        return chosen_backend().program_digest(function, specs, variables, gradients=gradients)
    except Exception:  # noqa: BLE001 - tracing raises whatever the user's own layers raise
        return None


def model_program_digest(
    model: Any, *, training: bool, rest: tuple[Callable[..., Any], tuple[int | None, ...]] | None = None
) -> str | None:
    """Return the SHA-256 of the program of a whole model, apart from what its variables hold.

    Parameters
    ----------
    model : keras.Model
        A built one.
    training : bool
        Whether as in training: with dropout, with the updates of statistics, with what `add_loss` and regularisers add to the loss, and
        with the constraints of its weights. Which weights train is not part of it, nor is the loss.
    rest : tuple of callable and shape, optional
        Only what comes after some value inside: a function of that value and of ``training``, and the value's shape.

    Returns
    -------
    str or None
        As `program_digest`.
    """
    specs = [(tuple(tensor.shape), tensor.dtype) for tensor in keras.tree.flatten(model.inputs)]
    call = model
    if rest is not None:
        call, specs = rest[0], [(rest[1], "float32")]
    constrained = (
        [variable for variable in model.trainable_variables if variable.constraint is not None] if training else []
    )

    def run(*inputs: Any) -> Any:
        packed = keras.tree.pack_sequence_as(model.inputs, inputs) if len(inputs) > 1 else inputs[0]
        outputs = call(packed, training=training)
        return (
            outputs,
            model.losses if training else [],
            [variable.constraint(variable.value) for variable in constrained],
        )

    own = any(not is_plain(layer) for layer in all_layers(model) if not isinstance(layer, keras.Model))
    try:
        return program_digest(run, *specs, variables=model.variables, gradients=training and own)
    finally:
        forget_losses(model)  # those of the trace, which have no value outside of it
