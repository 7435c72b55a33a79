"""Digests of values: equal for what is equal, different for what is not, in every process."""

import functools
import subprocess
import sys
import tempfile
import threading

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.training.values import UnidentifiedError, value_digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.integers()),
    max_leaves=8,
)
FACTOR = 1.0


def scaled(gamma):
    def loss(y, p):
        return gamma * (y - p)

    return loss


def reads_a_global(x):
    return x * FACTOR


class Own:
    rate = 1.0

    def __init__(self, value=0):
        self.value = value

    def call(self, x):
        return x + self.value


class OwnLoss(keras.losses.Loss):
    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def call(self, y, p):
        return self.weights * (y - p)


class OwnOptimizer(keras.optimizers.SGD):
    def __init__(self, rate, factor):
        super().__init__(rate)
        self.factor = factor


class OwnSchedule(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate


class OwnCallback(keras.callbacks.Callback):
    def __init__(self, setting):
        super().__init__()
        self.setting = setting


CALLBACKS, SCHEDULES = keras.callbacks, keras.optimizers.schedules
# What makes an object, and two settings that must be told apart.
MADE = {
    "closure": (scaled, 0.0, 8.0),
    "default": (lambda value: lambda x, y=value: x + y, 1, 2),
    "partial": (lambda value: functools.partial(scaled(1.0), p=value), 1, 2),
    "object": (Own, 1, 2),
    "bound method": (lambda value: Own(value).call, 1, 2),
    "array": (np.float32, 1.0, 2.0),
    "dtype": (lambda value: np.zeros(3, value), np.float32, np.float64),
    "class body": (lambda value: type("Made", (Own,), {"rate": value}), 1, 2),
    "loss": (OwnLoss, 1.0, 2.0),
    "array in a loss": (lambda value: OwnLoss(np.full(3, value)), 1.0, 2.0),
    "built-in loss": (lambda value: keras.losses.CategoricalFocalCrossentropy(gamma=value), 1.0, 2.0),
    "function in a metric": (lambda value: keras.metrics.MeanMetricWrapper(scaled(value)), 1.0, 2.0),
    "optimiser": (lambda value: keras.optimizers.SGD(0.1, momentum=value), 0.1, 0.2),
    "rate": (keras.optimizers.AdamW, 0.1, 0.2),
    "schedule": (lambda value: keras.optimizers.SGD(SCHEDULES.CosineDecay(0.1, value)), 10, 20),
    "own schedule": (lambda value: keras.optimizers.SGD(OwnSchedule(value)), 0.1, 0.2),
    "own optimiser": (lambda value: OwnOptimizer(0.1, value), 1, 2),
    "patience": (lambda value: CALLBACKS.EarlyStopping("val_loss", patience=value), 1, 50),
    "plateau": (lambda value: CALLBACKS.ReduceLROnPlateau(factor=value), 0.1, 0.5),
    "scheduler": (lambda value: CALLBACKS.LearningRateScheduler(lambda epoch: value), 0.1, 0.2),
    "lambda callback": (lambda value: CALLBACKS.LambdaCallback(on_epoch_end=lambda e, logs: value), 1, 2),
    "own callback": (OwnCallback, 1, [1]),
}


@pytest.mark.parametrize("kind", MADE)
def test_settings_are_told_apart_and_equal_ones_are_one(kind):
    make, one, other = MADE[kind]
    assert value_digest(make(one)) == value_digest(make(one))
    assert value_digest(make(one)) != value_digest(make(other))


@given(PLAIN, PLAIN)
def test_plain_values_are_told_apart_as_their_texts_are(a, b):
    if value_digest(a) == value_digest(b):
        assert repr(_sorted(a)) == repr(_sorted(b))
    assert value_digest(a) == value_digest(a)


def _sorted(value):
    """Return a value with what has no order in one."""
    if isinstance(value, dict):
        return sorted((repr(key), _sorted(item)) for key, item in value.items())
    if isinstance(value, frozenset):
        return sorted(value)
    return type(value)(_sorted(item) for item in value) if isinstance(value, list | tuple) else value


@given(st.lists(st.integers(), unique=True))
def test_order_counts_where_there_is_one(values):
    assert value_digest(dict.fromkeys(values)) == value_digest(dict.fromkeys(reversed(values)))
    if len(values) > 1:
        assert value_digest(values) != value_digest(list(reversed(values)))


def test_globals_that_a_function_reads_count(monkeypatch):
    before = value_digest(reads_a_global)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert value_digest(reads_a_global) != before


def test_parent_class_and_what_is_set_afterwards_count(monkeypatch):
    class Child(Own):
        pass

    before = value_digest(Child())
    monkeypatch.setattr(Own, "rate", 2.0)
    assert value_digest(Child()) != before
    child = Child()
    child.value = 5
    assert value_digest(child) != value_digest(Child())


def test_state_of_a_used_object_of_keras_counts_nothing():
    variable = keras.Variable(np.ones(3))
    for make in (lambda: keras.optimizers.Adam(0.1), lambda: OwnOptimizer(0.1, 2)):
        used = make()
        used.build([variable])
        used.apply([keras.ops.ones(3)], [variable])
        assert value_digest(used) == value_digest(make())
    stop = CALLBACKS.EarlyStopping("val_loss", min_delta=0.1)
    before = value_digest(stop)
    stop.set_model(keras.Sequential())
    stop.on_train_begin()
    stop.on_epoch_end(0, {"val_loss": 1.0})
    assert value_digest(stop) == before


def test_cycles_end():
    loop = [1]
    loop.append(loop)

    def recursive(n):
        return recursive(n - 1) if n else 0

    assert len(value_digest(loop)) == len(value_digest(recursive)) == 64


@pytest.mark.parametrize(
    "make", [threading.Lock, lambda: (n for n in range(3)), tempfile.TemporaryFile], ids=["lock", "generator", "file"]
)
def test_what_has_no_value_is_named(make):
    held = make()
    with pytest.raises(UnidentifiedError, match=type(held).__name__):
        value_digest(OwnCallback(held))
    getattr(held, "close", lambda: None)()


@pytest.mark.slow
def test_other_processes_find_the_same():
    code = (
        "from transferkit.training.values import value_digest as d\n"
        "def make(g):\n    def f(y, p, *, k={'b', 'a', 'c'}):\n        return g * (y - p)\n    return f\n"
        "print(d(make(2.0)), d({'x', 'y', 'z'}), d(__import__('keras').callbacks.EarlyStopping(patience=3)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
