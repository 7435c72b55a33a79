"""The program that a function of Keras layers executes, as TensorFlow traces it.

Two traces have one digest if they compute the same with the same operations: names of nodes, functions and resources, the order of
independent nodes, places and debugging notes count nothing; operations, their attributes, constants, operands and their order, side
effects and variables do.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from transferkit.backends.tracing import UnknownError, array_digest, sha256

_NO_MEANING = {"shared_name", "container", "debug_name", "config", "config_proto", "executor_type"}
_BRANCHES = {"If", "StatelessIf", "Case", "StatelessCase"}  # their first operand chooses
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_LOOPS = {"While", "StatelessWhile"}
_READS = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VarIsInitializedOp", "VariableShape"}
_HARMLESS = {"Assert", "CheckNumerics", "PrintV2", "StatelessRandomGetAlg"}
_CODE_ELSEWHERE = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


class Program:
    """The traced program of a function of tensors.

    Parameters
    ----------
    function : callable
        Of tensors. Variables that it reads exist already.
    *specs : tuple of (shape, dtype)
        Of its arguments; an unknown length is None.

    Raises
    ------
    Exception
        Whatever the function raises when it is traced.
    """

    def __init__(self, function: Callable[..., Any], *specs: tuple[tuple[int | None, ...], Any]) -> None:
        signature = [tf.TensorSpec(shape, dtype) for shape, dtype in specs]
        # Without AutoGraph, like Keras's fit; and default arguments of the function are none of its inputs.
        traced = tf.function(lambda *inputs: function(*inputs), input_signature=signature, autograph=False)  # noqa: PLW0108
        self._graph = traced.get_concrete_function().graph
        self._arguments = self._graph.inputs[: len(specs)]
        definition = self._graph.as_graph_def()
        self._nodes = {node.name: node for node in definition.node}
        self._functions = _Functions({entry.signature.name: entry for entry in definition.library.function})

    def digest(self, variables: Sequence[Any] | None = None) -> str | None:
        """Return the SHA-256 of what the function returns and changes.

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
        effects = [operation.name for operation in self._graph.control_outputs]
        try:
            hashes = self._hash([*effects, *(tensor.op.name for tensor in self._graph.outputs)], variables)
            changed = sorted(_source(name, hashes) for name in effects)
            returned = [_tensor(tensor, hashes) for tensor in self._graph.outputs]
        except (UnknownError, CycleError):
            return None
        structure = keras.tree.map_structure(lambda _: None, self._graph.structured_outputs)
        return sha256(self._specs(), returned, changed, structure)

    def digests_of(self, groups: Sequence[Sequence[Any]]) -> list[str | None]:
        """Return, for each group of symbolic tensors of the trace, the SHA-256 of what leads to them, or None as `digest`."""
        try:
            hashes = self._hash([tensor.op.name for group in groups for tensor in group], None)
        except CycleError:
            return [None for _ in groups]
        found: list[str | None] = []
        for group in groups:
            try:
                found.append(sha256(self._specs(), [_tensor(tensor, hashes) for tensor in group]))
            except UnknownError:
                found.append(None)
        return found

    def changes_or_draws(self, operations: Iterable[str]) -> bool:
        """Whether any of these operations of the trace changes a variable, draws random numbers or runs what TensorFlow cannot see."""
        return any(self._functions.has_effects(self._nodes[name]) for name in operations)

    def reads(self, operations: Iterable[str], variables: Iterable[Any]) -> bool:
        """Whether any of these operations of the trace reads one of the variables."""
        handles = {id(_handle(variable)) for variable in variables}
        places = {inside.op.name for outside, inside in self._graph.captures if id(outside) in handles}
        return any(_name(entry) in places for name in operations for entry in self._nodes[name].input)

    def _captured_variables(self) -> dict[int, Any]:
        held = {id(_handle(variable)): variable for variable in self._graph.variables}
        return {id(outside): held[id(outside)] for outside, _ in self._graph.captures if id(outside) in held}

    def _specs(self) -> list[Any]:
        return [(tensor.dtype.name, str(tensor.shape)) for tensor in self._arguments]

    def _hash(self, wanted: Iterable[str], variables: Sequence[Any] | None) -> dict[str, str | None]:
        known = {tensor.op.name: f"argument {index}" for index, tensor in enumerate(self._arguments)}
        return _hash_nodes(self._nodes, known | dict(self._captured(variables)), self._functions, wanted)

    def _captured(self, variables: Sequence[Any] | None) -> Iterator[tuple[str, str]]:
        """Yield what stands for each value from outside, by the name of its placeholder; nothing for one that has no value."""
        places = {id(_handle(variable)): index for index, variable in enumerate(variables or ())}
        held, others = self._captured_variables(), dict[int, int]()
        for outside, inside in self._graph.captures:
            if id(outside) in places:
                variable = (variables or ())[places[id(outside)]]
                yield inside.op.name, f"variable {places[id(outside)]} {variable.dtype} {tuple(variable.shape)}"
            elif id(outside) in held:
                meaning = f"variable {array_digest(held[id(outside)])}"
                if variables is not None:  # which of two equal ones matters where they may change
                    meaning += f" {others.setdefault(id(outside), len(others))}"
                yield inside.op.name, meaning
            elif hasattr(outside, "numpy") and outside.dtype.name not in ("resource", "variant"):
                yield inside.op.name, f"constant {array_digest(outside.numpy())}"


@contextmanager
def recorded_operations() -> Iterator[list[str]]:
    """Yield a list to which, at the end of the block, the names of all operations traced in it are added."""
    graph = tf.compat.v1.get_default_graph()
    before, names = len(graph.get_operations()), list[str]()
    yield names
    names += [operation.name for operation in graph.get_operations()[before:]]


