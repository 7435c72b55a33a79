"""One digest for one program: what is computed tells, what it is called does not."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from transferkit.models.program import model_program_digest, program_digest

SPEC = ((None, 8, 8, 3), "float32")


def digest(function, variables=None):
    return program_digest(function, SPEC, variables=variables)


class Factor:
    """Held by layers; nothing of it is in a configuration."""

    value = 2.0


FACTOR = Factor()
EAGER = [tf.constant([1.0, 2, 3]), tf.constant([1.0, 2, 4])]
GLOBAL = 1.5


class Scaled(layers.Layer):
    def call(self, inputs):
        return inputs * FACTOR.value + GLOBAL


def network(*, kernel=3, rate=0.5, seed=1, momentum=0.9, regularizer=None, constraint=None, swap=False, names=None):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 3), name=names and f"{names}_in")
    convolve = layers.Conv2D(
        4, kernel, kernel_regularizer=regularizer, kernel_constraint=constraint, name=names and f"{names}_conv"
    )
    x = layers.BatchNormalization(momentum=momentum, name=names and f"{names}_norm")(convolve(inputs))
    one, two = layers.Dense(4, name=names and f"{names}_a"), layers.Dense(4, name=names and f"{names}_b")
    x = one(two(x)) if swap else two(one(x))
    return keras.Model(inputs, layers.Dropout(rate, seed=3)(x), name=names)


@pytest.mark.parametrize("training", [True, False])
def test_equal_rebuilds_have_one_digest(training):
    found = {model_program_digest(network(names=name), training=training) for name in (None, "a", None, "b")}
    assert len(found) == 1
    assert None not in found


@pytest.mark.slow
def test_two_hundred_equal_rebuilds_have_one_digest():
    def build():
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(2, 3)(inputs)
        return keras.Model(inputs, ops.relu(x) + layers.Dense(2)(x))

    assert len({model_program_digest(build(), training=True) for _ in range(200)}) == 1


@pytest.mark.slow
def test_another_process_finds_the_same_digest(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, keras\n"
        "from keras import layers, ops\n"
        "from transferkit.models.program import model_program_digest\n"
        "for _ in range(int(sys.argv[1])):\n"
        "    layers.Dense(1), layers.Conv2D(1, 1)\n"  # other counters in the names
        "inputs = keras.Input((8, 8, 3))\n"
        "x = layers.Dropout(0.2)(layers.BatchNormalization()(layers.Conv2D(2, 3)(inputs)))\n"
        "x = ops.cond(ops.sum(x) > 0, lambda: x * 2, lambda: x / 2) if sys.argv[2] == 'cond' else x\n"
        "print(model_program_digest(keras.Model(inputs, x), training=True))\n",
        encoding="utf-8",
    )
    found = {
        subprocess.run([sys.executable, str(script), count, "plain"], capture_output=True, text=True, check=True).stdout
        for count in ("0", "3")
    }
    assert len(found) == 1
    assert "None" not in found.pop()


OTHERS = {
    "kernel size": {"kernel": 5},
    "rate": {"rate": 0.25},
    "momentum": {"momentum": 0.5},
    "regularizer": {"regularizer": "l2"},
    "constraint": {"constraint": "non_neg"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_computed_in_training_tells(other):
    assert model_program_digest(network(), training=True) != model_program_digest(network(**other), training=True)


@pytest.mark.parametrize("other", [{"rate": 0.25}, {"momentum": 0.5}, {"regularizer": "l2"}, {"seed": 2}])
def test_what_is_computed_in_training_alone_does_not_tell_in_inference(other):
    assert model_program_digest(network(), training=False) == model_program_digest(network(**other), training=False)


def test_a_trace_leaves_no_losses_behind():
    model = network(regularizer="l2")
    model_program_digest(model, training=True)
    assert [float(loss) >= 0 for loss in model.losses] == [True]


def test_listed_variables_tell_by_place_and_others_by_content():
    model, swapped = network(), network(swap=True)
    assert model_program_digest(model, training=False) == model_program_digest(network(seed=2), training=False)
    assert digest(model) != digest(network(seed=2))
    assert digest(model) == digest(network())
    # The same variables, listed in the other model's order, are used in another order.
    weights = {v.path: v for v in model.variables}
    assert len(weights) == len(model.variables)
    assert digest(model, model.variables) != digest(model, model.variables[::-1])
    assert swapped.count_params() == model.count_params()


PAIRS = {
    "operand order": (lambda x: x - 255.0, lambda x: 255.0 - x),
    "constant": (lambda x: x / 255.0, lambda x: x / 127.5),
    "operator": (lambda x: x * 2.0, lambda x: x**2.0),
    "exponent": (lambda x: x**2.0, lambda x: 2.0**x),
    "where": (lambda x: ops.where(x > 1, x, -x), lambda x: ops.where(x > 1, -x, x)),
    "wiring": (lambda x: ops.relu(x) + ops.relu(-x) * 2, lambda x: ops.relu(x) * 2 + ops.relu(-x)),
    "slice": (lambda x: x[:, 1:], lambda x: x[:, :-1]),
    "axis": (lambda x: ops.sum(x, axis=1), lambda x: ops.sum(x, axis=2)),
    "array": (lambda x: x * np.arange(3, dtype="float32"), lambda x: x * np.arange(3, dtype="float32")[::-1].copy()),
    "eager array": (lambda x: x * EAGER[0], lambda x: x * EAGER[1]),
    "default argument": (lambda x, c=EAGER[0]: x * c, lambda x, c=EAGER[1]: x * c),
    "fixed seed": (lambda x: x * keras.random.uniform((3,), seed=1), lambda x: x * keras.random.uniform((3,), seed=2)),
    "dtype": (
        lambda x: ops.cast(ops.cast(x, "bfloat16"), "float32"),
        lambda x: ops.cast(ops.cast(x, "float16"), "float32"),
    ),
    "branch": (
        lambda x: ops.cond(ops.sum(x) > 0, lambda: x * 2, lambda: x * 3),
        lambda x: ops.cond(ops.sum(x) > 0, lambda: x * 3, lambda: x * 2),
    ),
    "loop": (
        lambda x: ops.fori_loop(0, 3, lambda _, y: y * 2, x),
        lambda x: ops.fori_loop(0, 4, lambda _, y: y * 2, x),
    ),
    "loop body": (
        lambda x: ops.fori_loop(0, 3, lambda _, y: y * 2, x),
        lambda x: ops.fori_loop(0, 3, lambda _, y: y + 2, x),
    ),
    "inner function": (tf.function(lambda x: x * 2 + 1), tf.function(lambda x: (x + 1) * 2)),
    "outputs": (lambda x: (x, x * 2), lambda x: (x * 2, x)),
    "shared or drawn twice": (
        lambda x: next(x + r - r for r in [tf.random.uniform(())]),
        lambda x: x + tf.random.uniform(()) - tf.random.uniform(()),
    ),
    "resizing": (lambda x: ops.image.resize(x, (4, 4)), lambda x: ops.image.resize(x, (4, 4), interpolation="nearest")),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_each_difference_tells_and_each_repetition_does_not(pair):
    one, two = pair
    assert digest(one) is not None
    assert digest(one) == digest(lambda x: one(x))
    assert digest(two) == digest(lambda x: two(x))
    assert digest(one) != digest(two)


def test_order_of_independent_nodes_does_not_tell():
    def left_first(x):
        left = ops.relu(x) * 2
        right = ops.tanh(x) + 1
        return left - right

    def right_first(x):
        right = ops.tanh(x) + 1
        left = ops.relu(x) * 2
        return left - right

    assert digest(left_first) == digest(right_first)


def test_attributes_and_globals_tell(monkeypatch):
    layer = Scaled()
    found = [digest(layer)]
    monkeypatch.setattr(FACTOR, "value", 3.0)
    found.append(digest(layer))
    monkeypatch.setattr(sys.modules[__name__], "GLOBAL", -1.0)
    found.append(digest(layer))
    monkeypatch.setattr(Scaled, "call", lambda self, inputs: inputs)
    found.append(digest(layer))
    assert len(set(found)) == 4


def test_python_code_that_runs_beside_the_program_cannot_be_hashed():
    assert digest(lambda x: tf.numpy_function(lambda y: y * 2, [x], tf.float32)) is None


def test_what_cannot_be_traced_has_no_digest():
    assert digest(lambda x: x.numpy()) is None


def test_tables_have_no_digest():
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2.0]), 0.0)
    assert digest(lambda x: x * table.lookup(tf.constant([1]))) is None
