"""Keras on TensorFlow."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from transferkit.backends import MatmulPrecision
from transferkit.backends.tensorflow_program import Program
from transferkit.progress import quietly

NAME = "TensorFlow"
TRACES_GRAPHS = CONVERTS = True
DRAWS = None
STEPS_AT_ONCE = 1_000
RUNS_EAGERLY = True
_FEWEST_CHANNELS = 32  # with fewer, converting takes as long as multiplying
_BFLOAT16 = re.compile("(?:amx|avx512)_bf16")  # flags of processors that multiply it faster than float32

tf.config.list_physical_devices()  # drivers are looked for once, and complain: now, while `chosen_backend` keeps that away


def versions() -> dict[str, str]:
    """See `transferkit.backends.Backend`, here and below."""
    return {"tensorflow": str(tf.__version__)}


def accelerator() -> str | None:
    devices = [device for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
    if not devices:
        return None
    name = str(devices[0].device_type)
    with suppress(ValueError):  # of a kind that has no details
        name = str(tf.config.experimental.get_device_details(devices[0]).get("device_name", name))
    return name if len(devices) == 1 else f"{len(devices)} x {name}"


def replicas(model: Any) -> int:
    strategy = getattr(model, "distribute_strategy", None)
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def placed(model: Any) -> AbstractContextManager[Any]:
    return model.distribute_strategy.scope() if replicas(model) > 1 else nullcontext()


def limit_threads(count: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:  # it has started already, with what the first task set
        return


def values(function: Callable[[Any], Any], images: NDArray[Any]) -> NDArray[np.float32]:
    return _numpy(function(images))


def compiled(
    function: Callable[[Any], Any],
    variables: Sequence[Any],  # noqa: ARG001 - the graph reads them
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    traced = tf.function(function, reduce_retracing=True, autograph=False)
    return lambda images: _numpy(traced(tf.convert_to_tensor(images)))


def _numpy(tensor: Any) -> NDArray[np.float32]:
    return keras.ops.convert_to_numpy(tensor).astype(np.float32, copy=False)


def convert(function: Callable[[Any], Any], variables: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> bytes:
    traced = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype)], autograph=False)
    owner = tf.Module()  # without an owner of the variables the converter loses their values
    owner.variables_of_function = [variable.value for variable in variables]
    with quietly():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], owner)
        converter.experimental_lower_to_saved_model = False  # writing and reading one is half of the time
        return bytes(converter.convert())


def input_gradient(function: Callable[[Any], Any], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    tensor = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        found = function(tensor)
    return np.asarray(tape.gradient(found, tensor), np.float32)


def updating(network: Any) -> Callable[[Any], None]:
    return tf.function(lambda x: network(x, training=True), reduce_retracing=True)


def fused_batchnorm(layer: Any) -> Callable[..., Any]:
    plain = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable) or mask is not None:
            return plain(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels),
            tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels),
            epsilon=layer.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= (count - 1) / count  # the kernel divides by n - 1, Keras by n
        keep = layer.momentum
        layer.moving_mean.assign(layer.moving_mean * keep + mean * (1 - keep))
        layer.moving_variance.assign(layer.moving_variance * keep + variance * (1 - keep))
        return outputs

    return call


def convolution(layer: Any, matmul_precision: MatmulPrecision) -> Callable[..., Any] | None:
    if accelerator() is not None or matmul_precision == "float32" or layer.kernel.shape[2] < _FEWEST_CHANNELS:
        return None
    pointwise, plain = layer.kernel_size == layer.strides == (1, 1), layer.convolution_op

    def multiply(inputs: Any, kernel: Any) -> Any:
        # One product for all pixels: at 2 x 2 pixels and 1,024 channels it takes a seventh of the convolution's time.
        product = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), tf.reshape(kernel, kernel.shape[2:]))
        return tf.reshape(product, tf.concat([tf.shape(inputs)[:-1], kernel.shape[3:]], axis=0))

    def convolve(inputs: Any, kernel: Any) -> Any:
        function = multiply if pointwise else plain
        rounded = (tf.cast(tf.convert_to_tensor(value), tf.bfloat16) for value in (inputs, kernel))
        return tf.cast(function(*rounded), tf.float32)

    return convolve


def multiplying(precision: MatmulPrecision) -> AbstractContextManager[Any]:  # noqa: ARG001 - `convolution` does it
    return nullcontext()


def prefers_bfloat16() -> bool:
    flags = Path("/proc/cpuinfo")
    return accelerator() is None and flags.is_file() and bool(_BFLOAT16.search(flags.read_text(encoding="utf-8")))


@contextmanager
def fitting(model: Any, part: Any) -> Iterator[None]:  # noqa: ARG001 - the graph changes the variables themselves
    yield


def seed(seed: int) -> None:
    """Do nothing: TensorFlow draws from the seeds that Keras passes on."""


def program_digest(
    function: Callable[..., Any],
    specs: Sequence[tuple[tuple[int | None, ...], Any]],
    variables: Sequence[Any] | None,
    *,
    gradients: bool,  # noqa: ARG001 - custom gradients stand in the graph
) -> str | None:
    return Program(function, *specs).digest(variables)
