"""The program that a function of Keras layers executes, as one SHA-256: what is computed, not how it is described.

TensorFlow traces the function. Two traces have one digest if they compute the same with the same operations: names of nodes, functions
and resources, the order of independent nodes, places and debugging notes count nothing; operations, their attributes, constants, operands
and their order, side effects and variables do. Other backends give no such program; then None stands for it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras
import numpy as np

from transferkit import files
from transferkit.models.keras_internals import forget_losses

_NO_MEANING = {"shared_name", "container", "debug_name", "config", "config_proto", "executor_type"}
_BRANCHES = {"If", "StatelessIf", "Case", "StatelessCase"}  # their first operand chooses
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_LOOPS = {"While", "StatelessWhile"}
_READS = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VarIsInitializedOp", "VariableShape"}
_HARMLESS = {"Assert", "PrintV2", "Placeholder"}
_CODE_ELSEWHERE = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


class _UnknownError(Exception):
    """The program depends on something that has no value to hash."""


class Program:
    """The traced program of a function of tensors.

    Parameters
    ----------
    function : callable
        Of tensors; every variable that it reads exists already.
    *specs : tuple of (shape, dtype)
        Of its arguments; an unknown length is None.

    Raises
    ------
    Exception
        Whatever the function raises when it is traced.
    """

    def __init__(self, function: Callable[..., Any], *specs: tuple[tuple[int | None, ...], Any]) -> None:
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, dtype) for shape, dtype in specs]
        traced = tf.function(lambda *inputs: function(*inputs), input_signature=signature, autograph=False)  # noqa: PLW0108 - its default arguments are none of ours
        concrete = traced.get_concrete_function()
        self._graph = concrete.graph
        self._arguments = [tensor.op.name for tensor in self._graph.inputs[: len(specs)]]
        self._definition = self._graph.as_graph_def()
        self._library = {entry.signature.name: entry for entry in self._definition.library.function}
        self.output_shapes: Any = concrete.output_shapes

    def digest(self, variables: Sequence[Any] | None = None) -> str | None:
        """Return the SHA-256 of the program.

        Parameters
        ----------
        variables : sequence of keras.Variable, optional
            These count by their place in the sequence, not by what they hold. All others count by what they hold now.

        Returns
        -------
        str or None
            64 hexadecimal digits; None if the program depends on what cannot be hashed: Python code that TensorFlow calls back, a
            table, a file.
        """
        try:
            known = dict(self._captured(variables)) | {
                name: f"argument {index}" for index, name in enumerate(self._arguments)
            }
            nodes = _hash_nodes(self._definition.node, known, _Functions(self._library))
        except (_UnknownError, CycleError):
            return None
        outputs = [f"{nodes[tensor.op.name]}:{tensor.value_index}" for tensor in self._graph.outputs]
        effects = sorted(nodes[operation.name] for operation in self._graph.control_outputs)
        structure = keras.tree.map_structure(lambda _: None, self._graph.structured_outputs)
        specs = [(tensor.dtype.name, str(tensor.shape)) for tensor in self._graph.inputs[: len(self._arguments)]]
        return _sha256(specs, outputs, effects, structure)

    def _captured(self, variables: Sequence[Any] | None) -> Iterator[tuple[str, str]]:
        """Yield what stands for each value from outside, by the name of its placeholder."""
        places = {id(variable.value.handle): index for index, variable in enumerate(variables or ())}
        held = {id(variable.handle): variable for variable in self._graph.variables}
        others: dict[int, int] = {}
        for outside, inside in self._graph.captures:
            if id(outside) in places:
                variable = (variables or ())[places[id(outside)]]
                meaning = f"variable {places[id(outside)]} {variable.dtype} {tuple(variable.shape)}"
            elif id(outside) in held:
                meaning = f"variable {files.sha256_arrays(np.asarray(held[id(outside)]))}"
                if variables is not None:  # which of two equal ones matters where they may change
                    meaning += f" {others.setdefault(id(outside), len(others))}"
            elif hasattr(outside, "numpy") and outside.dtype.name not in ("resource", "variant"):
                meaning = f"constant {_array(outside.numpy())}"
            else:
                raise _UnknownError
            yield inside.op.name, meaning


def program_digest(
    function: Callable[..., Any], *specs: tuple[tuple[int | None, ...], Any], variables: Sequence[Any] | None = None
) -> str | None:
    """Return the SHA-256 of the program that a function executes.

    Parameters
    ----------
    function : callable
        Of tensors.
    *specs : tuple of (shape, dtype)
        Of its arguments.
    variables : sequence of keras.Variable, optional
        These count by their place in the sequence, not by what they hold. All others count by what they hold now.

    Returns
    -------
    str or None
        64 hexadecimal digits; None if the backend is not TensorFlow, or the function cannot be traced, or its program depends on what
        cannot be hashed.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        return Program(function, *specs).digest(variables)
    except Exception:  # noqa: BLE001 - tracing raises whatever the user's own layers raise
        return None


