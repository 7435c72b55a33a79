"""Digests of values: equal for what is equal, different for what is not, in every process."""

import functools
import importlib
import subprocess
import sys
import tempfile
import threading
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import loguniform

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
    "make",
    [threading.Lock, lambda: (n for n in range(3)), tempfile.TemporaryFile, lambda: tf.data.Dataset.range(3)],
    ids=["lock", "generator", "file", "pipeline"],
)
def test_what_has_no_value_is_named(make):
    held = make()
    with pytest.raises(UnidentifiedError, match="an object of class"):
        value_digest(OwnCallback(held))
    getattr(held, "close", lambda: None)()


@pytest.mark.slow
def test_other_processes_find_the_same():
    code = (
        "from transferkit.training.values import value_digest as d\n"
        "def make(g):\n    def f(y, p, *, k={'b', 'a', 'c'}):\n        return g * (y - p)\n    return f\n"
        "def even(n):\n    return n == 0 or odd(n - 1)\n"
        "def odd(n):\n    return n != 0 and even(n - 1)\n"
        "def both(n):\n    return even(n), odd(n)\n"
        "print(d(make(2.0)), d({'x', 'y', 'z'}), d(__import__('keras').callbacks.EarlyStopping(patience=3)), d(both))"
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


class Counts(keras.metrics.Metric):
    def __init__(self, threshold=0.5):
        super().__init__(name="counts")
        self.threshold = threshold
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(1.0)


def test_what_an_own_metric_has_counted_is_no_setting():
    used = Counts()
    used.update_state(0, 0)
    assert value_digest(used) == value_digest(Counts())
    assert value_digest(used) != value_digest(Counts(0.6))


def _module(name, **held):
    module = types.ModuleType(name)
    vars(module).update(held)
    return module


def from_inside(epoch):
    return outer.inner.rate()  # noqa: F821 - set by the test


def from_import(epoch):
    from outer.inner import rate

    return rate()


@pytest.mark.parametrize("function", [from_inside, from_import])
def test_modules_of_ones_own_count_wherever_they_are_imported(monkeypatch, function):
    def edited(value):
        inner = _module("outer.inner", rate=lambda: value)
        outer = _module("outer", inner=inner, read=from_inside)
        monkeypatch.setitem(sys.modules, "outer", outer)
        monkeypatch.setitem(sys.modules, "outer.inner", inner)
        monkeypatch.setitem(globals(), "outer", outer)
        return value_digest(CALLBACKS.LearningRateScheduler(function))

    assert edited(1.0) == edited(1.0) != edited(2.0)


def test_functions_that_others_wrap_count():
    def cached(value):
        return functools.lru_cache(scaled(value))

    def traced(value):
        return tf.function(scaled(value))

    for wrap in (cached, traced):
        used = wrap(1.0)
        used(tf.constant(1.0), tf.constant(2.0)) if wrap is traced else used(1.0, 2.0)
        assert value_digest(used) == value_digest(wrap(1.0)) != value_digest(wrap(2.0))


def test_distributions_of_scipy_are_their_settings():
    digest = value_digest(loguniform(0.1, 1.0))
    np.random.random()  # noqa: NPY002 - the global generator is meant
    assert digest == value_digest(loguniform(0.1, 1.0)) != value_digest(loguniform(0.2, 1.0))


def test_weight_decay_that_leaves_variables_out_counts():
    def without(*names):
        optimizer = keras.optimizers.AdamW(0.1)
        optimizer.exclude_from_weight_decay(var_names=names)
        return optimizer

    assert value_digest(without("bias", "gamma")) == value_digest(without("gamma", "bias")) != value_digest(without())
    single = keras.optimizers.AdamW(0.1)
    single.exclude_from_weight_decay(var_list=[keras.Variable(1.0)])
    with pytest.raises(UnidentifiedError, match="AdamW"):
        value_digest(single)


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages", "own"])
def test_what_any_folder_of_packages_holds_is_its_name_there(folder, tmp_path, monkeypatch):
    name = f"module_in_{folder[:4]}"
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f"{name}.py").write_text("FACTOR = 1.0\ndef scaled(x): return x * FACTOR\n")
    monkeypatch.syspath_prepend(tmp_path / folder)
    module = importlib.import_module(name)
    before = value_digest(module.scaled)
    module.FACTOR = 2.0
    assert (value_digest(module.scaled) == before) == (folder != "own")
    del sys.modules[name]
