"""Which part of a model trains."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from transferkit import progress
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.models.arguments import flag, python_bool, rate
from transferkit.models.blocks import last_blocks
from transferkit.models.compiling import fresh_optimizer, set_optimizer
from transferkit.models.keras_internals import all_layers


def freeze(
    model: Any,
    until: bool | str = True,
    *,
    batch_norm: bool = True,
    learning_rate: float | None = None,
    verbose: bool = True,
) -> keras.Model:
    """Freeze the backbone of a model, or the lower part of it.

    Frozen layers neither learn nor update the statistics of their batch normalisation: they run in inference mode. The
    model is compiled again with the same kind of optimiser, loss and metrics, since Keras ignores the change otherwise.

    Parameters
    ----------
    model : keras.Model
        With one nested network: the layer named ``backbone``, or the only one. The head always trains.
    until : bool or str, default True
        True freezes the whole backbone, False nothing. The name of one of its layers, or of a block such as
        ``"block3"``, freezes everything up to it and including it.
    batch_norm : bool, default True
        Whether batch normalisation trains in the part that is not frozen. See Notes.
    learning_rate : float, optional
        Of the new optimiser; the old one's if None.
    verbose : bool, default True
        Whether to print which part trains.

    Returns
    -------
    keras.Model
        The same model. If it was never compiled, it stays so.

    Raises
    ------
    InvalidInputError
        If no backbone can be told apart.
    UnknownNameError
        If the backbone has no layer or block of that name; the message lists close matches.

    See Also
    --------
    transferkit.unfreeze : Let the backbone train again.

    Notes
    -----
    Batch normalisation trains wherever its layer trains. Images such as Fashion-MNIST are far from
    ImageNet, and at batches of 32 or more their own statistics are worth more than ImageNet's. Pass
    ``batch_norm=False`` for batches under about 16, or a few dozen images in all.

    Examples
    --------
    >>> import transferkit as tk
    >>> model = tk.build_transfer_model("mobilenet", freeze=False)
    >>> model = tk.freeze(model, "conv_pw_5_relu", verbose=False)
    >>> [model.get_layer("backbone").get_layer(name).trainable for name in ("conv_pw_5", "conv_pw_6")]
    [False, True]
    """
    set_frozen(find_backbone(model), until, batch_norm=batch_norm)
    return _finish(model, learning_rate, verbose=verbose)


def unfreeze(
    model: Any,
    from_layer: str | None = None,
    *,
    last: int | None = None,
    batch_norm: bool = True,
    learning_rate: float | None = None,
    verbose: bool = True,
) -> keras.Model:
    """Let the backbone of a model train, all of it or its upper part.

    The model is compiled again with the same kind of optimiser, loss and metrics, since Keras ignores the change
    otherwise. The optimiser starts afresh.

    Parameters
    ----------
    model : keras.Model
        With one nested network: the layer named ``backbone``, or the only one.
    from_layer : str, optional
        Name of the first layer (or block) that trains; everything before it is frozen. All of it trains if None.
    last : int, optional
        How many blocks train, counted from the output: residual blocks, modules of Inception, pairs of convolutions of MobileNet,
        groups of VGG, or the layers with weights of a network without such. Instead of `from_layer`.
    batch_norm : bool, default True
        Whether batch normalisation trains too. See the Notes of `transferkit.freeze`.
    learning_rate : float, optional
        Of the new optimiser; the old one's if None.
    verbose : bool, default True
        Whether to print which part trains.

    Returns
    -------
    keras.Model
        The same model. If it was never compiled, it stays so.

    Raises
    ------
    InvalidInputError
        If no backbone can be told apart, it has fewer blocks than `last`, or `from_layer` is given too.
    UnknownNameError
        If the backbone has no layer or block of that name; the message lists close matches.

    See Also
    --------
    transferkit.freeze : Freeze it again.
    transferkit.fine_tune : Train the head, unfreeze, train the rest.

    Examples
    --------
    >>> import transferkit as tk
    >>> model = tk.build_transfer_model("mobilenet")
    >>> model = tk.unfreeze(model, "conv_dw_12", learning_rate=1e-4, verbose=False)
    >>> [model.get_layer("backbone").get_layer(name).trainable for name in ("conv_pw_11", "conv_dw_12")]
    [False, True]
    """
    backbone = find_backbone(model)
    _set_trainable(backbone, upper_layers(backbone, from_layer, last), batch_norm=flag("batch_norm", batch_norm))
    return _finish(model, learning_rate, verbose=verbose)


def upper_layers(backbone: Any, from_layer: str | None = None, last: int | None = None) -> list[Any]:
    """Return the layers of a backbone from one on, or of its last blocks, or all; arguments and errors are those of `unfreeze`."""
    if last is None:
        return list(backbone.layers if from_layer is None else backbone.layers[_span(backbone, from_layer)[0] :])
    if from_layer is not None:
        raise InvalidInputError(
            f"say either from which layer on the backbone trains ({from_layer!r}) or how many of its last blocks do ({last!r}), not both."
        )
    return last_blocks(backbone, last)


def find_backbone(model: Any) -> Any:
    """Return the nested network named ``backbone``, or the only nested one.

    Raises
    ------
    InvalidInputError
        If there is none, or several without that name.
    """
    nested = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model) and _could_learn(layer)]
    for layer in nested:
        if layer.name == "backbone":
            return layer
    if len(nested) == 1:
        return nested[0]
    found = f"{len(nested)} nested networks" if nested else "no nested network"
    raise InvalidInputError(
        f"the model {getattr(model, 'name', model)!r} has {found}; expected one as its backbone, or one named "
        "'backbone'. "
        "Set layer.trainable and compile by hand, or build it with build_transfer_model."
    )


def _could_learn(network: Any) -> bool:
    """Whether a network has weights besides those of a normalisation of pixels; augmentation and resizing have none."""
    return any(layer.weights and not isinstance(layer, keras.layers.Normalization) for layer in leaves(network))


def set_frozen(backbone: Any, until: bool | str, *, batch_norm: bool = True) -> None:
    """Freeze a backbone without compiling; the arguments are those of `freeze`."""
    batch_norm = flag("batch_norm", batch_norm)
    until = python_bool(until)
    if not isinstance(until, (bool, str)):
        raise InvalidInputError(f"freeze must be True, False or the name of a layer; got {until!r}.")
    if until is True:
        # One by one: on TensorFlow, Keras ignores an assignment that changes nothing, and a network that says False already
        # may hold layers that say True.
        for layer in leaves(backbone):
            layer.trainable = False
        backbone.trainable = False
        return
    first = 0 if until is False else _span(backbone, until)[1] + 1
    _set_trainable(backbone, backbone.layers[first:], batch_norm=batch_norm)


def describe_trainable(model: Any) -> str:
    """Return one sentence that says which part of a model trains.

    Parameters
    ----------
    model : keras.Model
        With a backbone, as in `freeze`.

    Returns
    -------
    str
        For example ``"mobilenet: the backbone is frozen; 10,250 of 3,239,114 parameters train."``.
    """
    backbone = find_backbone(model)
    weighted = [layer for layer in backbone.layers if layer.weights]
    training = [layer for layer in weighted if _learns(layer)]
    if not training:
        part = "the backbone is frozen"
    else:
        normalised = [layer for layer in weighted if isinstance(layer, keras.layers.BatchNormalization)]
        first = training[0].name
        part = "all of the backbone trains" if training[0] is weighted[0] else f"the backbone trains from {first!r} on"
        if normalised and not any(_learns(layer) for layer in normalised):
            part = f"{part}, batch normalisation stays frozen"
    return f"{model.name}: {part}; {_count(model.trainable_weights):,} of {_count(model.weights):,} parameters train."


def _learns(layer: Any) -> bool:
    return bool(layer.trainable_weights)


def _count(variables: Iterable[Any]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _set_trainable(backbone: Any, training: Sequence[Any], *, batch_norm: bool) -> None:
    backbone.trainable = True  # of the nested network itself: a frozen one hides all that trains inside it
    chosen = {id(layer) for layer in training}
    for layer in backbone.layers:
        layer.trainable = id(layer) in chosen
    if not batch_norm:
        for layer in all_layers(backbone):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def leaves(network: Any) -> Iterator[Any]:
    """Yield every layer of a network that is no network itself."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def trainable_flags(model: Any) -> list[tuple[Any, bool]]:
    """Return each layer, at any depth, outer ones first, and each variable, with whether it trains."""
    return [(part, part.trainable) for part in (*all_layers(model), *model.variables)]


