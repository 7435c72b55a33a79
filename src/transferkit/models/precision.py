"""What the layers of a new network compute in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

import keras

from transferkit.backends import chosen_backend
from transferkit.models.arguments import choice

Precision: TypeAlias = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


@contextmanager
def computing_in(precision: Precision | None) -> Iterator[None]:
    """Let layers made inside the block compute in a precision; Keras's own setting if None, and for ``"auto"`` on a CPU.

    Raises
    ------
    UnknownNameError
        If there is no such precision.
    """
    own = keras.config.dtype_policy()
    if precision is not None:
        choice("precision", precision, get_args(Precision))
    if precision == "auto":
        precision = "mixed_bfloat16" if own.name == "float32" and chosen_backend().accelerator() else None
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(own)
