"""The frozen prefix: the largest part of a model, from the images on, in which nothing trains and nothing is random."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from transferkit import files
from transferkit.features.graph import Graph, NotAGraphError, Step, flatten, run, takes_training
from transferkit.models.structure import is_seed_state, layer_structure, own_code

_NOT_STRUCTURE = ("trainable", "kernel_initializer", "depthwise_initializer", "bias_initializer")
_DETERMINISTIC = (keras.layers.Resizing, keras.layers.CenterCrop)  # take `training` and ignore it


class NoPrefixError(Exception):
    """The model has no frozen prefix; the message says why."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """The frozen part of a model; it shares the model's layers.

    Parameters
    ----------
    model : keras.Model
        The whole model.
    steps, rest : tuple of Step
        What comes before and after the cut.
    cut, output : int
        The numbers of the value at the cut, and of the model's output.
    """

    model: Any
    steps: tuple[Step, ...]
    rest: tuple[Step, ...]
    cut: int
    output: int

    def __call__(self, images: Any) -> Any:
        """Return the features of a batch of raw images."""
        pixels = keras.ops.cast(images, self.model.inputs[0].dtype)
        return run(self.steps, pixels, start=0, end=self.cut, training=False)

    def finish(self, features: Any, *, training: bool | None = None) -> Any:
        """Return the model's output from the features."""
        return run(self.rest, features, start=self.cut, end=self.output, training=training)

    @property
    def weights(self) -> list[Any]:
        """The variables of the frozen layers."""
        return _weights(self.steps)

    def weights_digest(self) -> str:
        """Return the SHA-256 of the frozen weights as they are now."""
        return files.sha256_arrays(*(np.asarray(variable) for variable in self.weights))

    @property
    def last_layer(self) -> str:
        """The name of the last frozen layer."""
        return str(self._last.operation.name)

    @property
    def gives_vectors(self) -> bool:
        """Whether the features of an image are a vector, not a map."""
        return len(self._last.shape) == 1

    @property
    def _last(self) -> Step:
        return next(step for step in self.steps if self.cut in step.outputs)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over structure and weights; equal prefixes of different models have the same."""
        numbers = {0: 0}
        structure: list[Any] = [self.model.inputs[0].dtype]
        for step in self.steps:
            read = [numbers[value] for value in step.inputs]
            numbers |= {value: len(numbers) + index for index, value in enumerate(step.outputs)}
            structure.append([*_settings(step), read])
        structure.append(numbers[self.cut])
        digest = hashlib.sha256(json.dumps(structure, sort_keys=True, default=str).encode())
        digest.update(files.sha256_arrays(*(np.asarray(variable) for variable in self.weights)).encode())
        return digest.hexdigest()


def find_prefix(model: Any) -> Prefix:
    """Find the frozen prefix of a functional or sequential model, transferkit's own or not.

    Parameters
    ----------
    model : keras.Model
        With one input and one output; models inside it are opened.

    Returns
    -------
    Prefix
        Cut at the last single tensor that all of the model's output depends on and that no trainable, random or
        self-updating layer lies before.

    Raises
    ------
    NoPrefixError
        If nothing with weights is frozen from the input on, or the model is no such graph.
    """
    try:
        graph = flatten(model)
    except NotAGraphError as error:
        raise NoPrefixError(str(error)) from None
    trains = {id(variable) for variable in model.trainable_variables}
    fixed, values = [], {0}
    for step in graph.steps:
        if step.inputs and values.issuperset(step.inputs) and _is_fixed(step, trains):
            fixed.append(step)
            values.update(step.outputs)
    cut = _best_cut(graph, fixed)
    if cut is not None:
        before = _leading_to(cut, fixed)
        return Prefix(model, before, _leading_to(graph.output, graph.steps, stop=cut), cut, graph.output)
    raise NoPrefixError(f"no layer with weights is frozen from the input of {model.name!r} on")


def whole_model(model: Any) -> Prefix:
    """Return a model as it is in inference, as if all of it were frozen.

    Raises
    ------
    NoPrefixError
        If the model is no graph from one input to one output.
    """
    try:
        graph = flatten(model)
    except NotAGraphError as error:
        raise NoPrefixError(str(error)) from None
    return Prefix(model, tuple(graph.steps), (), graph.output, graph.output)


def _is_fixed(step: Step, trains: set[int]) -> bool:
    layer = step.operation
    if not isinstance(layer, keras.layers.Layer):
        return True  # plain arithmetic
    if any(id(variable) in trains for variable in layer.variables):
        return False
    if not takes_training(layer) or type(layer) in _DETERMINISTIC:
        return True
    if isinstance(layer, keras.layers.BatchNormalization):
        return not layer.trainable  # without scale and offset it has nothing to learn, and still updates its averages
    rate = getattr(layer, "rate", getattr(layer, "drop_path_rate", None))
    return rate is not None and float(rate) == 0.0


def _best_cut(graph: Graph, fixed: Sequence[Step]) -> int | None:
    """Return the last value that all of the output depends on, or a smaller one if only padding or such lies between."""
    best: Step | None = None
    for step in reversed(fixed):
        if len(step.outputs) == 1 and _separates(graph, step.outputs[0]):
            if best is None or step.size < best.size:
                best = step
            if _weights([step]):
                return best.outputs[0]
        elif best is not None and _weights([step]):
            return best.outputs[0]
    return None


def _separates(graph: Graph, cut: int) -> bool:
    """Whether every way from the images to the output passes through `cut`."""
    reached = {0}
    for step in graph.steps:
        if reached.intersection(step.inputs):
            reached.update(value for value in step.outputs if value != cut)
    return graph.output not in reached


def _leading_to(value: int, steps: Sequence[Step], *, stop: int | None = None) -> tuple[Step, ...]:
    """Return the steps that `value` depends on, not looking beyond `stop`."""
    needed, chosen = {value}, []
    for step in reversed(steps):
        if needed.intersection(step.outputs) and step.outputs != (stop,):
            chosen.append(step)
            needed.update(step.inputs)
    return tuple(reversed(chosen))


def _weights(steps: Sequence[Step]) -> list[Any]:
    layers = {id(step.operation): step.operation for step in steps}.values()
    # Without the generators of layers whose rate is zero.
    return [variable for layer in layers for variable in getattr(layer, "variables", ()) if not is_seed_state(variable)]


def _settings(step: Step) -> list[Any]:
    options = {name: value for name, value in step.arguments.kwargs.items() if name != "training"}
    given = keras.tree.flatten([step.arguments.args, options])
    plain = [_constant(value) for value in given if not isinstance(value, keras.KerasTensor)]
    return [*layer_structure(step.operation, ignore=_NOT_STRUCTURE), plain, *own_code(step.operation)]


def _constant(value: Any) -> str:
    """Return what stands for an argument of a call: a number, a slice, an array."""
    if value is None or value is Ellipsis or isinstance(value, bool | int | float | str | slice):
        return repr(value)
    array = np.asarray(value)
    return repr(value) if array.dtype == object else files.sha256_arrays(array)
