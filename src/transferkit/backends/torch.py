"""Keras on PyTorch."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np
import torch
from keras.src.backend.torch import random
from numpy.typing import NDArray
from torch.fx.experimental.proxy_tensor import make_fx

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

NAME = "PyTorch"
_ONE_AT_A_TIME = threading.RLock()
TRACES_GRAPHS = CONVERTS = False
DRAWS = philox
STEPS_AT_ONCE = 1
RUNS_EAGERLY = True


def versions() -> dict[str, str]:
    """See `transferkit.backends.Backend`, here and below."""
    return {"torch": str(torch.__version__)}


def accelerator() -> str | None:
    if not torch.cuda.is_available():
        return "Apple MPS" if torch.backends.mps.is_available() else None
    name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
    return name if count == 1 else f"{count} x {name}"


def replicas(model: Any) -> int:  # noqa: ARG001 - Keras shares no batches here
    return 1


def placed(model: Any) -> AbstractContextManager[None]:  # noqa: ARG001 - see above
    return nullcontext()


def limit_threads(count: int) -> None:
    torch.set_num_threads(count)


def values(function: Callable[[Any], Any], images: NDArray[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        return _numpy(function(keras.ops.convert_to_tensor(images)))


def compiled(
    function: Callable[[Any], Any],
    variables: Sequence[Any],  # noqa: ARG001 - it is run as it is
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    return lambda images: values(function, images)


def _numpy(tensor: Any) -> NDArray[np.float32]:
    return keras.ops.convert_to_numpy(tensor).astype(np.float32, copy=False)


def input_gradient(function: Callable[[Any], Any], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    tensor = keras.ops.convert_to_tensor(inputs).requires_grad_()
    (gradient,) = torch.autograd.grad(function(tensor).sum(), tensor)
    return _numpy(gradient)


def updating(network: Any) -> Callable[[Any], None]:
    def run(inputs: Any) -> None:
        with torch.no_grad():
            network(inputs, training=True)

    return run


def fused_batchnorm(layer: Any) -> None:
    """Return None: Keras's own is used."""


def convolution(layer: Any, matmul_precision: MatmulPrecision) -> None:
    """Return None: Keras's own is used."""


@contextmanager
def multiplying(precision: MatmulPrecision) -> Iterator[None]:
    own = torch.get_float32_matmul_precision()
    if precision == "bfloat16":
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(own)


def prefers_bfloat16() -> bool:
    return False


@contextmanager
def fitting(model: Any, part: Any) -> Iterator[None]:  # noqa: ARG001 - training changes the variables themselves
    """Give back the state of PyTorch's generator: Keras's dropout draws from it."""
    with torch.random.fork_rng():
        yield


def seed(seed: int) -> None:
    torch.manual_seed(seed)


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
        if gradients:
            state = [
                value.detach().requires_grad_() if variable.trainable and value.is_floating_point() else value
                for variable, value in zip(held, state, strict=True)
            ]
        with torch.set_grad_enabled(gradients):
            called = call_stateless(function, arguments, held, state, keras.ops.convert_to_tensor)
            flat, others = called.outputs, called.others
            if gradients:
                others = [*others, *_gradients(flat, [value for value in state if value.requires_grad])]
        facts["structure"], facts["changed"] = called.structure, called.changed
        facts["outputs"] = [(tuple(value.shape), str(keras.backend.standardize_dtype(value.dtype))) for value in flat]
        return [value.detach() for value in (*flat, *(called.now[place] for place in called.changed), *others)]

    examples = [keras.ops.zeros(concrete(value.shape), value.dtype) for value in inputs]
    state = [variable.value.detach() for variable in held]
    with _traceable_draws():
        graph = make_fx(run, tracing_mode="fake", _allow_non_fake_inputs=True)(state, *examples)
    nodes = list(graph.graph.nodes)
    reads = frozenset(place for place, node in enumerate(nodes[: len(held)]) if node.users)
    used = [node for node in nodes if node.op != "placeholder" or node.users]
    places = {node: index for index, node in enumerate(used)}
    try:
        program = [_meaning(node, places, graph) for node in places]
        # The steps in their order: some change tensors in place, which no order of operands shows.
        whole = sha256(
            program,
            [value.digest for value in inputs if value.digest is not None or _unknown()],
            [variable_digest(place, held[place], by_place=by_place) for place in sorted(reads)],
            sorted(reads) if by_place else len(reads),
        )
    except UnknownError:
        whole = None
    drawn = any(torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in places)
    digests = [None if whole is None else f"{whole}:{place}" for place, _ in enumerate(facts["outputs"])]
    return Traced(
        tuple(
            Value((None, *shape[1:]) if shape else (), dtype, digest)
            for (shape, dtype), digest in zip(facts["outputs"], digests, strict=True)
        ),
        facts["structure"],
        dict.fromkeys(facts["changed"], whole),
        reads,
        drawn,
    )


program_digest = partial(digest_of, trace)


@contextmanager
def _traceable_draws() -> Iterator[None]:
    """Let this thread draw without a generator: Keras would seed one with a number that a trace does not know.

    What is drawn, and how the state of the seeds changes, stands in the trace all the same.
    """
    thread = threading.get_ident()

    def generator(seed: Any) -> Any:
        if threading.get_ident() != thread:
            return own(seed)
        random.draw_seed(seed)
        return None

    with _ONE_AT_A_TIME:
        own = random.torch_seed_generator
        random.torch_seed_generator = generator
        try:
            yield
        finally:
            random.torch_seed_generator = own


def _unknown() -> bool:
    raise UnknownError


def _gradients(outputs: Sequence[Any], trained: Sequence[Any]) -> list[Any]:
    """Return how the sum of all outputs grows with each variable, so that derivatives of one's own are in the program."""
    parts = [value.sum() for value in outputs if value.requires_grad]
    if not parts or not trained:
        return []
    found = torch.autograd.grad(sum(parts), trained, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def _meaning(node: Any, places: dict[Any, int], graph: Any) -> Any:
    if node.op == "get_attr":
        value = getattr(graph, node.target)
        return array_digest(keras.ops.convert_to_numpy(value)) if isinstance(value, torch.Tensor) else _unknown()
    if node.op in ("placeholder", "output"):
        return node.op, _operands(node.args, places)
    return str(node.target), _operands(node.args, places), _operands(node.kwargs, places)


def _operands(value: Any, places: dict[Any, int]) -> Any:
    if isinstance(value, torch.fx.Node):
        return f"%{places[value]}"
    if isinstance(value, dict):
        return sorted((key, _operands(item, places)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_operands(item, places) for item in value]
    return plain(value)