class _Functions:
    """The library of a graph: functions that its nodes call."""

    def __init__(self, library: Mapping[str, Any]) -> None:
        self._library = library

    def bound(self, name: str, operands: Sequence[str]) -> list[Any]:
        """Return what stands for a function's outputs and effects if its arguments are `operands`."""
        function = self._get(name)
        known = dict(zip((argument.name for argument in function.signature.input_arg), operands, strict=True))
        returned, effects = (
            [function.ret[output.name] for output in function.signature.output_arg],
            function.control_ret.values(),
        )
        nodes = {node.name: node for node in function.node_def}
        hashes = _hash_nodes(nodes, known, self, [*map(_name, returned), *effects])
        return [[_source(entry, hashes) for entry in returned], sorted(_source(name, hashes) for name in effects)]

    def free(self, name: str) -> list[Any]:
        """Return what stands for a function whose arguments differ from call to call."""
        count = len(self._get(name).signature.input_arg)
        return self.bound(name, [f"argument {index}" for index in range(count)])

    def has_effects(self, node: Any) -> bool:
        """Whether a node changes something, draws random numbers or runs what TensorFlow cannot see."""
        called = [name for value in node.attr.values() for name in _called(value)]
        if called and node.op in _BRANCHES | _CALLS | _LOOPS:
            return any(self.has_effects(inner) for name in called for inner in self._get(name).node_def)
        return node.op in _CODE_ELSEWHERE or (_is_stateful(node.op) and node.op not in _READS | _HARMLESS)

    def _get(self, name: str) -> Any:
        if name not in self._library:
            raise UnknownError
        return self._library[name]


def _hash_nodes(
    nodes: Mapping[str, Any], known: Mapping[str, str], functions: _Functions, wanted: Iterable[str]
) -> dict[str, str | None]:
    """Return the hash of each wanted node and all that leads to it: of its operation, attributes and operands; None where it has none."""
    before: dict[str, list[str]] = {}
    waiting = [name for name in wanted if name not in known]
    while waiting:
        name = waiting.pop()
        if name not in before:
            before[name] = [source for source in map(_name, nodes[name].input) if source not in known]
            waiting += before[name]
    hashes: dict[str, str | None] = dict(known)
    repeated = Counter[str]()
    # In the order of the trace, so that draws of random numbers are counted in that order.
    for name in TopologicalSorter({name: before[name] for name in nodes if name in before}).static_order():
        try:
            hashes[name] = _hash_node(nodes[name], hashes, functions, repeated)
        except UnknownError:
            hashes[name] = None
    return hashes


def _hash_node(node: Any, hashes: Mapping[str, str | None], functions: _Functions, repeated: Counter[str]) -> str:
    if node.op in _CODE_ELSEWHERE or node.op == "Placeholder":
        raise UnknownError
    operands = [_source(entry, hashes) for entry in node.input if not entry.startswith("^")]
    controls = sorted({_source(entry[1:], hashes) for entry in node.input if entry.startswith("^")})
    value = sha256(node.op, *_meaning(node, operands, functions), controls)
    if not _is_stateful(node.op) or node.op in _READS | _HARMLESS:
        return value
    repeated[value] += 1  # two draws of a random number are not one
    return sha256(value, repeated[value])


def _meaning(node: Any, operands: Sequence[str], functions: _Functions) -> list[Any]:
    """Return what stands for a node's attributes and operands."""
    attributes = {
        name: value for name, value in node.attr.items() if not name.startswith("_") and name not in _NO_MEANING
    }
    if (
        node.op in _BRANCHES or node.op in _CALLS
    ):  # as if the bodies stood here, since the order of captured operands means nothing
        chooses = int(node.op in _BRANCHES)
        called = [function for name in sorted(attributes) for function in _called(attributes[name])]
        bodies = [functions.bound(function, operands[chooses:]) for function in called]
        return [operands[:chooses], bodies]
    return [operands, [(name, _attribute(attributes[name], functions)) for name in sorted(attributes)]]


def _called(value: Any) -> list[str]:
    """Return the names of the functions in the value of an attribute."""
    return [value.func.name] if value.HasField("func") else [called.name for called in value.list.func]


def _attribute(value: Any, functions: _Functions) -> Any:
    if value.HasField("tensor"):
        return array_digest(tf.make_ndarray(value.tensor))
    called = _called(value)
    if called:
        return [functions.free(name) for name in called]
    return value.SerializeToString(deterministic=True)


def _is_stateful(operation: str) -> bool:
    """Whether TensorFlow holds that two equal calls of an operation need not give the same."""
    known = op_def_registry.get(operation)
    return known is None or known.is_stateful


def _name(entry: str) -> str:
    return entry.removeprefix("^").partition(":")[0]


def _source(entry: str, hashes: Mapping[str, str | None]) -> str:
    """Return what stands for ``node``, ``node:1`` or ``node:output:0``."""
    name, _, output = entry.partition(":")
    if hashes[name] is None:
        raise UnknownError
    return f"{hashes[name]}:{output if output not in ('0', 'output:0') else ''}"


def _tensor(tensor: Any, hashes: Mapping[str, str | None]) -> str:
    return _source(f"{tensor.op.name}:{tensor.value_index}", hashes)


def _handle(variable: Any) -> Any:
    """Return the handle of a variable; of a mirrored one, that of its copy on the first device."""
    held = variable.value if isinstance(variable, keras.Variable) else variable
    return tf.distribute.get_strategy().experimental_local_results(held)[0].handle
