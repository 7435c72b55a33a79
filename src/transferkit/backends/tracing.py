"""What a traced function does, as SHA-256 sums: what is computed, not how it is described."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from transferkit import files

_LIBRARIES = ("jax", "torch", "numpy")  # whose functions their names tell apart
BATCH = 4  # images in a trace where the number is left open


class UnknownError(Exception):
    """The program depends on something that has no value to hash."""


class Value(NamedTuple):
    """One value in a program: its shape, its dtype, and what leads to it."""

    shape: tuple[int | None, ...]
    dtype: str
    digest: str | None


@dataclass(frozen=True)
class Traced:
    """A traced function.

    Parameters
    ----------
    outputs : tuple of Value
        What it returns, flattened. A digest is None if it depends on what cannot be hashed.
    structure : str
        How they are packed.
    changed : dict of int to str or None
        The new values of variables that it changes, by their place; -1 for all others.
    reads : frozenset of int
        The places of the variables that it reads.
    draws : bool
        Whether it draws random numbers that no variable determines.
    """

    outputs: tuple[Value, ...]
    structure: str
    changed: dict[int, str | None]
    reads: frozenset[int]
    draws: bool = False

    @property
    def digest(self) -> str | None:
        """SHA-256 of what the function returns and changes."""
        parts = [value.digest for value in self.outputs]
        return (
            None
            if None in (*parts, *self.changed.values())
            else sha256(parts, sorted(self.changed.items()), self.structure)
        )


def digest_of(
    trace: Callable[..., Traced],
    function: Callable[..., Any],
    specs: Sequence[tuple[tuple[int | None, ...], Any]],
    variables: Sequence[Any] | None,
    *,
    gradients: bool,
) -> str | None:
    """Return one SHA-256 of a program, by a backend's `trace`; variables that are given count by their place."""
    inputs = [
        Value(shape, keras.backend.standardize_dtype(dtype), f"argument {place}")
        for place, (shape, dtype) in enumerate(specs)
    ]
    traced = trace(function, inputs, variables or (), by_place=True, gradients=gradients)
    return None if traced.digest is None else sha256([(*value[:2],) for value in inputs], traced.digest)


class Called(NamedTuple):
    """What a call on other values of its variables gave: outputs, variables afterwards, values of variables that it knows alone."""

    outputs: list[Any]
    structure: str
    now: list[Any]
    changed: list[int]
    others: list[Any]


def call_stateless(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    variables: Sequence[Any],
    state: Sequence[Any],
    convert: Callable[[Any], Any],
) -> Called:
    """Call a function as if `variables` held `state`.

    Parameters
    ----------
    function : callable
        Of the arguments.
    arguments, variables, state : sequence
        Of tensors, variables, and tensors.
    convert : callable
        Makes a tensor of what the function returns.
    """
    mapping = list(zip(variables, state, strict=True))
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        returned = function(*arguments)
        now = [scope.get_current_value(variable) for variable in variables]
        known = {id(variable) for variable in variables}
        others = [value for key, value in scope.state_mapping.items() if key not in known]
        outputs = [convert(value) for value in keras.tree.flatten(returned)]
    changed = [place for place, (one, two) in enumerate(zip(state, now, strict=True)) if one is not two]
    return Called(outputs, repr(keras.tree.map_structure(lambda _: None, returned)), now, changed, others)


def concrete(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return a shape with `BATCH` where a length is open."""
    return tuple(BATCH if length is None else length for length in shape)


def variable_digest(place: int, variable: Any, *, by_place: bool) -> str:
    """Return what stands for a variable: its place, or what it holds."""
    if by_place:
        return f"variable {place} {variable.dtype} {tuple(variable.shape)}"
    return array_digest(keras.ops.convert_to_numpy(variable))


def array_digest(array: Any) -> str:
    """Return the SHA-256 of dtype, shape and content."""
    array = np.asarray(array)
    if array.dtype == object:  # texts
        return sha256(
            array.shape, [bytes(entry) if isinstance(entry, bytes) else repr(entry) for entry in array.ravel()]
        )
    if array.dtype.isbuiltin != 1:  # bfloat16 and its like are unknown to Python's buffers
        return sha256(array.dtype.name, array.shape, files.sha256_arrays(array.reshape(-1).view(np.uint8)))
    return files.sha256_arrays(array)


def sha256(*values: Any) -> str:
    """Return the SHA-256 of what `repr` shows."""
    return hashlib.sha256(repr(values).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return a parameter of an operation as something whose `repr` says all; raise `UnknownError` if nothing does."""
    if isinstance(value, dict):
        return sorted((str(key), plain(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return array_digest(value)
    name = getattr(value, "__qualname__", "<")
    if callable(value) and "<" not in name and str(value.__module__).partition(".")[0] in _LIBRARIES:
        return f"{value.__module__}.{name}"
    text = repr(value)
    if " at 0x" in text:
        raise UnknownError(text)
    return text
