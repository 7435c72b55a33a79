"""Kept features are those of the program that runs: whatever differs in it, and wherever that is written, kept == live."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

import transferkit as tk
from transferkit.features import cache as caches
from transferkit.features.prefix import find_prefix

IMAGES = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 2), dtype=np.uint8)
GLOBAL = [1.0]

pytestmark = pytest.mark.filterwarnings("ignore:.*LiteRT:transferkit.errors.TransferKitWarning")


def network(preprocess, *, seed=0):
    """Return a classifier that changes pixels in some way before a frozen convolution."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((16, 16, 2))
    convolve = layers.Conv2D(3, 3, trainable=False)
    x = layers.GlobalAveragePooling2D(name="pool")(convolve(preprocess(inputs)))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def live(model):
    part = keras.Model(model.inputs, model.get_layer("pool").output)
    return ops.convert_to_numpy(ops.cast(part(IMAGES.astype("float32")), "float32"))


def check_kept_is_live(model, engine="keras"):
    expected = live(model)
    scale = max(1e-30, float(np.abs(expected).max()))
    kept = np.asarray(tk.extract_features(model, IMAGES, engine=engine))
    np.testing.assert_allclose(kept / scale, expected / scale, atol=1e-3)
    return kept


class Own(layers.Layer):
    """A layer whose arithmetic hangs on everything that code can hang on."""

    factor = 1.0

    def __init__(self, offset=0.0, **options):
        super().__init__(**options)
        self.offset = offset

    @property
    def scale(self):
        return 1.0

    @staticmethod
    def shrink(x):
        return x * 1.0

    def helper(self, x, power=1.0):
        return x * power

    def call(self, x):
        return helper_function(self.shrink(self.helper(x)) * self.factor * self.scale + self.offset) * GLOBAL[0]


class Child(Own):
    pass


def helper_function(x, shift=0.0):
    return x + shift


class _Wrapped(Own):
    def call(self, x):
        return -x


def _set(owner, name, value):
    return lambda patch, layer: patch.setattr(owner if owner is not None else layer, name, value)


CHANGES = {
    "attribute set after construction": _set(None, "offset", 3.0),
    "class attribute": _set(Own, "factor", 0.5),
    "class attribute of the child": lambda patch, layer: patch.setattr(type(layer), "factor", 0.5, raising=False),
    "attribute of the object over the class": lambda patch, layer: patch.setattr(layer, "factor", 0.25, raising=False),
    "property": _set(Own, "scale", property(lambda self: 2.0)),
    "static method": _set(Own, "shrink", staticmethod(lambda x: x * 0.5)),
    "method of the parent": _set(Own, "helper", lambda self, x, power=2.0: x * power),
    "default argument of a method": lambda patch, layer: patch.setattr(Own.helper, "__defaults__", (4.0,)),
    "call": _set(Own, "call", lambda self, x: x * 7.0),
    "helper function": lambda patch, layer: patch.setattr(sys.modules[__name__], "helper_function", lambda x: x - 9.0),
    "default argument of a function": lambda patch, layer: patch.setattr(helper_function, "__defaults__", (5.0,)),
    "global": lambda patch, layer: (
        patch.setitem(GLOBAL, 0, 0.5) if isinstance(GLOBAL, dict) else GLOBAL.__setitem__(0, 0.5)
    ),
    "class of the object": lambda patch, layer: patch.setattr(layer, "__class__", _Wrapped),
}


