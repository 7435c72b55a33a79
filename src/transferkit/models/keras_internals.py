"""Everything of Keras that transferkit uses and Keras does not document.

No other module touches ``keras.src`` or an underscored attribute of a Keras object. After an upgrade of Keras,
``tests/models/test_keras_internals.py`` says what of it changed.
"""

import functools
import itertools
import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.activations import activations
from keras.src.initializers import random_initializers
from keras.src.ops import image as ops_image
from keras.src.ops import math as ops_math
from keras.src.ops import nn as ops_nn
from keras.src.ops import numpy as ops_numpy
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from transferkit.backends import chosen_backend

_CALLS = ("__call__", "call")
_STEPS = (
    "train_step",
    "test_step",
    "predict_step",
    "compute_loss",
    "compute_metrics",
    "get_metrics_result",
    "metrics",
    "reset_metrics",
    "make_train_function",
    "make_test_function",
    "make_predict_function",
    "fit",
    "evaluate",
    "predict",
)
_HUB = "keras_hub"  # a library, not code of a user's
_ONE_AT_A_TIME = threading.RLock()


def serialised_under() -> dict[str | None, set[str]]:
    """Return the names that Keras writes into a configuration though they are not public, by module.

    Layers of ``keras.applications``, and operations on tensors: those that take no function and make no tensor of any size.
    """
    making = {"Arange", "Array", "Full", "Geomspace", "Linspace", "Logspace"}
    names: dict[str | None, set[str]] = {
        "keras.src.applications.convnext": {"LayerScale", "StochasticDepth"},
        "keras.src.applications.inception_resnet_v2": {"CustomScaleLayer"},
        "keras.src.models.functional": {"Functional"},
        "keras.src.models.sequential": {"Sequential"},
        "keras.src.ops.core": {"Cast", "ConvertToTensor", "SaturateCast", "Slice", "StopGradient", "Unstack"},
    }
    for module in (activations, ops_image, ops_math, ops_nn, ops_numpy):
        held = vars(module).values()
        names[module.__name__] = {
            kind.__name__
            for kind in held
            if isinstance(kind, type) and issubclass(kind, keras.Operation) and kind.__module__ == module.__name__
        } - making
    return names


def functional_graph(model: Any) -> Any:
    """Return the object that holds the graph of a functional or built sequential model, or None if there is none."""
    network = getattr(model, "_functional", model)
    return network if hasattr(network, "_nodes_by_depth") else None


def layer_calls(network: Any) -> Iterator[Any]:
    """Yield the calls of which a graph consists, in an order in which they can run.

    Each has ``operation``, ``arguments`` for `fill_in`, and ``input_tensors`` and ``outputs``, symbolic tensors.
    """
    for depth in sorted(network._nodes_by_depth, reverse=True):
        yield from (node for node in network._nodes_by_depth[depth] if not node.is_input)