def restore_flags(flags: Iterable[tuple[Any, bool]]) -> None:
    """Let each layer and variable train or not, as `trainable_flags` found it."""
    for part, trains in flags:
        part.trainable = trains  # a layer passes it on to what it holds, which comes later


def _span(backbone: Any, name: str) -> tuple[int, int]:
    """Return the indices of the first and last layer that `name` stands for: a layer, or the layers of a block."""
    if not isinstance(name, str):
        raise InvalidInputError(f"a layer is given by its name; got {name!r}.")
    names = [layer.name for layer in backbone.layers]
    if name in names:
        return names.index(name), names.index(name)
    block = re.compile(re.escape(name) + "[a-z]?_")  # block1 is block1_conv and block1a_conv, not block12_conv
    inside = [index for index, other in enumerate(names) if name and block.match(other)]
    if not inside:
        raise UnknownNameError(f"layer of {backbone.name!r}", name, names)
    return inside[0], inside[-1]


def _finish(model: Any, learning_rate: float | None, *, verbose: bool) -> Any:
    if learning_rate is not None and not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = rate("learning_rate", learning_rate)
    if getattr(model, "compiled", False) and model.optimizer is not None:
        set_optimizer(model, fresh_optimizer(model.optimizer, learning_rate))
    if verbose:
        progress.say(describe_trainable(model))
    return model
