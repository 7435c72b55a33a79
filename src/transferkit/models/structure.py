"""What a layer is, apart from its name, its seed and its weights."""

import inspect
from types import CodeType
from typing import Any

_IGNORED = ("name", "seed")


def layer_structure(layer: Any, *, ignore: tuple[str, ...] = ()) -> list[Any]:
    """Return the class and settings of a layer as plain values that can be hashed.

    Parameters
    ----------
    layer : keras.layers.Layer or keras.Operation
        An operation without settings has only its class.
    ignore : tuple of str
        Further settings to leave out.
    """
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    return [type(layer).__name__, _without(config, (*_IGNORED, *ignore))]


def own_code(operation: Any) -> list[Any]:
    """Return what tells apart the code of a layer that is not Keras's own: its class, and functions that it holds.

    Two versions of a class or function have one name and one configuration; only their code differs.
    """
    held = [value for value in vars(operation).values() if inspect.isfunction(value)]
    own = [thing for thing in (type(operation), *held) if thing.__module__.partition(".")[0] != "keras"]
    functions = [
        function
        for thing in own
        for function in ([thing] if inspect.isfunction(thing) else vars(thing).values())
        if inspect.isfunction(function)
    ]
    return [_plain_code(function.__code__) for function in functions]


def is_seed_state(variable: Any) -> bool:
    """Whether a variable is the state of a random generator, whatever its layer calls that and however deep it lies."""
    return "seed_generator" in variable.path


def _plain_code(code: CodeType) -> list[Any]:
    """Return instructions, names and constants, without the file and line that they stand in."""
    constants = [_plain_code(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(entry, names) for key, entry in value.items() if key not in names}
    if isinstance(value, list | tuple):
        return [_without(entry, names) for entry in value]
    return value
