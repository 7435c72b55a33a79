"""A run is found again by what was executed, and never by another model, loss or option."""

import itertools
import operator

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

import transferkit as tk
from transferkit.errors import RunError
from transferkit.training.identity import identify_network, probe_network, same_probe

OPTIONS = {"epochs": 1, "name": "run", "batch_size": 32, "verbose": False}
HELPER = 1.0


class Own(layers.Layer):
    rate = 2.0

    def __init__(self, value=1.0, **options):
        super().__init__(**options)
        self.value = value

    def call(self, x):
        return x * self.value * self.rate


class ReadsGlobal(layers.Layer):
    def call(self, x):
        return x * HELPER


def closed(value):
    return lambda x: ops.maximum(x - value, 0.0)


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": lambda a, b: a / (b + 0.5)}
# Ways from pixels to what the convolution sees; each is a program of its own.
STEPS = {
    "scale": lambda x: x / 255.0,
    "scale more": lambda x: x / 127.0,
    "minus": lambda x: x - 255.0,
    "minus turned": lambda x: 255.0 - x,
    "power": lambda x: (x / 255.0) ** 2,
    "where": lambda x: ops.where(x > 128.0, x, 0.0) / 255.0,
    "where turned": lambda x: ops.where(x > 128.0, 0.0, x) / 255.0,
    "skip": lambda x: x / 255.0 + ops.flip(x, axis=1) / 255.0,
    "skip turned": lambda x: x / 255.0 - ops.flip(x, axis=1) / 255.0,
    "own": lambda x: Own(1 / 255)(x),
    "own, other value": lambda x: Own(1 / 127)(x),
    "activation": lambda x: layers.Activation(closed(10.0))(x),
    "activation, other closure": lambda x: layers.Activation(closed(20.0))(x),
    "lambda": lambda x: layers.Lambda(lambda y: y * 3.0)(x),
    "lambda, other constant": lambda x: layers.Lambda(lambda y: y * 4.0)(x),
    "bfloat16": lambda x: layers.Rescaling(1 / 255, dtype="mixed_bfloat16")(x),
    "rescaling": lambda x: layers.Rescaling(1 / 255)(x),
    "fixed noise": lambda x: layers.Lambda(lambda y: y + keras.random.normal((1,), seed=1))(x),
    "other noise": lambda x: layers.Lambda(lambda y: y + keras.random.normal((1,), seed=2))(x),
    "penalty": lambda x: layers.ActivityRegularization(l2=0.1)(x),
    "more penalty": lambda x: layers.ActivityRegularization(l2=0.2)(x),
    "dropout": lambda x: layers.Dropout(0.1, seed=1)(x),
    "more dropout": lambda x: layers.Dropout(0.2, seed=1)(x),
}


def build(step, *, loss="sparse_categorical_crossentropy", constraint=None, regularizer=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, strides=4, activation="relu", dtype="float32")(STEPS[step](inputs))
    dense = layers.Dense(10, activation="softmax", kernel_constraint=constraint, kernel_regularizer=regularizer)
    model = keras.Model(inputs, dense(layers.Flatten()(x)))
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy"])
    return model


def identity(model, data):
    return identify_network(model, data, recipe={}, settings={}, callbacks=(), seed=0)


@pytest.mark.long
def test_every_program_is_told_from_every_other_and_found_again(digits):
    data = digits.subset(3)
    keys = {step: identity(build(step), data).key for step in STEPS}
    for one, other in itertools.combinations(STEPS, 2):
        assert keys[one] != keys[other], f"{one} and {other}"
    for step in STEPS:
        assert identity(build(step), data).key == keys[step], step


@pytest.mark.long
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("+-*/"), st.sampled_from([1.0, 2.0, 255.0]), st.booleans()), min_size=1, max_size=4
    ),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_drawn_programs_that_differ_in_one_thing_differ(digits, program, place, what):
    place %= len(program)
    sign, constant, turned = program[place]
    change = [
        (sign, constant * 3.0, turned),
        ("+" if sign != "+" else "*", constant, turned),
        (sign, constant, not turned),
    ]
    other = [*program[:place], change[what], *program[place + 1 :]]
    same = what == 2 and sign in "+*"

    def make(steps):
        def run(x):
            for sign, constant, turned in steps:
                a, b = (constant, x) if turned else (x, constant)
                x = OPERATORS[sign](a, b)
            return x

        return run

    data = digits.subset(3)
    keys = []
    for steps in (program, other, program):
        STEPS["drawn"] = make(steps)
        keys.append(identity(build("drawn"), data).key)
    del STEPS["drawn"]
    assert keys[0] == keys[2]
    if not same:
        assert keys[0] != keys[1]


