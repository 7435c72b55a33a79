"""The frozen prefix: the largest part of a model, from the images on, in which nothing trains and nothing is random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from transferkit import files
from transferkit.backends import chosen_backend
from transferkit.backends.tracing import Value
from transferkit.errors import InvalidInputError
from transferkit.features.graph import Graph, InModel, NotAGraphError, Step, flatten, run, takes_training
from transferkit.models.keras_internals import is_plain, overrides


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
    digest : str
        SHA-256 of the program that computes the features, with all weights and constants: equal prefixes of different models have the
        same.
    """

    model: Any
    steps: tuple[Step, ...]
    rest: tuple[Step, ...]
    cut: int
    output: int
    digest: str = ""

    def __call__(self, images: Any) -> Any:
        """Return the features of a batch of raw images."""
        pixels = keras.ops.cast(images, self.model.inputs[0].dtype)
        with keras.name_scope("prefix"):  # within one, TensorFlow takes names such as _mylayer
            return run(self.steps, pixels, start=0, end=self.cut, training=False)

    def finish(self, features: Any, *, training: bool | None = None) -> Any:
        """Return the model's output from the features."""
        return run(self.rest, features, start=self.cut, end=self.output, training=training)

    @property
    def weights(self) -> list[Any]:
        """The variables of the frozen layers."""
        return _weights(self.steps)

    @property
    def compute_dtype(self) -> str:
        """The dtype of lowest precision that any of the layers computes in."""
        found = {str(getattr(step.operation, "compute_dtype", "float32")) for step in self.steps}
        return next((dtype for dtype in ("bfloat16", "float16") if dtype in found), "float32")

    @property
    def last_layer(self) -> str:
        """The name of the last frozen layer."""
        return str(self._last.operation.name)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of a batch of features."""
        return (None, *self._last.shape)

    @property
    def gives_vectors(self) -> bool:
        """Whether the features of an image are a vector, not a map."""
        return len(self._last.shape) == 1

    @property
    def _last(self) -> Step:
        return next(step for step in self.steps if self.cut in step.outputs)

    def weights_digest(self) -> str:
        """Return one SHA-256 of what the variables of the frozen layers hold now; it takes milliseconds."""
        return files.sha256_arrays(*(keras.ops.convert_to_numpy(variable) for variable in self.weights))


def frozen_part(model: Any) -> Prefix:
    """Return the frozen prefix of what a user passed as a model.

    Raises
    ------
    InvalidInputError
        If it is no model, or has no such prefix.
    """
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"model must be a keras.Model; got {type(model).__name__}.")
    try:
        return find_prefix(model)
    except NoPrefixError as error:
        raise InvalidInputError(f"there are no features to extract: {error}.") from None


def find_prefix(model: Any) -> Prefix:
    """Find the frozen prefix of a functional or sequential model, transferkit's own or not.

    Parameters
    ----------
    model : keras.Model
        With one input and one output; models inside it are opened.

    Returns
    -------
    Prefix
        Cut at the last single tensor that all of the model's output depends on and that nothing lies before that trains, draws random
        numbers, keeps state or behaves differently in training. Layers that are not Keras's own are judged by their traced program.

    Raises
    ------
    NoPrefixError
        If nothing with weights is frozen from the input on, the model is no such graph, or it trains by code of its own.
    """
    graph = _flatten(model)
    fixed, trace = _find_fixed(graph, model)
    cut = _best_cut(graph, fixed)
    if cut is None:
        raise NoPrefixError(f"no layer with weights is frozen from the input of {model.name!r} on")
    before, rest = _leading_to(cut, fixed), _leading_to(graph.output, graph.steps, stop=cut)
    digest = trace.digests[cut]
    assert digest is not None  # noqa: S101 - a step without one is not fixed
    return Prefix(model, before, rest, cut, graph.output, digest)


def _flatten(model: Any) -> Graph:
    try:
        graph = flatten(model)
    except NotAGraphError as error:
        raise NoPrefixError(str(error)) from None
    own = overrides(model)
    if own:
        raise NoPrefixError(
            f"{model.name!r} has code of its own ({', '.join(own)}), which a part of it would leave out"
        )
    return graph


def whole_model(model: Any) -> Prefix:
    """Return a model as it is in inference, as if all of it were frozen.

    Raises
    ------
    NoPrefixError
        If the model is no graph from one input to one output, or is called by code of its own.
    """
    graph = _flatten(model)
    return Prefix(model, tuple(graph.steps), (), graph.output, graph.output)


def _find_fixed(graph: Graph, model: Any) -> tuple[list[Step], "_Trace | _StepTraces"]:
    """Return the steps, from the images on, that give the same for an image whenever they run, and how that was traced."""
    trains = {id(variable) for variable in model.trainable_variables}
    trace = (_Trace if chosen_backend().TRACES_GRAPHS else _StepTraces)(graph, model, trains)
    fixed, values = [], {0}
    for step in graph.steps:
        reached = step.inputs and values.issuperset(step.inputs) and not _learns(step, trains)
        if reached and trace.is_fixed(step):
            fixed.append(step)
            values.update(step.outputs)
    return fixed, trace


def _learns(step: Step, trains: set[int]) -> bool:
    return any(id(variable) in trains for variable in getattr(step.operation, "variables", ()))


def _is_fixed_by_class(step: Step) -> bool:
    """Whether Keras's code alone decides, and never looks at whether it trains, except in a BatchNormalization that does not."""
    layer = step.operation
    frozen = type(layer) is keras.layers.BatchNormalization and not layer.trainable
    return is_plain(layer) and (frozen or not takes_training(layer))