@pytest.mark.parametrize("engine", ["litert", "keras"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_anywhere_in_a_layer_changes_its_features(change, engine, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "GLOBAL", [1.0])
    layer = Child()
    model = network(layer)
    before = check_kept_is_live(model, engine)
    change(monkeypatch, layer)
    assert not np.allclose(check_kept_is_live(model, engine), before)


def _closure(value):
    return lambda x: x * value


class _Held(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


class _Policy(layers.Layer):
    def call(self, x):
        return x / 3.0


class _Loop(layers.Layer):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def call(self, x):
        return ops.fori_loop(0, self.count, lambda _, y: y * 0.9, x)


PAIRS = {
    "order of operands": (lambda x: x - 255.0, lambda x: 255.0 - x),
    "constant": (lambda x: x / 255.0, lambda x: x / 127.5 - 1.0),
    "power": (lambda x: (x / 255.0) ** 2.0, lambda x: (x / 255.0) ** 3.0),
    "base and exponent": (lambda x: (x / 255.0 + 1) ** 2.0, lambda x: 2.0 ** (x / 255.0 + 1)),
    "where": (lambda x: ops.where(x > 100.0, x, 0.0), lambda x: ops.where(x > 100.0, 0.0, x)),
    "condition": (lambda x: ops.where(x > 100.0, x, 0.0), lambda x: ops.where(x > 50.0, x, 0.0)),
    "skip connection": (lambda x: ops.relu(x - 99) + x, lambda x: ops.relu(x - 99) + ops.relu(x - 99)),
    "wiring": (lambda x: layers.Subtract()([x, x * 2]), lambda x: layers.Subtract()([x * 2, x])),
    "channels": (lambda x: x[..., ::-1], lambda x: x + 0.0),
    "window": (lambda x: x[:, 1:, 1:], lambda x: x[:, :-1, :-1]),
    "array": (lambda x: x * np.array([1.0, 2.0], "float32"), lambda x: x * np.array([2.0, 1.0], "float32")),
    "Activation of a closure": (
        lambda x: layers.Activation(_closure(0.5))(x),
        lambda x: layers.Activation(_closure(0.25))(x),
    ),
    "activation of a convolution": (
        lambda x: layers.Conv2D(2, 1, activation=_closure(0.5), trainable=False, kernel_initializer="ones")(x),
        lambda x: layers.Conv2D(2, 1, activation=_closure(0.25), trainable=False, kernel_initializer="ones")(x),
    ),
    "Lambda": (lambda x: layers.Lambda(_closure(0.5))(x), lambda x: layers.Lambda(_closure(0.25))(x)),
    "function held by a layer": (lambda x: _Held(_closure(0.5))(x), lambda x: _Held(_closure(0.25))(x)),
    "fixed seed": (
        lambda x: _Held(lambda y: y * keras.random.uniform((2,), seed=1))(x),
        lambda x: _Held(lambda y: y * keras.random.uniform((2,), seed=2))(x),
    ),
    "dtype policy": (lambda x: _Policy()(x), lambda x: ops.cast(_Policy(dtype="float16")(x), "float32")),
    "length of a loop": (lambda x: _Loop(2)(x), lambda x: _Loop(3)(x)),
    "interpolation": (
        lambda x: layers.Resizing(11, 11)(x),
        lambda x: layers.Resizing(11, 11, interpolation="nearest")(x),
    ),
    "tiny scale": (lambda x: x * 1e-9, lambda x: x * 2e-9),
    "large scale": (lambda x: x * 1e9, lambda x: x * 1.01e9),
}


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_that_differ_in_one_thing_have_their_own_features(pair):
    for preprocess in (*pair, *pair):
        check_kept_is_live(network(preprocess))


@pytest.mark.long
@pytest.mark.parametrize("preprocess", [one for pair in PAIRS.values() for one in pair[:1]], ids=PAIRS)
def test_built_twice_it_is_computed_once(preprocess, monkeypatch):
    first = check_kept_is_live(network(preprocess))
    monkeypatch.setattr(caches, "load_engine", None)  # so that nothing can be computed
    np.testing.assert_array_equal(tk.extract_features(network(preprocess), IMAGES, engine="keras"), first)


# --- graphs and layers that nobody wrote down --------------------------------------------------------------------------------------

UNARY = {
    "relu": ops.relu,
    "tanh": lambda x: ops.tanh(x / 99),
    "flip": lambda x: x[..., ::-1],
    "square": lambda x: x**2.0 / 99,
}
BINARY = {
    "add": ops.add,
    "subtract": ops.subtract,
    "larger": ops.maximum,
    "divide": lambda x, y: x / (ops.abs(y) + 1.0),
    "mix": lambda x, y: ops.where(x > 60.0, x, y),
}
CONSTANTS = st.sampled_from([-2.0, -0.5, 0.25, 1.5, 3.0, 40.0])
PLACES = st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), PLACES),
    st.tuples(st.sampled_from(sorted(BINARY)), PLACES, PLACES),
    st.tuples(st.sampled_from(["times", "plus", "held", "activation", "lambda"]), PLACES, CONSTANTS),
)


def build(steps):
    """Return the graph that a list of steps describes; each reads values made before it."""

    def preprocess(x):
        values = [x]
        for name, *rest in steps:
            read = values[rest[0] % len(values)]
            if name in UNARY:
                values.append(UNARY[name](read))
            elif name in BINARY:
                values.append(BINARY[name](read, values[rest[1] % len(values)]))
            elif name == "times":
                values.append(read * rest[1])
            elif name == "plus":
                values.append(read + rest[1])
            else:
                kind = {"held": _Held, "activation": layers.Activation, "lambda": layers.Lambda}[name]
                values.append(kind(_closure(rest[1]))(read))
        return sum(values[1:], values[-1])

    return network(preprocess)


