"""Checks that the builders share, each sentence written once."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Real
from typing import Any, Literal, TypeAlias

import keras
import numpy as np

from transferkit.data.splits import is_int
from transferkit.errors import InvalidInputError, UnknownNameError

Loss: TypeAlias = Literal["crossentropy", "focal"]
_LARGEST = 2**32 - 1  # what Keras can seed a generator with


def positive_int(name: str, value: object, *, at_least: int = 1) -> int:
    """Return an integer of `at_least` or more as Python's, since Keras cannot save NumPy's; raise if it is none."""
    if not is_int(value) or value < at_least:
        raise InvalidInputError(f"{name} must be an integer of {at_least} or more; got {value!r}.")
    if value > _LARGEST:
        raise InvalidInputError(f"{name} must be below 2**32; got {value!r}.")
    return int(value)


def positive_ints(name: str, values: object) -> tuple[int, ...]:
    """Return one positive integer or more; raise if there is none, or something else."""
    listed = () if isinstance(values, str | bytes) or not isinstance(values, Iterable) else tuple(values)
    if not listed:
        raise InvalidInputError(f"{name} must be one positive integer or more, such as (32, 64); got {values!r}.")
    return tuple(positive_int(f"each of {name}", value) for value in listed)


def choice(kind: str, value: object, known: Iterable[str]) -> None:
    """Raise `UnknownNameError` unless `value` is one of some names."""
    known = tuple(known)
    if not isinstance(value, str) or value not in known:
        raise UnknownNameError(kind, value, known)


def python_bool(value: Any) -> Any:
    """Return NumPy's True and False as Python's, and anything else as it is."""
    return bool(value) if isinstance(value, np.bool_) else value


def flag(name: str, value: object) -> bool:
    """Return True or False as Python's; raise if `value` is neither."""
    value = python_bool(value)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} must be True or False; got {value!r}.")
    return value


def fraction(name: str, value: Any) -> float:
    """Return a number of [0, 1) as Python's; raise if it is none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise InvalidInputError(f"{name} must be a number of 0 or more and below 1; got {value!r}.")
    return float(value)


def check_input_shape(shape: object) -> None:
    """Raise unless `shape` is (height, width, channels) with 1 or 3 channels."""
    if keras.config.image_data_format() != "channels_last":
        raise InvalidInputError(
            "images are (height, width, channels) here, and Keras is set to 'channels_first'. "
            "Call keras.config.set_image_data_format('channels_last')."
        )
    hint = ""
    if isinstance(shape, (tuple, list)) and len(shape) == 2:
        hint = f" Grey images are {(*shape, 1)}."
    elif isinstance(shape, (tuple, list)) and len(shape) == 3 and shape[0] in (1, 3) and shape[-1] not in (1, 3):
        hint = f" Channels come last: {(*shape[1:], shape[0])}."
    elif isinstance(shape, (tuple, list)) and len(shape) == 3 and shape[-1] == 4:
        hint = " Drop the fourth (alpha) channel."
    whole = isinstance(shape, (tuple, list)) and len(shape) == 3 and shape[-1] in (1, 3)
    if not whole or any(side is not None and not _is_side(side) for side in _sides(shape)):
        raise InvalidInputError(f"input_shape must be (height, width, 1 or 3); got {shape!r}.{hint}")


def _sides(shape: Any) -> Iterable[object]:
    return shape[:2]


def _is_side(value: object) -> bool:
    return is_int(value) and value > 0


def rate(name: str, value: Any) -> float:
    """Return a finite number above 0 as Python's; raise if it is none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise InvalidInputError(f"{name} must be a finite number above 0; got {value!r}.")
    return float(value)


def check_loss(loss: object) -> None:
    """Raise `UnknownNameError` unless `loss` is the name of one."""
    choice("loss", loss, _LOSSES)


def compile_classifier(model: Any, learning_rate: float, loss: Loss = "crossentropy") -> None:
    """Compile with AdamW, the named loss and the metric ``accuracy``.

    Focal loss is (1 - p)^2 times the cross-entropy -log p of the true class (Lin et al. 2017, doi:10.1109/ICCV.2017.324, equation 4).
    The paper's weight of a class, alpha, is `class_weight` here; Keras's default of 0.25 would only make every loss smaller.
    """
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, name="adamw"), loss=_LOSSES[loss](), metrics=["accuracy"]
    )


_LOSSES: dict[str, Callable[[], Any]] = {
    "crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "focal": partial(keras.losses.CategoricalFocalCrossentropy, alpha=1.0, gamma=2.0),
}