def fill_in(arguments: Any, values: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of a call, with values instead of the symbolic tensors of these ids."""
    return arguments.fill_in(values)


def symbolic_arguments(arguments: Any) -> list[Any]:
    """Return the symbolic tensors among the arguments of a call, in their order."""
    return list(arguments.keras_tensors)


def is_seed_state(variable: Any) -> bool:
    """Whether a variable is the state of a random generator, whatever its layer calls that and however deep it lies."""
    return str(variable.name) == "seed_generator_state"


def forget_losses(model: Any) -> None:
    """Forget what the layers of a model added to its loss in the last call."""
    model._clear_losses()


def given_to_compile(model: Any) -> dict[str, Any]:
    """Return the arguments of ``compile`` as they were given, objects that have no configuration included."""
    return dict(model._compile_config.config)


def build_metrics(model: Any, inputs: Any, targets: Any) -> None:
    """Build the metrics, the loss and the optimiser of a compiled model, as the first batch of ``fit`` does.

    ``EarlyStopping("val_accuracy")`` looks at the names of built metrics when it begins.

    Parameters
    ----------
    model : keras.Model
        Built and compiled.
    inputs, targets : ndarray
        One batch of the kind that it is trained on; only shapes and dtypes count.
    """
    model._symbolic_build(data_batch=(inputs, targets))


def overrides(model: Any) -> list[str]:
    """Return the methods of a model that are the user's own, where Keras has one: ``compute_loss``, ``backbone.call``.

    Parameters
    ----------
    model : keras.Model
        Of any kind. Of models inside it, ``call`` counts; their training steps never run.

    Returns
    -------
    list of str
        Empty for a model that Keras trains by its own code.
    """
    own = [name for name in (*_CALLS, *_STEPS) if _is_own(model, name)]
    if functional_graph(model) is None:
        return own  # its `call` is its own, and what that calls is nobody's business
    return own + [f"{inner.name}.{name}" for inner in _inner_models(model) for name in _CALLS if _is_own(inner, name)]


def all_layers(layer: Any) -> list[Any]:
    """Return a layer or model and every layer that it holds, at any depth, in attributes of a layer too."""
    return list(layer._flatten_layers())


def is_plain(operation: Any) -> bool:
    """Whether Keras alone says what an operation does: its class, and all functions, layers and models that it holds, are Keras's.

    A layer of Keras that holds others is not plain, since those decide.
    """
    functions = [value for value in vars(operation).values() if callable(value) and hasattr(value, "__module__")]
    holds = isinstance(operation, keras.Layer) and len(all_layers(operation)) > 1
    return not holds and all(_is_of_keras(thing) for thing in (type(operation), *functions))


def _is_of_keras(thing: Any) -> bool:
    return str(thing.__module__).partition(".")[0] == "keras"


def has_own_call(model: Any) -> bool:
    """Whether a model, whatever graph it holds, runs code of its user's when it is called."""
    return any(_is_own(model, name) for name in _CALLS)


def has_own_step(model: Any) -> bool:
    """Whether a model trains by code of its user's."""
    return _is_own(model, "train_step")


def _is_own(model: Any, name: str) -> bool:
    if name in vars(model):  # set on the object
        return True
    owner = _owner(model, name)
    return not (_is_of_keras(owner) or _is_of_hub(owner))


def _owner(model: Any, name: str) -> type:
    return next(cls for cls in type(model).__mro__ if name in vars(cls))


def _is_of_hub(thing: Any) -> bool:
    return str(thing.__module__).partition(".")[0] == _HUB


def is_hub_task(model: Any) -> bool:
    """Whether a model is a classifier of KerasHub, whose ``fit`` and ``predict`` prepare images outside of the network."""
    return _is_of_hub(_owner(model, "fit"))


class _Reading(threading.local):
    """How this thread reads batches: whether TensorFlow looks for a faster way meanwhile."""

    tuned = True


_reading = _Reading()


def _leave_untuned(get_tf_dataset: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(get_tf_dataset)
    def get(adapter: Any) -> Any:
        dataset = get_tf_dataset(adapter)
        if _reading.tuned:
            return dataset
        options = type(dataset.options())()  # those of a dataset cannot be changed, but merged with others
        options.autotune.enabled = False
        return dataset.with_options(options)

    return get


PyDatasetAdapter.get_tf_dataset = _leave_untuned(PyDatasetAdapter.get_tf_dataset)


def fit_of(model: Any) -> Callable[..., Any]:
    """Return the ``fit`` of a model, Keras's own for a classifier of KerasHub, whose takes none of ours; it reads batches untuned.

    Keras's ``fit`` waits at the end of an epoch for the thread that looks for a faster way to read. That sleeps twice as long after
    each look, and often misses the order to stop; on two cores an epoch then takes up to twice as long (benchmarks/epoch_ends.py).
    """
    own = model.fit if _is_own(model, "fit") else functools.partial(keras.Model.fit, model)

    def fit(*given: Any, **options: Any) -> Any:
        before, _reading.tuned = _reading.tuned, False
        try:
            return own(*given, **options)
        finally:
            _reading.tuned = before

    return fit


def _inner_models(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _inner_models(layer)


def settle_names(model: Any, *, inner: bool = False) -> None:
    """Give every layer that Keras named by a running number the name that it has in a fresh process.

    Two builds in one process would differ otherwise, and with them their configurations and files.

    Parameters
    ----------
    model : keras.Model
        A functional model.
    inner : bool, default False
        Whether that is also done in the models inside it. In a user's own model they keep the names by which the user knows them.
    """
    counters: dict[str, itertools.count[int]] = defaultdict(itertools.count)
    graphs = map(functional_graph, [model, *(_inner_models(model) if inner else ())])
    for operation in itertools.chain.from_iterable(graph.operations for graph in graphs if graph is not None):
        match = re.fullmatch(r"(.+?)(_\d+)?", operation.name)
        stem = match[1] if match else operation.name
        if stem == automatic_name(type(operation)):
            number = next(counters[stem])
            operation.name = f"{stem}_{number}" if number else stem


def automatic_name(layer_class: type) -> str:
    """Return the name that Keras gives the first layer of a class in a process: ``Conv2D`` is ``conv2d``."""
    from keras.src.utils.naming import to_snake_case

    return str(to_snake_case(layer_class.__name__))


@contextmanager
def replaced_call(layer: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Let a layer run `call` instead of its own for a while; its class, and so its configuration and file, stay the same."""
    # Around Keras's own __setattr__, which would track the function.
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


@contextmanager
def drawing_seeds_from(own: random.Random) -> Iterator[None]:
    """Draw every seed that Keras makes up inside the block, in this thread, from `own`, and initial weights as TensorFlow draws them.

    Keras draws them with ``random.randint``. Seeding that module would not be enough where other threads draw from it at the
    same time, as those of a Dask worker do; so this thread, and no other, gets a generator of its own.
    """
    thread = threading.get_ident()
    with _ONE_AT_A_TIME:
        shared = random.randint

        def randint(a: int, b: int) -> int:
            return (own.randint if threading.get_ident() == thread else shared)(a, b)

        random.randint = randint
        draws = random_initializers.random
        if chosen_backend().DRAWS is not None:
            random_initializers.random = _Draws(draws, thread)
        try:
            yield
        finally:
            random.randint, random_initializers.random = shared, draws


class _Draws:
    """Keras's random functions of a backend, but numbers of initial weights are those that TensorFlow draws from the same seed."""

    def __init__(self, own: Any, thread: int) -> None:
        self._own, self._thread = own, thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def uniform(self, shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
        low, high = np.float32(minval), np.float32(maxval)
        return self._draw("uniform", shape, low, high - low, dtype, seed, minval=minval, maxval=maxval)

    def normal(self, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
        return self._draw("normal", shape, mean, stddev, dtype, seed, mean=mean, stddev=stddev)

    def truncated_normal(
        self, shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
    ) -> Any:
        return self._draw("truncated_normal", shape, mean, stddev, dtype, seed, mean=mean, stddev=stddev)

    def _draw(self, name: str, shape: Any, low: Any, scale: Any, dtype: Any, seed: Any, **given: Any) -> Any:
        kind = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        if kind != "float32" or not isinstance(seed, int) or threading.get_ident() != self._thread:
            return getattr(self._own, name)(shape, dtype=dtype, seed=seed, **given)
        drawn = getattr(chosen_backend().DRAWS, name)(tuple(shape), (seed % (2**31 - 2), 0))
        return keras.ops.convert_to_tensor(drawn * np.float32(scale) + np.float32(low))


def set_by_user(model: Any) -> dict[str, Any]:
    """Return the attributes of a model that Keras does not set, whether it was trained before or not."""
    return {name: value for name, value in vars(model).items() if name not in _model_attributes()}


@functools.cache
def _model_attributes() -> frozenset[str]:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, inputs)
    model.compile()
    used = ("history", "stop_evaluating", "stop_predicting", "_eval_epoch_iterator", "_functional")
    return frozenset((*vars(model), *used))


def fit_plainly(model: Any, part: Any, batches: Any) -> dict[str, Any]:
    """Train a part of a model for one epoch by Keras's own ``fit``, past what others put in its place to log trainings; return its logs."""
    history = vars(model).get("history")
    callbacks = keras.callbacks.CallbackList(add_history=True, model=model, epochs=1, verbose=0)
    try:
        found = super(keras.Model, part).fit(batches, epochs=1, shuffle=False, callbacks=callbacks, verbose=0)
        return {name: values[-1] for name, values in found.history.items()}
    finally:
        model.history = history


def forget_functions(model: Any) -> None:
    """Forget the compiled steps of a model, so that the next call makes them with what it has then."""
    model.train_function = model.test_function = model.predict_function = None


def share_compiled(part: Any, whole: Any) -> None:
    """Let a part of a model train with the whole's optimiser, loss and metrics: the objects themselves.

    What a callback reads of the whole model's metrics is then what the part computed.
    """
    part.compile(
        optimizer=whole.optimizer, loss=whole.loss, jit_compile=whole.jit_compile, run_eagerly=whole.run_eagerly
    )
    part.optimizer = whole.optimizer  # compile may have wrapped it
    for name in ("_compile_loss", "_compile_metrics", "_loss_tracker"):
        setattr(part, name, getattr(whole, name))


def settle_monitor(callback: Any) -> None:
    """Let a callback that monitors a metric settle in which direction that improves, as it does after its first epoch."""
    settle = getattr(callback, "_set_monitor_op", None)
    if settle is not None and getattr(callback, "monitor_op", None) is None:
        settle()


def first_epoch(model: Any) -> int | None:
    """Return the epoch at which a callback, such as ``BackupAndRestore``, told a model to begin; None if none did."""
    return getattr(model, "_initial_epoch", None)


def rate_of(optimizer: Any) -> Any:
    """Return the learning rate of an optimiser: a float, or its schedule, the object itself."""
    held = inner_optimizer(optimizer)._learning_rate
    is_schedule = isinstance(held, keras.optimizers.schedules.LearningRateSchedule)
    return held if is_schedule else float(keras.ops.convert_to_numpy(held))


def inner_optimizer(optimizer: Any) -> Any:
    """Return the optimiser inside the one that ``compile`` wraps around it under mixed_float16."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@contextmanager
def scaled_rates(optimizer: Any, scales: Sequence[float]) -> Iterator[None]:
    """Let an optimiser move each of its variables at a part of its learning rate for a while, weight decay included.

    Its class, configuration and state stay what they are. What it computes from gradients is not scaled, since Adam would undo that.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Built.
    scales : sequence of float
        One for each variable that it was built with.
    """
    inner = inner_optimizer(optimizer)

    def scale_of(variable: Any) -> float:
        return scales[inner._get_variable_index(variable)]

    # On PyTorch, Keras updates many variables at once, past `update_step`.
    name = "_parallel_update_step" if hasattr(inner, "_parallel_update_step") else "update_step"
    step, decay = getattr(inner, name), inner._apply_weight_decay

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        step(gradient, variable, learning_rate * scale_of(variable))

    def parallel_update_step(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        found = [scale_of(variable) for variable in variables]
        for scale in dict.fromkeys(found):
            chosen = [index for index, one in enumerate(found) if one == scale]
            step([gradients[i] for i in chosen], [variables[i] for i in chosen], learning_rate * scale)

    def apply_weight_decay(variables: Sequence[Any]) -> None:
        before = [keras.ops.copy(variable) for variable in variables]
        decay(variables)
        for variable, old in zip(variables, before, strict=True):
            variable.assign(old + scale_of(variable) * (variable - old))

    replaced: dict[str, Any] = {name: update_step if name == "update_step" else parallel_update_step}
    if inner.weight_decay is not None:
        replaced["_apply_weight_decay"] = apply_weight_decay
    vars(inner).update(replaced)  # around Keras's own __setattr__, which would track the functions
    try:
        yield
    finally:
        for attribute in replaced:
            del vars(inner)[attribute]


def settings_beside_config(optimizer: Any) -> dict[str, Any]:
    """Return what an optimiser holds beside its state and what every optimiser holds: settings that its configuration may lack.

    Those of a class of one's own without ``get_config``, attributes set afterwards, ``exclude_from_weight_decay``.
    """
    held = vars(inner_optimizer(optimizer))
    return {
        name: value
        for name, value in held.items()
        if name not in _optimizer_attributes() and name != "_exclude_from_weight_decay_cache" and not is_state(value)
    }


def set_beside_config(optimizer: Any, settings: Mapping[str, Any]) -> None:
    """Give an optimiser such settings, past its own ``__setattr__``, which would track them."""
    vars(optimizer).update(settings)


@functools.cache
def _optimizer_attributes() -> frozenset[str]:
    """Return the names of the attributes that any optimiser has once it is built."""
    optimizer = keras.optimizers.SGD()
    optimizer.build([keras.Variable(np.zeros(1))])
    return frozenset(vars(optimizer))


def is_state(value: Any) -> bool:
    """Whether an attribute holds variables, or a list that is to hold some."""
    parts = value if isinstance(value, list | tuple) else [value]
    return (isinstance(value, list) and not value) or any(isinstance(part, keras.Variable) for part in parts)


def excluded_from_weight_decay(optimizer: Any) -> tuple[bool, list[str]]:
    """Return whether single variables were excluded from weight decay, and the patterns of the names of others that were."""
    held = vars(inner_optimizer(optimizer))
    pattern = held.get("_exclude_from_weight_decay_pattern")
    return bool(held.get("_exclude_from_weight_decay")), [] if pattern is None else sorted(pattern.pattern.split("|"))


def optimizer_config(optimizer: Any) -> dict[str, Any]:
    """Return the configuration of an optimiser with its schedule as the object, which may have no configuration.

    Raises
    ------
    Exception
        Whatever a user's own class raises.
    """
    inner, rate = inner_optimizer(optimizer), rate_of(optimizer)
    if not callable(rate):
        return dict(inner.get_config())
    inner._learning_rate = 0.0
    try:
        return dict(inner.get_config()) | {"learning_rate": rate}
    finally:
        inner._learning_rate = rate


def plain_kind(value: Any) -> type | None:
    """Return list, tuple or dict for one, and for what Keras and TensorFlow put in its place to track an attribute; None for others."""
    kind = type(value)
    if kind in (list, tuple, dict):
        return kind
    if kind.__module__.startswith(("keras.src.utils.tracking", "tensorflow.python.trackable")):
        return next((plain for plain in (list, tuple, dict) if isinstance(value, plain)), None)
    return None
