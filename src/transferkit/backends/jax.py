"""Keras on JAX: functions without state, so that what layers keep goes in and comes out."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.backends import MatmulPrecision, philox
from transferkit.backends.tracing import (
    Traced,
    UnknownError,
    Value,
    array_digest,
    call_stateless,
    concrete,
    digest_of,
    plain,
    sha256,
    variable_digest,
)

NAME = "JAX"
TRACES_GRAPHS = CONVERTS = False
DRAWS = philox
STEPS_AT_ONCE = 1_000
RUNS_EAGERLY = False  # each operation would be compiled by itself
_INLINED = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat": "jaxpr",
    "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "custom_vjp_call_jaxpr": "fun_jaxpr",
}  # fmt: skip
_Known = tuple[str | None, frozenset[int]]  # what stands for a value, and the variables that lead to it

if jax.config.jax_compilation_cache_dir is None:  # compiling takes longer than an epoch
    jax.config.update("jax_compilation_cache_dir", os.fspath(files.cache_home() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def versions() -> dict[str, str]:
    """See `transferkit.backends.Backend`, here and below."""
    return {"jax": str(jax.__version__)}


def accelerator() -> str | None:
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return None
    return str(devices[0].device_kind) if len(devices) == 1 else f"{len(devices)} x {devices[0].device_kind}"


def replicas(model: Any) -> int:  # noqa: ARG001 - one choice holds for all models
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else int(distribution.num_model_replicas)


def placed(model: Any) -> AbstractContextManager[None]:  # noqa: ARG001 - see above
    return nullcontext()


def limit_threads(count: int) -> None:
    os.environ["NPROC"] = str(count)  # JAX reads it when it computes for the first time


def values(function: Callable[[Any], Any], images: NDArray[Any]) -> NDArray[np.float32]:
    return _numpy(function(keras.ops.convert_to_tensor(images)))


def compiled(function: Callable[[Any], Any], variables: Sequence[Any]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    held = list(variables)

    @jax.jit
    def run(state: Any, images: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(held, state, strict=True))):
            return function(images)

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        padded = np.zeros(
            (1 << (len(images) - 1).bit_length(), *images.shape[1:]), images.dtype
        )  # few shapes to compile for
        padded[: len(images)] = images
        return _numpy(run([variable.value for variable in held], padded))[: len(images)]

    return compute


def _numpy(array: Any) -> NDArray[np.float32]:
    return np.asarray(array, np.float32)


def input_gradient(function: Callable[[Any], Any], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return _numpy(jax.grad(lambda x: function(x).sum())(keras.ops.convert_to_tensor(inputs)))


def updating(network: Any) -> Callable[[Any], None]:
    @jax.jit
    def forward(trained: Any, kept: Any, inputs: Any) -> Any:
        return network.stateless_call(trained, kept, inputs, training=True)[1]

    def run(inputs: Any) -> None:
        trained, kept = (
            [variable.value for variable in held]
            for held in (network.trainable_variables, network.non_trainable_variables)
        )
        for variable, value in zip(network.non_trainable_variables, forward(trained, kept, inputs), strict=True):
            variable.assign(value)

    return run


def fused_batchnorm(layer: Any) -> None:
    """Return None: XLA fuses."""


def convolution(layer: Any, matmul_precision: MatmulPrecision) -> None:
    """Return None: XLA chooses."""


def multiplying(precision: MatmulPrecision) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "float32" else jax.default_matmul_precision(precision)


def prefers_bfloat16() -> bool:
    return False


@contextmanager
def fitting(model: Any, part: Any) -> Iterator[None]:
    """Let callbacks that look at the model see what the part was trained to: Keras puts the state back when asked to."""
    if part is model:
        yield
        return
    object.__setattr__(model, "jax_state_sync", part.jax_state_sync)
    try:
        yield
    finally:
        object.__delattr__(model, "jax_state_sync")


def seed(seed: int) -> None:
    """Do nothing: JAX draws from the seeds that Keras passes on."""


def trace(
    function: Callable[..., Any],
    inputs: Sequence[Value],
    variables: Sequence[Any],
    *,
    by_place: bool = False,
    gradients: bool = False,
) -> Traced:
    held, facts = list(variables), dict[str, Any]()

    def run(state: Sequence[Any], *arguments: Any) -> Any:
        called = call_stateless(function, arguments, held, state, jax.numpy.asarray)
        facts["structure"], facts["changed"] = called.structure, called.changed
        return called.outputs, [called.now[place] for place in called.changed], called.others

    def differentiated(state: Sequence[Any], *arguments: Any) -> Any:
        def total(state: Sequence[Any]) -> Any:
            flat, changed, others = run(state, *arguments)
            summed = sum(value.sum() for value in flat if jax.numpy.issubdtype(value.dtype, jax.numpy.floating))
            return summed, (flat, changed, others)

        gradient, found = jax.grad(total, has_aux=True, allow_int=True)(list(state))
        trained = [value for value, variable in zip(gradient, held, strict=True) if variable.trainable]
        return (*found, [value for value in trained if value.dtype != jax.dtypes.float0])

    arguments = [jax.ShapeDtypeStruct(concrete(value.shape), value.dtype) for value in inputs]
    state = [jax.ShapeDtypeStruct(variable.shape, variable.dtype) for variable in held]
    found, shapes = jax.make_jaxpr(differentiated if gradients else run, return_shape=True)(state, *arguments)
    operands: list[_Known] = [
        (variable_digest(place, variable, by_place=by_place), frozenset([place])) for place, variable in enumerate(held)
    ]
    operands += [(value.digest, frozenset()) for value in inputs]
    results = _hash_closed(found, operands)
    if found.effects:
        results = [(None, reads) for _, reads in results]
    flat, changed = shapes[:2]
    outputs, rest = results[: len(flat)], results[len(flat) :]
    changes: dict[int, str | None] = {place: digest for place, (digest, _) in zip(facts["changed"], rest, strict=False)}
    for digest, _ in rest[len(changed) :]:  # other variables, and gradients
        changes[-1] = None if digest is None or changes.get(-1, "") is None else sha256(changes.get(-1), digest)
    return Traced(
        tuple(
            Value((None, *shape.shape[1:]) if shape.ndim else (), str(shape.dtype), digest)
            for shape, (digest, _) in zip(flat, outputs, strict=True)
        ),
        facts["structure"],
        changes,
        frozenset().union(*(reads for _, reads in results)),
    )


program_digest = partial(digest_of, trace)


def _hash_closed(closed: Any, operands: Sequence[_Known]) -> list[_Known]:
    constants = [_constant(value) for value in closed.consts]
    return _hash_program(closed.jaxpr, constants, operands)


def _constant(value: Any) -> _Known:
    try:
        return array_digest(np.asarray(value)), frozenset()
    except TypeError:  # a key of random numbers
        return array_digest(np.asarray(jax.random.key_data(value))), frozenset()


def _hash_program(program: Any, constants: Sequence[_Known], operands: Sequence[_Known]) -> list[_Known]:
    known: dict[Any, _Known] = dict(zip(program.constvars, constants, strict=True))
    known |= zip(program.invars, operands, strict=True)
    for equation in program.eqns:
        results = _hash_equation(equation, [_read(atom, known) for atom in equation.invars])
        known |= zip(equation.outvars, results, strict=True)
    return [_read(atom, known) for atom in program.outvars]


def _read(atom: Any, known: Mapping[Any, _Known]) -> _Known:
    return (sha256(str(atom.aval), array_digest(atom.val)), frozenset()) if hasattr(atom, "val") else known[atom]


def _hash_equation(equation: Any, operands: list[_Known]) -> list[_Known]:
    name, parameters = equation.primitive.name, equation.params
    inner = parameters.get(_INLINED.get(name, ""))
    if inner is not None:
        return _hash_closed(inner, operands) if hasattr(inner, "consts") else _hash_program(inner, [], operands)
    reads = frozenset[int]().union(*(one for _, one in operands))
    if "callback" in name or any(digest is None for digest, _ in operands):
        return [(None, reads) for _ in equation.outvars]
    try:
        digest = sha256(name, _parameter(parameters), [digest for digest, _ in operands])
    except UnknownError:
        return [(None, reads) for _ in equation.outvars]
    return [(f"{digest}:{place}", reads) for place, _ in enumerate(equation.outvars)]


def _parameter(value: Any) -> Any:
    """Return a parameter, programs in it hashed with arguments that differ from call to call."""
    if isinstance(value, Mapping):
        return sorted((str(key), _parameter(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, [_parameter(item) for item in value]
    program = value.jaxpr if hasattr(value, "consts") else value
    if hasattr(program, "eqns"):
        arguments: list[_Known] = [
            (f"argument {place} {var.aval}", frozenset()) for place, var in enumerate(program.invars)
        ]
        constants = [_constant(one) for one in getattr(value, "consts", ())]
        found = [digest for digest, _ in _hash_program(program, constants, arguments)]
        if None in found:
            raise UnknownError
        return found
    return plain(value)
