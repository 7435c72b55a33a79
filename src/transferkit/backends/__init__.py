"""What differs between Keras's backends, one module each; all other code speaks ``keras.ops`` and Keras's layers.

The modules have the same functions, listed in `Backend`. Keras fixes the backend when it is imported, so it is chosen once.
"""

import functools
import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from transferkit.backends.tracing import Traced, Value
from transferkit.errors import UnknownNameError
from transferkit.progress import quietly

BACKENDS = ("tensorflow", "jax", "torch")

MatmulPrecision: TypeAlias = Literal["float32", "bfloat16"]


class Backend(Protocol):
    """What each of the modules has."""

    NAME: str
    """As its makers write it."""

    TRACES_GRAPHS: bool
    """Whether it traces whole graphs, see `transferkit.backends.tensorflow_program`; the others have `trace`."""

    CONVERTS: bool
    """Whether it has `convert`."""

    DRAWS: Any
    """What draws initial weights in its place, so that they are the same on each: a module such as `philox`, or None."""

    STEPS_AT_ONCE: int
    """How many steps it can run between two looks from Python."""

    RUNS_EAGERLY: bool
    """Whether one step is done sooner without compiling it."""

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""

    def accelerator(self) -> str | None:
        """Return what it computes on, None for a CPU."""

    def replicas(self, model: Any) -> int:
        """Return how many devices share each batch of a model."""

    def placed(self, model: Any) -> AbstractContextManager[Any]:
        """Return a context in which what trains a model is made where the model's variables are."""

    def limit_threads(self, count: int) -> None:
        """Let it take so many threads, if it has not started yet."""

    def values(self, function: Callable[[Any], Any], images: NDArray[Any]) -> NDArray[np.float32]:
        """Return what a function of Keras layers gives now, whatever was traced before; no gradients are kept."""

    def compiled(
        self, function: Callable[[Any], Any], variables: Sequence[Any]
    ) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """Return the same function, compiled; it reads the variables as they are at each call."""

    def convert(
        self, function: Callable[[Any], Any], variables: Sequence[Any], shape: tuple[int, ...], dtype: Any
    ) -> bytes:
        """Return a function as a LiteRT model for batches of one shape."""

    def input_gradient(self, function: Callable[[Any], Any], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gradient of the sum of what a function gives."""

    def updating(self, network: Any) -> Callable[[Any], None]:
        """Return a function that runs a network in training mode, so that its layers update what they keep."""

    def fused_batchnorm(self, layer: Any) -> Callable[..., Any] | None:
        """Return a faster ``call`` for a BatchNormalization in training, None where there is none."""

    def convolution(self, layer: Any, matmul_precision: MatmulPrecision) -> Callable[..., Any] | None:
        """Return a faster ``convolution_op`` for a Conv2D in training, None where there is none."""

    def multiplying(self, precision: MatmulPrecision) -> AbstractContextManager[Any]:
        """Return a context in which float32 matrices are multiplied in a precision, as far as this is the backend's setting."""

    def prefers_bfloat16(self) -> bool:
        """Whether `convolution` in bfloat16 is faster on this machine."""

    def fitting(self, model: Any, part: Any) -> AbstractContextManager[None]:
        """Return a context in which a part of a model, or all of it, is fitted while callbacks see the model."""

    def seed(self, seed: int) -> None:
        """Seed what the backend draws from where Keras passes no seed on; inside `fitting` only."""

    def program_digest(
        self,
        function: Callable[..., Any],
        specs: Sequence[tuple[tuple[int | None, ...], Any]],
        variables: Sequence[Any] | None,
        *,
        gradients: bool,
    ) -> str | None:
        """Return the SHA-256 of the program of a function, see `transferkit.models.program.program_digest`."""

    def trace(self, function: Callable[..., Any], inputs: Sequence[Value], variables: Sequence[Any]) -> Traced:
        """Return what a function does to values, see `transferkit.backends.tracing`."""


@functools.cache
def chosen_backend() -> Backend:
    """Return the module of the backend that Keras runs on.

    Raises
    ------
    UnknownNameError
        If transferkit does not know that backend.
    """
    with quietly():
        import keras

        name = keras.backend.backend()
        if name not in BACKENDS:
            raise UnknownNameError("backend of Keras (KERAS_BACKEND)", name, BACKENDS)
        return cast("Backend", importlib.import_module(f"transferkit.backends.{name}"))