@st.composite
def variants(draw):
    """Draw a graph and another that differs from it in one step."""
    steps = draw(st.lists(STEPS, min_size=1, max_size=5))
    place = draw(st.integers(0, len(steps) - 1))
    return steps, [*steps[:place], draw(STEPS), *steps[place + 1 :]]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=variants())
def test_any_graph_and_any_change_of_it(pair):
    one, two = (build(steps) for steps in pair)
    check_kept_is_live(one)
    check_kept_is_live(two)
    assert find_prefix(build(pair[0])).digest == find_prefix(one).digest


# --- what does not count -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_hundred_equal_rebuilds_have_one_address():
    assert len({find_prefix(network(lambda x: ops.relu(x - 99.0) + x / 2)).digest for _ in range(200)}) == 1


def test_names_do_not_count_and_loaded_weights_do():
    def make(name, seed):
        inputs = keras.Input((16, 16, 2), name=f"{name}_images")
        x = layers.Conv2D(3, 3, trainable=False, name=name)(inputs)
        model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)), name=f"{name}_model")
        rng = np.random.default_rng(seed)
        model.get_layer(name).set_weights([rng.random(w.shape) for w in model.get_layer(name).get_weights()])
        return find_prefix(model).digest

    assert make("a", 1) == make("b", 1)
    assert make("a", 1) != make("a", 2)


def test_equal_layers_with_swapped_weights_are_others():
    def make(swapped):
        inputs = keras.Input((16, 16, 2))
        first, second = (layers.Conv2D(2, 1, trainable=False) for _ in range(2))
        model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(second(ops.relu(first(inputs))))))
        one, two = ([np.full((1, 1, 2, 2), value), np.zeros(2)] for value in (1.0, -2.0))
        first.set_weights(two if swapped else one)
        second.set_weights(one if swapped else two)
        return find_prefix(model).digest

    assert make(False) != make(True)


