"""The contract with Keras: each thing that it does not document and that is used, by what it is used for.

If one of these fails after an upgrade of Keras, ``keras_internals.py`` is the one file to change.
"""

import ast
import random
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import transferkit
from transferkit.models import keras_internals as internals

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)


def network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.Add()([x, x * 2.0])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


class Batches(keras.utils.PyDataset):
    ended = 0

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return IMAGES, np.array([0, 1, 2, 0])

    def on_epoch_end(self):
        self.ended += 1


def test_nobody_else_touches_what_keras_does_not_document():
    root = Path(transferkit.__file__).parent
    found = []
    for file in (file for room in ("models", "features", "training", "deploy") for file in (root / room).rglob("*.py")):
        if file.name == "keras_internals.py":
            continue
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "sys")
            own = own or ast.unparse(node.value) == "super()"
            if not own and node.attr != "_replace":  # of named tuples
                found.append((file.name, ast.unparse(node)))
        if "keras.src" in text:
            found.append((file.name, "keras.src"))
    assert found == []


def test_the_graph_of_a_functional_model_can_be_walked_and_run():
    model = network()
    graph = internals.functional_graph(model)
    values = {id(graph.inputs[0]): IMAGES}
    for call in internals.layer_calls(graph):
        assert all(id(symbol) in values for symbol in internals.symbolic_arguments(call.arguments))
        assert [id(s) for s in internals.symbolic_arguments(call.arguments)] == [id(s) for s in call.input_tensors]
        args, kwargs = internals.fill_in(call.arguments, values)
        values[id(call.outputs[0])] = call.operation(*args, **kwargs)
    np.testing.assert_allclose(values[id(graph.outputs[0])], model(IMAGES), rtol=1e-6)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others read batches without tf.data")
def test_what_is_trained_on_waits_for_no_thread_that_tunes_how_it_is_read(monkeypatch, own):
    model, found, given_to_fit = network(), [], []
    if own:
        fit = model.fit
        model.fit = lambda *given, **options: given_to_fit.append(given[0]) or fit(*given, **options)
    strategy = type(model.distribute_strategy)
    plain = strategy.experimental_distribute_dataset
    monkeypatch.setattr(
        strategy, "experimental_distribute_dataset", lambda *given: found.append(given[1]) or plain(*given)
    )
    model.compile(loss="sparse_categorical_crossentropy")
    batches = Batches()
    history = internals.fit_of(model)(batches, validation_data=batches, epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert [data.options().autotune.enabled for data in found] == [False, False]
    assert batches.ended >= 2  # Keras's hooks are called
    assert given_to_fit == [batches] * own
    found.clear()
    model.fit(batches, verbose=0)
    assert [data.options().autotune.enabled for data in found] != [False]  # outside, nothing is changed


def test_a_built_sequential_model_has_a_graph_and_a_subclassed_one_has_none():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    assert internals.functional_graph(keras.Sequential([keras.Input((3,)), layers.Dense(2)])) is not None
    assert internals.functional_graph(keras.Sequential([layers.Dense(2)])) is None
    assert internals.functional_graph(Own()) is None


def test_states_of_random_layers_are_told_from_weights():
    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.generators = [keras.random.SeedGenerator(1, name="mine")]
            self.inner = layers.Dropout(0.5, name="inner")

    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="seed_generator"), layers.BatchNormalization()])
    assert [internals.is_seed_state(variable) for variable in Own().variables] == [True, True]
    assert not any(internals.is_seed_state(variable) for variable in model.variables)


def test_added_losses_can_be_forgotten():
    class Penalised(layers.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.sum(inputs))
            return inputs

    model = keras.Sequential([keras.Input((3,)), Penalised()])
    model(np.ones((1, 3)))
    assert len(model.losses) == 1
    internals.forget_losses(model)
    assert model.losses == []


def test_what_was_given_to_compile_is_kept():
    def metric(y, p):
        return keras.ops.mean(p)

    model = network()
    model.compile("sgd", "mse", metrics=[metric], loss_weights=[0.5])
    assert internals.given_to_compile(model)["metrics"] == [metric]
    assert internals.given_to_compile(model)["loss_weights"] == [0.5]


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss", "accuracy"])
def test_callbacks_that_guess_a_direction_find_the_metrics_before_the_first_batch(monitor):
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    internals.build_metrics(model, IMAGES, np.array([0, 1, 2, 0]))
    stop = keras.callbacks.EarlyStopping(monitor)
    stop.set_model(model)
    stop.on_train_begin()
    stop.on_epoch_end(0, {monitor: 0.5})
    assert stop.best == 0.5


def test_building_metrics_leaves_weights_alone():
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = model.get_weights()
    internals.build_metrics(model, IMAGES, np.array([0, 1, 2, 0]))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(np.all(np.asarray(metric_variable) == 0) for metric_variable in model.metrics_variables)


