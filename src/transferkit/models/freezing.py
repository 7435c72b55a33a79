"""Which part of a model trains."""

from typing import Any

import keras

from transferkit.errors import InvalidInputError, UnknownNameError


def find_backbone(model: Any) -> Any:
    """Return the nested network named ``backbone``, or the only nested one."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    named = [layer for layer in nested if layer.name == "backbone"]
    if named:
        return named[0]
    if len(nested) == 1:
        return nested[0]
    raise InvalidInputError(
        f"the model {model.name!r} has {len(nested)} nested networks; expected one, or one named 'backbone'."
    )


def set_frozen(backbone: Any, until: bool | str, *, batch_norm: bool = True) -> None:
    """Freeze the whole backbone (True), nothing (False), or everything up to and including a layer."""
    backbone.trainable = until is not True
    if until is True:
        return
    if isinstance(until, str):
        names = [layer.name for layer in backbone.layers]
        if until not in names:
            raise UnknownNameError("layer", until, names)
        for layer in backbone.layers[: names.index(until) + 1]:
            layer.trainable = False
    if not batch_norm:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def _recompile(model: Any, learning_rate: float | None) -> None:
    optimizer = model.optimizer
    config = optimizer.get_config()
    if learning_rate is not None:
        config["learning_rate"] = learning_rate
    settings = model.get_compile_config() or {}
    compiled = {k: keras.saving.deserialize_keras_object(v) for k, v in settings.items() if k not in ("optimizer",)}
    model.compile(optimizer=type(optimizer).from_config(config), **compiled)


def freeze(model: Any, until: bool | str = True, *, batch_norm: bool = True, learning_rate: float | None = None) -> Any:
    """Freeze the backbone of a built model."""
    set_frozen(find_backbone(model), until, batch_norm=batch_norm)
    _recompile(model, learning_rate)
    return model


def unfreeze(
    model: Any, from_layer: str | None = None, *, batch_norm: bool = True, learning_rate: float | None = None
) -> Any:
    """Let the backbone of a built model train, all of it or from a layer on."""
    backbone = find_backbone(model)
    if from_layer is None:
        set_frozen(backbone, False, batch_norm=batch_norm)
    else:
        names = [layer.name for layer in backbone.layers]
        if from_layer not in names:
            raise UnknownNameError("layer", from_layer, names)
        index = names.index(from_layer)
        set_frozen(backbone, names[index - 1] if index else False, batch_norm=batch_norm)
    _recompile(model, learning_rate)
    return model