def model_program_digest(model: Any, *, training: bool) -> str | None:
    """Return the SHA-256 of the program of a whole model, apart from what its variables hold.

    Parameters
    ----------
    model : keras.Model
        A built one.
    training : bool
        Whether as in training: with dropout, with the updates of statistics, with what `add_loss` and regularisers add to the loss, and
        with the constraints of its weights. Which weights train is not part of it, nor is the loss.

    Returns
    -------
    str or None
        As `program_digest`.
    """
    specs = [(tuple(tensor.shape), tensor.dtype) for tensor in keras.tree.flatten(model.inputs)]
    constrained = (
        [variable for variable in model.trainable_variables if variable.constraint is not None] if training else []
    )

    def run(*inputs: Any) -> Any:
        outputs = model(
            keras.tree.pack_sequence_as(model.inputs, inputs) if len(inputs) > 1 else inputs[0], training=training
        )
        return (
            outputs,
            model.losses if training else [],
            [variable.constraint(variable.value) for variable in constrained],
        )

    try:
        return program_digest(run, *specs, variables=model.variables)
    finally:
        forget_losses(model)  # those of the trace, which have no value outside of it


class _Functions:
    """The library of a graph: functions that its nodes call."""

    def __init__(self, library: Mapping[str, Any]) -> None:
        self._library = library

    def bound(self, name: str, operands: Sequence[str]) -> list[Any]:
        """Return what stands for a function's outputs and effects if its arguments are `operands`."""
        function = self._library.get(name)
        if function is None:
            raise _UnknownError
        arguments = [argument.name for argument in function.signature.input_arg]
        nodes = _hash_nodes(function.node_def, dict(zip(arguments, operands, strict=True)), self)
        outputs = [_source(function.ret[output.name], nodes) for output in function.signature.output_arg]
        return [outputs, sorted(nodes[name] for name in function.control_ret.values())]

    def free(self, name: str) -> list[Any]:
        """Return what stands for a function whose arguments differ from call to call."""
        function = self._library.get(name)
        return self.bound(
            name, [f"argument {index}" for index in range(len(function.signature.input_arg) if function else 0)]
        )


def _hash_nodes(nodes: Iterable[Any], known: Mapping[str, str], functions: _Functions) -> dict[str, str]:
    """Return the hash of each node: of its operation, attributes and operands, so of all that leads to it."""
    by_name = {node.name: node for node in nodes}
    order = TopologicalSorter({name: [_name(entry) for entry in node.input] for name, node in by_name.items()})
    hashes, repeated = dict(known), Counter[str]()
    for name in order.static_order():
        if name in hashes:
            continue
        node = by_name[name]
        if node.op in _CODE_ELSEWHERE or node.op == "Placeholder":
            raise _UnknownError
        operands = [_source(entry, hashes) for entry in node.input if not entry.startswith("^")]
        controls = sorted({hashes[entry[1:]] for entry in node.input if entry.startswith("^")})
        value = _sha256(node.op, *_meaning(node, operands, functions), controls)
        if is_stateful(node.op) and node.op not in _READS:  # two draws of a random number are not one
            repeated[value] += 1
            value = _sha256(value, repeated[value])
        hashes[name] = value
    return hashes


def _meaning(node: Any, operands: Sequence[str], functions: _Functions) -> list[Any]:
    """Return what stands for a node's attributes and operands."""
    attributes = {
        name: value for name, value in node.attr.items() if not name.startswith("_") and name not in _NO_MEANING
    }
    if (
        node.op in _BRANCHES or node.op in _CALLS
    ):  # as if the bodies stood here, since the order of captured operands means nothing
        chooses = int(node.op in _BRANCHES)
        bodies = [functions.bound(called.name, operands[chooses:]) for called in _called(attributes)]
        return [operands[:chooses], bodies]
    return [operands, [(name, _attribute(attributes[name], functions)) for name in sorted(attributes)]]


def _called(attributes: Mapping[str, Any]) -> Iterator[Any]:
    for name in sorted(attributes):
        yield from [attributes[name].func] if attributes[name].HasField("func") else attributes[name].list.func


def _attribute(value: Any, functions: _Functions) -> Any:
    import tensorflow as tf

    if value.HasField("tensor"):
        return _array(tf.make_ndarray(value.tensor))
    if value.HasField("func"):
        return functions.free(value.func.name)
    if value.list.func:
        return [functions.free(called.name) for called in value.list.func]
    return value.SerializeToString(deterministic=True)


def is_stateful(operation: str) -> bool:
    """Whether TensorFlow holds that two equal calls of an operation need not give the same."""
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(operation)
    return known is None or known.is_stateful


def _name(entry: str) -> str:
    return entry.removeprefix("^").partition(":")[0]


def _source(entry: str, hashes: Mapping[str, str]) -> str:
    """Return what stands for ``node``, ``node:1`` or ``node:output:0``."""
    name, _, output = entry.partition(":")
    return f"{hashes[name]}:{output if output not in ('0', 'output:0') else ''}"


def _array(array: Any) -> str:
    array = np.asarray(array)
    if array.dtype == object:  # texts
        return _sha256(
            array.shape, [bytes(entry) if isinstance(entry, bytes) else repr(entry) for entry in array.ravel()]
        )
    return files.sha256_arrays(array)


def _sha256(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()