class TestOverrides:
    def test_keras_models_have_none(self):
        inner = network()
        inputs = keras.Input((8, 8, 3))
        assert internals.overrides(keras.Model(inputs, inner(inputs))) == []
        assert internals.overrides(keras.Sequential([keras.Input((8, 8, 3)), network()])) == []

    @pytest.mark.parametrize(
        "name",
        ["call", "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics", "get_metrics_result"],
    )
    def test_each_is_named(self, name):
        own = type(
            "Own",
            (keras.Model,),
            {name: lambda self, *args, **kwargs: getattr(super(type(self), self), name)(*args, **kwargs)},
        )
        inputs = keras.Input((3,))
        assert internals.overrides(own(inputs, layers.Dense(2)(inputs))) == [name]

    def test_those_of_a_parent_class_and_of_the_object_count(self):
        class Parent(keras.Model):
            def compute_loss(self, *args, **kwargs):
                return super().compute_loss(*args, **kwargs)

        class Child(Parent):
            pass

        inputs = keras.Input((3,))
        assert internals.overrides(Child(inputs, layers.Dense(2)(inputs))) == ["compute_loss"]
        model = keras.Model(inputs, layers.Dense(2)(inputs))
        model.train_step = lambda data: {}
        assert internals.overrides(model) == ["train_step"]

    def test_of_models_inside_only_their_call_counts(self):
        class Own(keras.Model):
            def call(self, inputs, training=None):
                return 2 * super().call(inputs, training=training)

            def train_step(self, data):
                return {}

        inputs, outer = keras.Input((3,)), keras.Input((3,))
        inner = Own(inputs, layers.Dense(3)(inputs), name="inner")
        middle = keras.Sequential([keras.Input((3,)), inner])
        assert internals.overrides(keras.Model(outer, middle(outer))) == ["inner.call"]

    def test_the_call_of_a_subclassed_model_is_its_own(self):
        class Own(keras.Model):
            def call(self, inputs):
                return inputs

        assert internals.overrides(Own()) == ["call"]


def test_names_are_those_of_a_fresh_process():
    assert [internals.automatic_name(cls) for cls in (layers.Conv2D, layers.ReLU, layers.LSTM, layers.Dense)] == [
        "conv2d",
        "re_lu",
        "lstm",
        "dense",
    ]
    keras.utils.clear_session()
    fresh = [layer.name for layer in network().layers]
    model = network()
    assert [layer.name for layer in model.layers] != fresh
    internals.settle_names(model)
    assert [layer.name for layer in model.layers] == fresh


@pytest.mark.parametrize("inner", [True, False])
def test_names_in_inner_models_are_settled_where_that_is_asked_for(inner):
    def build():
        inputs = keras.Input((8, 8, 3))
        stem = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)], name="stem")
        return keras.Model(inputs, stem(inputs), name="nested")

    keras.utils.clear_session()
    fresh = build().to_json()
    model = build()
    internals.settle_names(model, inner=inner)
    assert (model.to_json() == fresh) is inner
    assert model.layers[0].name == "input_layer"


def test_the_call_of_a_layer_can_be_replaced_for_a_while():
    model = network()
    layer, before = model.get_layer("conv"), np.asarray(model(IMAGES))
    config = model.get_config()
    plain = layer.call
    with internals.replaced_call(layer, lambda inputs: plain(inputs) * 0.0):
        assert not np.allclose(model(IMAGES), before)
        assert model.get_config() == config
    np.testing.assert_array_equal(model(IMAGES), before)
    assert "call" not in vars(layer)


def test_every_seed_that_keras_makes_up_is_drawn():
    def draw():
        with internals.drawing_seeds_from(random.Random(3)):
            made = layers.Dense(2), layers.Dropout(0.5), keras.random.SeedGenerator(), keras.initializers.HeNormal()
            made[0].build((None, 2))
            return [
                np.asarray(made[0].kernel).tolist(),
                made[1].seed_generator.state.numpy().tolist(),
                made[2].state.numpy().tolist(),
            ]

    random.seed(1)
    expected = random.random()
    random.seed(1)
    assert draw() == draw()
    assert random.random() == expected


@pytest.mark.parametrize(("module", "names"), internals.serialised_under().items())
def test_built_in_classes_are_still_saved_under_their_inner_modules(module, names):
    for name in names:
        found = keras.src
        for part in module.removeprefix("keras.src.").split("."):
            found = getattr(found, part)
        assert getattr(found, name).__module__ == module


# --- is_plain: Keras alone decides what a layer does ----------------------------------------------------------------------------


class _Own(layers.Layer):
    def call(self, x):
        return x