@pytest.mark.slow
def test_another_process_finds_the_same_address(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, keras\n"
        "from keras import layers, ops\n"
        "from transferkit.features.prefix import find_prefix\n"
        "[layers.Conv2D(1, 1) for _ in range(int(sys.argv[1]))]\n"
        "inputs = keras.Input((16, 16, 2))\n"
        "x = layers.Conv2D(3, 3, kernel_initializer='ones', trainable=False)(255.0 - inputs)\n"
        "x = layers.Add()([layers.Activation(lambda y: y * 0.5)(x), ops.relu(x)])\n"
        "x = layers.BatchNormalization(trainable=False)(x)\n"
        "print(find_prefix(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))).digest)\n",
        encoding="utf-8",
    )
    found = {
        subprocess.run([sys.executable, str(script), count], capture_output=True, text=True, check=True).stdout
        for count in ("0", "4")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


def test_a_policy_of_lower_precision_has_its_own_features():
    plain = np.array(check_kept_is_live(network(lambda x: x / 255.0)))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(lambda x: x / 255.0)
        kept = np.asarray(tk.extract_features(model, IMAGES))
        expected = live(model)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(kept, expected, rtol=0.05, atol=0.01)
    assert not np.array_equal(kept, plain)


# --- what is frozen -------------------------------------------------------------------------------------------------------------------


class _Noise(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


class _Counting(layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        return x * self.count


class _CountingInPython(layers.Layer):
    calls = 0

    def call(self, x):
        type(self).calls += 1
        return x * float(self.calls)


class _Block(layers.Layer):
    """Without a `training` argument; Keras passes the model's on to the layers inside."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)


class _IgnoresTraining(layers.Layer):
    def call(self, x, training=None):
        return x / 2


class _Differs(layers.Layer):
    def call(self, x, training=None):
        return x / 2 if training else x


DROPOUT = layers.Dropout(0.5)
RANDOM = {
    "random numbers without a training argument": lambda x: _Noise()(x),
    "TensorFlow's random numbers": lambda x: _Held(lambda y: y + tf.random.normal(tf.shape(y)))(x),
    "NumPy's random numbers": lambda x: _Held(lambda y: y * np.random.default_rng().random())(x),
    "unseeded random numbers of Keras": lambda x: _Held(lambda y: y + keras.random.normal(ops.shape(y)))(x),
    "a counter": lambda x: _Counting()(x),
    "a counter in Python": lambda x: _CountingInPython()(x),
    "dropout inside": lambda x: _Block(layers.Dropout(0.5))(x),
    "batch normalisation inside that trains": lambda x: _Block(layers.BatchNormalization(scale=False, center=False))(x),
    "dropout as an activation": lambda x: layers.Activation(lambda y: DROPOUT(y))(x),
    "another value in training": lambda x: _Differs()(x),
    "Python code": lambda x: _Held(
        lambda y: ops.reshape(tf.numpy_function(lambda z: z, [y], tf.float32), (-1, 16, 16, 2))
    )(x),
    "a table": lambda x: _Held(lambda y: y * TABLE.lookup(tf.constant([1])))(x),
    "random numbers in a branch": lambda x: _Held(
        lambda y: ops.cond(ops.sum(y) > 0, lambda: y + tf.random.normal(()), lambda: y)
    )(x),
}
TABLE = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2.0]), 0.0)


@pytest.mark.parametrize("preprocess", RANDOM.values(), ids=RANDOM)
def test_chance_and_state_are_not_frozen(preprocess):
    with pytest.raises(tk.errors.InvalidInputError, match="no features to extract"):
        tk.extract_features(network(preprocess), IMAGES)


FIXED = {
    "a fixed seed": lambda x: _Held(lambda y: y * keras.random.uniform((2,), seed=1))(x),
    "dropout of rate 0": lambda x: layers.Dropout(0.0)(x),
    "an unused training argument": lambda x: _IgnoresTraining()(x),
    "resizing": lambda x: layers.CenterCrop(8, 8)(layers.Resizing(12, 12)(x)),
    "a block of frozen layers": lambda x: _Block(layers.Conv2D(2, 1, trainable=False))(x),
    "frozen batch normalisation inside": lambda x: _Block(layers.BatchNormalization(trainable=False))(x),
}


@pytest.mark.parametrize("preprocess", FIXED.values(), ids=FIXED)
def test_what_is_the_same_each_time_is_frozen(preprocess):
    check_kept_is_live(network(preprocess))


def test_what_reads_a_weight_that_trains_is_not_frozen():
    inputs = keras.Input((16, 16, 2))
    head = layers.Dense(2)
    head.build((None, 3))
    borrowed = _Held(lambda x: x * ops.sum(head.kernel))
    borrowed._tracker.unlock()  # only so that the test can be written: nothing else tells of the loan
    x = layers.Conv2D(3, 3, trainable=False)(borrowed(inputs))
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(tk.errors.InvalidInputError, match="no features to extract"):
        tk.extract_features(model, IMAGES)


@pytest.mark.parametrize("name", ["call", "train_step", "compute_loss", "compute_metrics", "test_step", "predict_step"])
def test_a_model_with_code_of_its_own_is_left_whole(name):
    cls = type("Mine", (keras.Model,), {name: lambda self, *a, **k: getattr(super(cls, self), name)(*a, **k)})
    inputs = keras.Input((16, 16, 2))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, trainable=False)(inputs))
    with pytest.raises(tk.errors.InvalidInputError, match=name):
        tk.extract_features(cls(inputs, layers.Dense(2)(x)), IMAGES)


def test_a_nested_model_with_a_call_of_its_own_is_named():
    class Mine(keras.Model):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs, training=training)

    inputs, outer = keras.Input((16, 16, 2)), keras.Input((16, 16, 2))
    inner = Mine(inputs, layers.Conv2D(3, 3)(inputs), name="inner")
    inner.trainable = False
    model = keras.Model(outer, layers.Dense(2)(layers.Flatten()(inner(outer))))
    with pytest.raises(tk.errors.InvalidInputError, match=r"inner\.call"):
        tk.extract_features(model, IMAGES)


def test_weights_of_the_frozen_part_have_a_digest_that_follows_them():
    model = network(lambda x: _Block(layers.BatchNormalization(trainable=False))(x))
    prefix = find_prefix(model)
    before = prefix.weights_digest()
    assert prefix.weights_digest() == before
    model.layers[-1].set_weights([w + 1 for w in model.layers[-1].get_weights()])
    assert prefix.weights_digest() == before
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    layer.set_weights([w + 1 for w in layer.get_weights()])
    assert prefix.weights_digest() != before


def test_address_is_a_plain_sha256():
    digest = find_prefix(network(lambda x: x)).digest
    assert len(digest) == 64
    assert math.isfinite(int(digest, 16) / 2**256)
