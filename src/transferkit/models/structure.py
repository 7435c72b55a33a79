"""What a layer is, apart from its name, its seed and its weights."""

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


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(entry, names) for key, entry in value.items() if key not in names}
    if isinstance(value, list | tuple):
        return [_without(entry, names) for entry in value]
    return value
