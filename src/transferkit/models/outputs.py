"""Whether what a network puts out are probabilities, as far as its last layer tells."""

from typing import Any

from transferkit.errors import InvalidInputError


def check_answers(model: Any) -> None:
    """Raise unless a Keras model may end in probabilities: one sigmoid of two classes, or a column a class.

    Numbers do not always tell: a logit z that lies between 0 and 1 looks like a probability.

    Raises
    ------
    InvalidInputError
        If its last layer has no activation, or one unit and another one than a sigmoid.
    """
    import keras

    last = model
    while isinstance(last, keras.Model) and last.layers:
        last = last.layers[-1]
    activation = (
        keras.activations.softmax if isinstance(last, keras.layers.Softmax) else getattr(last, "activation", None)
    )
    if activation is None:
        return
    one = model.output_shape[-1] == 1
    if isinstance(last, keras.layers.Dense) and activation is keras.activations.linear:
        raise InvalidInputError(
            f"the model {model.name!r} ends in the layer {last.name!r} without an activation, so it puts out logits, not "
            + (
                "probabilities. Give that layer activation='sigmoid', and the loss from_logits=False; to train it here, Dense(2, "
                "activation='softmax')."
                if one
                else "probabilities. Give that layer (or KerasHub's classifier) activation='softmax', and the loss from_logits=False."
            )
        )
    if one and activation is not keras.activations.sigmoid:
        raise InvalidInputError(
            f"the model {model.name!r} has one output, of the activation {getattr(activation, '__name__', activation)!r}, which is no "
            "probability. Give the layer activation='sigmoid', or two units and activation='softmax'."
        )
