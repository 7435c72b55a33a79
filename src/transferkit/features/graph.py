"""A functional Keras model as one flat list of layer calls, with nested models opened."""

import inspect
import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from transferkit.models.keras_internals import (
    fill_in,
    functional_graph,
    has_own_call,
    is_plain,
    layer_calls,
    symbolic_arguments,
)

_WEIGHING = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


class NotAGraphError(Exception):
    """The model is not a graph from one input to one output; the message says why."""


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer or operation.

    Parameters
    ----------
    operation : keras.Operation
        The model's own, not a copy.
    arguments : object
        Keras's record of the call, with the symbolic tensors to be filled in.
    inputs, outputs : tuple of int
        Numbers of the values that it reads and writes.
    shape : tuple of int
        Of the first output for one image.
    """

    operation: Any
    arguments: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...] = ()

    @property
    def size(self) -> int:
        """Numbers in the first output for one image; an unknown dimension counts as one."""
        return math.prod(length or 1 for length in self.shape)

    def __call__(self, values: MutableMapping[int, Any], *, training: bool | None) -> None:
        """Read the inputs from `values` and write the outputs there."""
        symbols = symbolic_arguments(self.arguments)
        args, kwargs = fill_in(
            self.arguments, {id(symbol): values[n] for symbol, n in zip(symbols, self.inputs, strict=True)}
        )
        if training is not None and takes_training(self.operation):
            kwargs["training"] = training  # like Keras's fit, over what the call recorded: even training=False
        results = keras.tree.flatten(self.operation(*args, **kwargs))
        values.update(zip(self.outputs, results, strict=True))


@dataclass(eq=False)
class Graph:
    """The steps from value 0, the images, to value `output`, in an order in which they can run."""

    steps: list[Step] = field(default_factory=list)
    output: int = 0
    values: int = 1

    def number(self, count: int) -> tuple[int, ...]:
        """Return the numbers of `count` new values."""
        self.values += count
        return tuple(range(self.values - count, self.values))


def flatten(model: Any) -> Graph:
    """Open a functional or sequential model and all such models inside it, but none whose ``call`` is the user's own.

    Raises
    ------
    NotAGraphError
        If it is neither, or has several inputs or outputs.
    """
    graph = Graph()
    graph.output = _open(_functional(model), (0,), graph)[0]
    return graph


def _functional(model: Any) -> Any:
    network = functional_graph(model)
    if network is None:
        raise NotAGraphError(f"the model {model.name!r} is not built with Keras's functional API")
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise NotAGraphError(f"the model {model.name!r} has several inputs or outputs")
    return network


def _open(network: Any, inputs: tuple[int, ...], graph: Graph) -> tuple[int, ...]:
    known = dict(zip(map(id, network.inputs), inputs, strict=True))
    for node in layer_calls(network):
        read = tuple(known[id(tensor)] for tensor in node.input_tensors)
        if isinstance(node.operation, keras.Model) and not has_own_call(node.operation):
            written = _open(_functional(node.operation), read, graph)
        else:
            written = graph.number(len(node.outputs))
            graph.steps.append(Step(node.operation, node.arguments, read, written, tuple(node.outputs[0].shape[1:])))
        known |= zip(map(id, node.outputs), written, strict=True)
    return tuple(known[id(tensor)] for tensor in network.outputs)


def scales_no_pixels(model: Any) -> bool:
    """Whether pixels reach the first weights of a network as they are, through layers of Keras that scale nothing."""
    try:
        steps = flatten(model).steps
    except NotAGraphError:
        return False
    for step in steps:
        layer = step.operation
        if isinstance(layer, _WEIGHING):
            return True
        if (
            not isinstance(layer, keras.layers.Layer)
            or not is_plain(layer)
            or isinstance(layer, keras.layers.Rescaling)
            or layer.weights
        ):
            return False
    return False


def takes_training(operation: Any) -> bool:
    """Whether the operation can behave differently in training."""
    return "training" in inspect.signature(operation.call).parameters


def run(steps: Sequence[Step], value: Any, *, start: int, end: int, training: bool | None) -> Any:
    """Run steps on the value numbered `start` and return the one numbered `end`."""
    last_reader = {number: step for step in steps for number in step.inputs}
    values = {start: value}
    for step in steps:
        step(values, training=training)
        for number in {*step.inputs} - {end}:
            if last_reader[number] is step:
                del values[number]  # as Keras does not: feature maps of all layers at once are many times the largest
    return values[end]


class InModel(keras.layers.Layer):
    """Calls a function the way that a model calls its layers: those without a ``training`` argument pass on the model's to those in them.

    Parameters
    ----------
    function : callable
        Of tensors.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(autocast=False)
        self._run = (function,)

    def call(self, *inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002 - Keras reads it from the signature
        """Call the function."""
        return self._run[0](*inputs)