def test_loss_weights_constraints_regularisers_and_flags_count(digits):
    data = digits.subset(3)
    made = [
        build("scale"),
        build("scale", loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum")),
        build("scale", loss=lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p) * 2.0),
        build("scale", constraint="non_neg"),
        build("scale", constraint=keras.constraints.MaxNorm(1.0)),
        build("scale", regularizer="l2"),
    ]
    frozen = build("scale")
    frozen.layers[-1].trainable = False
    weighted = build("scale")
    weighted.compile(
        keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", loss_weights=[2.0], metrics=["accuracy"]
    )
    trained = build("scale")
    trained.layers[-1].set_weights([w + 1.0 for w in trained.layers[-1].get_weights()])
    keys = [identity(model, data).key for model in (*made, frozen, weighted, trained)]
    assert len(set(keys)) == len(keys)


def test_globals_and_class_attributes_of_own_layers_count(digits, monkeypatch):
    data = digits.subset(3)
    STEPS["reads"] = lambda x: ReadsGlobal()(x)
    before = [identity(build(step), data).key for step in ("reads", "own")]
    monkeypatch.setitem(globals(), "HELPER", 2.0)
    monkeypatch.setattr(Own, "rate", 3.0)
    after = [identity(build(step), data).key for step in ("reads", "own")]
    del STEPS["reads"]
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("one", "other"),
    [("minus", "minus turned"), ("own", "own, other value"), ("activation", "activation, other closure")],
)
def test_the_run_of_another_model_is_never_returned(digits, tmp_path, one, other):
    data = digits.subset(3)
    first = tk.train(build(one), data, folder=tmp_path, **OPTIONS)
    with pytest.raises(RunError, match="another model"):
        tk.train(build(other), data, folder=tmp_path, **OPTIONS)
    assert tk.train(build(one), data, folder=tmp_path, **OPTIONS).created == first.created


@pytest.mark.long
def test_a_probe_tells_what_no_description_could(digits, tmp_path):
    data = digits.subset(3)
    model = build("scale", loss=lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p) * keras.hidden_factor)
    keras.hidden_factor = 1.0
    try:
        tk.train(model, data, folder=tmp_path, **OPTIONS)
        keras.hidden_factor = 3.0  # an attribute of an installed package, which counts by its name alone
        model = build(
            "scale", loss=lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p) * keras.hidden_factor
        )
        with pytest.raises(RunError):
            tk.train(model, data, folder=tmp_path, **OPTIONS)
    finally:
        del keras.hidden_factor


def test_probes_repeat_and_leave_the_model_alone(digits):
    model = build("dropout")
    before = [array.copy() for array in model.get_weights()]
    probes = [probe_network(model, digits, seed=0, one_hot=False) for _ in range(2)]
    assert same_probe(*probes)
    assert probes[0]["loss"] == pytest.approx(probes[1]["loss"], rel=1e-5)
    for one, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, now)
    other = probe_network(build("scale more"), digits, seed=0, one_hot=False)
    assert not same_probe(probes[0], other)


class Careful(keras.Model):
    def compute_loss(self, *args, **options):
        return super().compute_loss(*args, **options) * self._share


@pytest.mark.long
def test_a_model_of_ones_own_class_is_found_again_when_it_is_built_anew(digits, tmp_path):
    def make(share):
        plain = build("scale")
        model = Careful(plain.inputs, plain.outputs)  # whose layers have other automatic names each time
        model._share = share
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    data = digits.subset(3)
    first = tk.train(make(0.5), data, folder=tmp_path, **OPTIONS)
    assert tk.train(make(0.5), data, folder=tmp_path, **OPTIONS).created == first.created
    used = make(0.5)
    used.fit(data.train.images, data.train.labels, verbose=0)
    assert identity(used, data).parts["code of its own"] == identity(make(0.5), data).parts["code of its own"]
    assert identity(make(0.6), data).parts["code of its own"] != identity(make(0.5), data).parts["code of its own"]