class _Trace:
    """The program of all steps that do not learn: what each of them does in inference, and, unless Keras's code decides, in training.

    Parameters
    ----------
    graph : Graph
        Of the model.
    model : keras.Model
        The whole of it.
    trains : set of int
        Ids of the variables that train.
    """

    def __init__(self, graph: Graph, model: Any, trains: set[int]) -> None:
        self._graph, self._trains = graph, trains
        self._learned = model.trainable_variables
        self._values: dict[int, Any] = {}
        self._in_training: dict[int, Any] = {}
        self._operations: dict[tuple[int, ...], list[str]] = {}  # by the outputs of a step
        from transferkit.backends.tensorflow_program import Program

        images = model.inputs[0]
        self.program = Program(self._run, (tuple(images.shape), images.dtype))
        groups = [[tensor] for values in (self._values, self._in_training) for tensor in values.values()]
        found = self.program.digests_of(groups)
        self.digests = dict(zip(self._values, found, strict=False))
        """SHA-256 of what leads to each value, None for a value that depends on what cannot be hashed."""
        in_training = zip(self._in_training, found[len(self._values) :], strict=True)
        self._differs = {number for number, digest in in_training if digest != self.digests[number]}

    def _run(self, images: Any) -> None:
        from transferkit.backends.tensorflow_program import recorded_operations

        self._values = {0: images}
        for step in self._graph.steps:
            if step.inputs and self._values.keys() >= set(step.inputs) and not _learns(step, self._trains):
                with keras.name_scope("prefix"), recorded_operations() as operations:
                    try:
                        self._run_step(step)
                    except Exception:  # noqa: BLE001, S112 - whatever a user's layer raises; in training it will be raised again
                        continue
                self._operations[step.outputs] = operations

    def _run_step(self, step: Step) -> None:
        results = _outputs(step, self._values, training=False)
        if not _is_fixed_by_class(step):
            again = InModel(lambda *inputs: _outputs(step, dict(zip(step.inputs, inputs, strict=True)), training=True))
            self._in_training |= again(*(self._values[value] for value in step.inputs), training=True)
        self._values |= results

    def is_fixed(self, step: Step) -> bool:
        """Whether a step gives the same at each call, in training too."""
        operations = self._operations.get(step.outputs)
        return (
            operations is not None
            and all(self.digests[value] is not None for value in step.outputs)
            and self._differs.isdisjoint(step.outputs)
            and not self.program.changes_or_draws(operations)
            and not self.program.reads(operations, self._learned)
        )


class _StepTraces:
    """As `_Trace`, where the backend traces functions: each step by itself, on what the traces before it gave."""

    def __init__(self, graph: Graph, model: Any, trains: set[int]) -> None:
        self._variables = list(model.variables)
        self._learned = {place for place, variable in enumerate(self._variables) if id(variable) in trains}
        images = model.inputs[0]
        self._values = {0: Value(tuple(images.shape), keras.backend.standardize_dtype(images.dtype), "images")}
        self._fixed: set[tuple[int, ...]] = set()
        for step in graph.steps:
            if step.inputs and self._values.keys() >= set(step.inputs) and not _learns(step, trains):
                try:
                    self._run_step(step)
                except Exception:  # noqa: BLE001, S112 - whatever a user's layer raises; in training it will be raised again
                    continue
        self.digests = {number: value.digest for number, value in self._values.items()}

    def _run_step(self, step: Step) -> None:
        def run(*inputs: Any, training: bool) -> list[Any]:
            return list(_outputs(step, dict(zip(step.inputs, inputs, strict=True)), training=training).values())

        inputs = [self._values[value] for value in step.inputs]
        found = [chosen_backend().trace(partial(run, training=False), inputs, self._variables)]
        if not _is_fixed_by_class(step):
            again: Any = InModel(partial(run, training=True))
            found.append(chosen_backend().trace(partial(again, training=True), inputs, self._variables))
        self._values |= zip(step.outputs, found[0].outputs, strict=True)
        changes = any(one.changed or one.draws or one.reads & self._learned for one in found)
        if not changes and found[0].digest is not None and len({one.digest for one in found}) == 1:
            self._fixed.add(step.outputs)

    def is_fixed(self, step: Step) -> bool:
        """Whether a step gives the same at each call, in training too."""
        return step.outputs in self._fixed


def _outputs(step: Step, values: Mapping[int, Any], *, training: bool) -> dict[int, Any]:
    known = dict(values)
    step(known, training=training)
    return {value: known[value] for value in step.outputs}


def _best_cut(graph: Graph, fixed: Sequence[Step]) -> int | None:
    """Return the last value that all of the output depends on, or a smaller one if only padding or such lies between."""
    best: Step | None = None
    for step in reversed(fixed):
        if len(step.outputs) == 1 and _separates(graph, step.outputs[0]):
            if best is None or step.size < best.size:
                best = step
            if _learned(step):
                return best.outputs[0]
        elif best is not None and _learned(step):
            return best.outputs[0]
    return None


def _learned(step: Step) -> bool:
    """Whether a step holds what was learned: a normalisation of pixels has weights that never train, in a network from nothing as well."""
    return bool(_weights([step])) and not isinstance(step.operation, keras.layers.Normalization)


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
    return [variable for layer in layers for variable in getattr(layer, "variables", ())]