def test_layers_of_keras_are_plain_and_those_that_hold_foreign_code_are_not():
    plain = [
        layers.Conv2D(2, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Rescaling(0.5),
        layers.Dense(2, kernel_initializer="he_normal", kernel_regularizer="l2"),
        layers.Activation("gelu"),
    ]
    held = [
        _Own(),
        layers.Activation(lambda x: x),
        layers.Dense(2, activation=lambda x: x),
        layers.Lambda(lambda x: x),
        layers.TimeDistributed(layers.Dense(2)),
        layers.Dense(2, activation=layers.Dropout(0.5)),
        network(),
    ]
    assert [internals.is_plain(layer) for layer in plain] == [True] * len(plain)
    assert [internals.is_plain(layer) for layer in held] == [False] * len(held)
    changed = layers.Dense(2)
    changed.call = lambda x: x * 2
    assert not internals.is_plain(changed)
    keras_sum = network().layers[2]
    assert internals.is_plain(keras_sum)


# --- training --------------------------------------------------------------------------------------------------------------------


def compiled(**options):
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", **{"metrics": ["accuracy"], **options})
    return model


LABELS = np.array([0, 1, 2, 0])


def test_compiled_steps_can_be_forgotten():
    model = compiled()
    model.fit(IMAGES, LABELS, verbose=0)
    model.predict(IMAGES, verbose=0)
    layer, before = model.get_layer("conv"), model.predict(IMAGES, verbose=0)
    plain = layer.call
    with internals.replaced_call(layer, lambda inputs: plain(inputs) * 0.0):
        np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), before)  # as compiled
        internals.forget_functions(model)
        assert not np.array_equal(model.predict(IMAGES, verbose=0), before)


def test_a_part_trains_with_the_optimiser_and_metrics_of_the_whole():
    whole = compiled()
    part = keras.Model(whole.inputs, whole.outputs)
    internals.build_metrics(whole, IMAGES, LABELS)
    internals.share_compiled(part, whole)
    part.fit(IMAGES, LABELS, verbose=0)
    assert int(whole.optimizer.iterations) == 1
    assert part.optimizer is whole.optimizer
    assert {metric.name for metric in whole.metrics} >= {"loss"}
    assert whole.get_metrics_result()["accuracy"] == part.get_metrics_result()["accuracy"]


def test_a_monitor_settles_its_direction():
    model = compiled()
    internals.build_metrics(model, IMAGES, LABELS)
    for callback, better in (
        (keras.callbacks.EarlyStopping("val_accuracy"), "greater"),
        (keras.callbacks.ReduceLROnPlateau("val_loss"), "less"),
    ):
        callback.set_model(model)
        internals.settle_monitor(callback)
        assert callback.monitor_op.__name__ == better
    internals.settle_monitor(keras.callbacks.TerminateOnNaN())  # which monitors nothing


def test_backup_and_restore_says_where_to_begin(tmp_path):
    model = compiled()
    assert internals.first_epoch(model) is None
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    model.fit(IMAGES, LABELS, epochs=2, callbacks=[backup], verbose=0)
    again = compiled()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    backup.set_model(again)
    again.optimizer.build(again.trainable_variables)
    backup.on_train_begin()
    assert internals.first_epoch(again) == 2


def test_rates_and_configurations_of_optimisers():
    class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # without get_config
        def __call__(self, step):
            return 0.1

    schedule = Schedule()
    assert internals.rate_of(keras.optimizers.SGD(0.25)) == 0.25
    optimizer = keras.optimizers.Adam(schedule, beta_1=0.5)
    assert internals.rate_of(optimizer) is schedule
    config = internals.optimizer_config(optimizer)
    assert config["learning_rate"] is schedule
    assert config["beta_1"] == 0.5
    assert internals.rate_of(optimizer) is schedule
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5))
    assert internals.rate_of(wrapped) == 0.5
    assert type(internals.inner_optimizer(wrapped)) is keras.optimizers.SGD


OPTIMIZERS = ["SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "Lion", "Adagrad", "Lamb", "Muon"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_moves_a_variable_at_a_part_of_its_rate(name):
    def moved(rate, scales=None):
        pair = [keras.Variable(np.full((3, 4), 2.0, np.float32)), keras.Variable(np.full((3, 4), 2.0, np.float32))]
        optimizer = getattr(keras.optimizers, name)(rate, weight_decay=0.1, use_ema=True)
        optimizer.build(pair)
        held = set(vars(optimizer))
        gradients = [keras.ops.convert_to_tensor(np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4))] * 2
        with nullcontext() if scales is None else internals.scaled_rates(optimizer, scales):
            for _ in range(3):
                optimizer.apply(gradients, pair)
        assert set(vars(optimizer)) - {"_exclude_from_weight_decay_cache"} == held
        return [np.array(variable) for variable in pair]

    whole, part = moved(0.01)[0], moved(0.0025)[0]
    first, second = moved(0.01, [1.0, 0.25])
    np.testing.assert_allclose(first, whole, atol=1e-6)
    np.testing.assert_allclose(second, part, atol=1e-6)
    assert not np.allclose(first, second, atol=1e-5)


def test_an_optimiser_with_loss_scaling_moves_a_variable_at_a_part_of_its_rate():
    pair = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(2, np.float32))]
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=8.0)
    optimizer.build(pair)
    with internals.scaled_rates(optimizer, [1.0, 0.5]):
        optimizer.apply([keras.ops.full((2,), 8.0)] * 2, pair)
    np.testing.assert_allclose([np.array(variable)[0] for variable in pair], [-0.5, -0.25])
