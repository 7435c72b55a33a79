"""A user's own Keras code is trained as it is, and every result is that of plain Keras."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

import transferkit as tk
from transferkit.errors import DataError, InvalidInputError, TransferKitError, TransferKitWarning

QUIET = {"verbose": False, "batch_size": 32}


def by_hand(
    digits, *, cls=keras.Model, base_cls=keras.Model, loss="sparse_categorical_crossentropy", freeze=True, rate=0.1
):
    """Return Keras's transfer-learning guide in small: a nested, frozen convolution, pooled, and a new softmax layer."""
    keras.utils.set_random_seed(0)
    base_input = keras.Input((16, 16, 1))
    base = base_cls(base_input, layers.Conv2D(6, 3, strides=2, activation="relu")(base_input))
    base.trainable = not freeze
    inputs = keras.Input((16, 16, 1))
    x = layers.GlobalMaxPooling2D()(base(layers.Rescaling(1 / 255)(inputs), training=False))
    model = cls(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


class HalfLoss(keras.Model):
    def compute_loss(self, *args, **options):
        return super().compute_loss(*args, **options) * 0.0


class Stands(keras.Model):
    def train_step(self, data):
        x, y = data
        predicted = self(x, training=True)
        loss = self.compute_loss(x, y, predicted)
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y, predicted)


class Twice(keras.Model):
    def call(self, inputs, training=None, mask=None):
        first = super().call(inputs, training=training)
        return ops.flip(first, axis=-1)


class SharpPredictions(keras.Model):
    def predict_step(self, data):
        found = super().predict_step(data) ** 4
        return found / ops.sum(found, axis=-1, keepdims=True)


class OwnMetrics(keras.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred, sample_weight) | {"constant": 42.0}


@pytest.mark.long
@pytest.mark.parametrize("engine", ["auto", "plain"])
@pytest.mark.parametrize("cls", [HalfLoss, Stands])
def test_own_training_step_and_loss_are_run(digits, cls, engine):
    model = by_hand(digits, cls=cls)
    before = model.layers[-1].get_weights()[0].copy()
    run = tk.train(model, digits.subset(10), epochs=1, engine=engine, **QUIET)
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], before)
    assert run.model_info["own_code"] == ["compute_loss" if cls is HalfLoss else "train_step"]
    assert run.phases[0]["engine"].startswith("plain")


@pytest.mark.long
@pytest.mark.parametrize("cls", [Twice, SharpPredictions, OwnMetrics])
def test_probabilities_are_those_of_predict(digits, cls):
    data = digits.subset(10)
    model = by_hand(digits, cls=cls)
    run = tk.train(model, data, epochs=1, **QUIET)
    expected = model.predict(data.test.images, verbose=0)
    np.testing.assert_allclose(run.test_probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(tk.evaluate(model, data.test).probabilities, expected, atol=1e-5)
    if cls is OwnMetrics:
        assert run.history[0]["constant"] == 42.0


def test_own_call_of_a_nested_model_is_run(digits):
    class Negated(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return -super().call(inputs, training=training)

    data = digits.subset(10)
    model = by_hand(digits, base_cls=Negated)
    run = tk.train(model, data, epochs=1, **QUIET)
    np.testing.assert_allclose(run.test_probabilities, model.predict(data.test.images, verbose=0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        keras.losses.CategoricalFocalCrossentropy(),
        keras.losses.KLDivergence(),
        keras.losses.MeanSquaredError(),
        functools.partial(lambda y, p, k: k * keras.losses.sparse_categorical_crossentropy(y, p), k=2.0),
        lambda y, p: -ops.sum(y * ops.log(p + 1e-7), axis=-1),
        lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p),
    ],
    ids=["categorical", "focal", "kl", "mse", "partial", "own rows", "own indices"],
)
def test_losses_of_indices_and_of_rows_train(digits, loss):
    model = by_hand(digits, loss=loss, freeze=False)
    model.optimizer.learning_rate = 0.5
    run = tk.train(model, digits, epochs=3, batch_size=16, verbose=False)
    losses = [row["loss"] for row in run.history]
    assert losses[-1] < losses[0]
    assert 0.0 < run.history[-1]["val_accuracy"] <= 1.0


def test_losses_layers_and_schedules_without_a_configuration_train_and_are_kept(digits, tmp_path):
    class Scale(layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = np.float32(factor)

        def call(self, x):
            return x * self.factor

    class Steady(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate

    class Doubled(keras.losses.Loss):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, y, p):
            return self.factor * keras.losses.sparse_categorical_crossentropy(y, p)

    def build(factor=2.0):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((16, 16, 1))
        x = layers.GlobalMaxPooling2D()(layers.Conv2D(6, 3)(Scale(1 / 255)(inputs)))
        model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
        model.compile(keras.optimizers.SGD(Steady(0.1)), Doubled(factor), metrics=["accuracy"])
        return model

    data, options = digits.subset(10), {"epochs": 2, "name": "own", "folder": tmp_path, **QUIET}
    run = tk.train(build(), data, **options)
    again = tk.train(build(), data, **options)
    assert again.created == run.created  # identified by value
    with pytest.raises(tk.errors.RunError, match="another loss"):
        tk.train(build(3.0), data, **options)


class RandomLayer(layers.Layer):
    def call(self, x):
        return x + keras.random.normal((1,), seed=self.generator)

    def build(self, shape):
        self.generator = keras.random.SeedGenerator(0)


class Counter(layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        return x + 0.0 * self.count


@pytest.mark.long
@pytest.mark.parametrize("layer", [RandomLayer, Counter])
def test_what_is_random_or_keeps_state_is_not_frozen(digits, layer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    frozen = layers.Conv2D(6, 3)
    frozen.trainable = False
    x = layers.GlobalMaxPooling2D()(frozen(layer()(layers.Rescaling(1 / 255)(inputs))))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = tk.train(model, digits.subset(5), epochs=1, **QUIET)
    assert run.phases[0]["engine"].startswith("plain")


def test_averaged_weights_are_validated_chosen_and_reported(digits):
    def build():
        keras.utils.set_random_seed(0)
        model = by_hand(digits, freeze=False)
        optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    model = build()
    run = tk.train(model, digits, epochs=3, engine="plain", **QUIET)
    validated = tk.evaluate(model, digits.validation).metrics
    best = run.history[run.selected_epoch - 1]
    assert validated["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert validated["loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert run.metrics["accuracy"] == pytest.approx(tk.evaluate(model, digits.test).metrics["accuracy"])


def test_a_model_with_a_compile_of_its_own_trains(digits):
    class Distiller(keras.Model):
        def compile(self, optimizer, student_loss, **options):
            super().compile(optimizer=optimizer, metrics=["accuracy"], **options)
            self.student_loss = student_loss

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ops.mean(self.student_loss(y, y_pred))

    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(6, 3)(layers.Rescaling(1 / 255)(inputs)))
    model = Distiller(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.SGD(1.0), student_loss=keras.losses.sparse_categorical_crossentropy)
    before = model.layers[-1].get_weights()[0].copy()
    run = tk.train(model, digits.subset(10), epochs=2, **QUIET)
    assert np.abs(model.layers[-1].get_weights()[0] - before).max() > 0.01
    assert run.model_info["own_code"] == ["compute_loss"]


def test_a_model_of_several_outputs_is_refused_before_any_work(digits):
    inputs = keras.Input((16, 16, 1))
    x = layers.Flatten()(inputs)
    model = keras.Model(inputs, [layers.Dense(10, activation="softmax")(x), layers.Dense(2)(x)])
    model.compile("sgd", loss=["sparse_categorical_crossentropy", "mse"])
    with pytest.raises((InvalidInputError, DataError), match="output"):
        tk.train(model, digits, epochs=1, **QUIET)


def test_a_callback_that_changes_frozen_weights_is_noticed(digits):
    class Changer(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            convolution = self.model.layers[2].layers[1]
            convolution.set_weights([w + 0.1 for w in convolution.get_weights()])

    with pytest.raises(TransferKitError, match="engine='plain'"):
        tk.train(by_hand(digits), digits.subset(10), epochs=2, callbacks=[Changer()], **QUIET)
    tk.train(by_hand(digits), digits.subset(10), epochs=2, callbacks=[Changer()], engine="plain", **QUIET)


class AddsAColumn(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["mine"] = 1.0 + epoch


def test_numbers_that_callbacks_add_are_recorded(digits):
    run = tk.train(by_hand(digits), digits.subset(5), epochs=2, callbacks=[AddsAColumn()], **QUIET)
    assert [row["mine"] for row in run.history] == [1.0, 2.0]


@pytest.mark.long
def test_a_model_in_bfloat16_trains_and_goes_on_from_its_checkpoint(digits, tmp_path, cut_after):
    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((16, 16, 1))
        x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
        x = layers.Dense(8, activation="relu", dtype="bfloat16")(x)
        model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    saved = cut_after(2, OSError)
    data = digits.subset(10)
    with pytest.raises(OSError):  # noqa: PT011 - from the disk
        tk.train(make(), data, epochs=3, folder=tmp_path, name="half", **QUIET)
    run = tk.train(make(), data, epochs=3, folder=tmp_path, name="half", **QUIET)
    assert saved[:3] == [1, 2, 3]
    whole = tk.train(make(), data, epochs=3, engine="plain", **QUIET)
    np.testing.assert_allclose(run.test_probabilities, whole.test_probabilities, atol=1e-5)


class OwnStep(keras.Model):
    """Trains with a loss and metrics of its own, as a guide of Keras shows it; validation is that of Keras, which knows neither."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.seen = keras.metrics.Mean(name="loss")

    def train_step(self, data):
        import tensorflow as tf

        images, labels = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, self(images, training=True)))
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        self.seen.update_state(loss)
        return {"loss": self.seen.result()}

    @property
    def metrics(self):
        return [self.seen]


def own_step():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    model = OwnStep(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    return model


def test_of_epochs_between_which_validation_cannot_tell_the_last_counts(digits):
    run = tk.train(own_step(), digits.subset(20), epochs=4, **QUIET)
    assert run.selected_epoch == 4


def test_learning_rates_are_tried_with_a_training_step_of_ones_own(digits):
    found = tk.find_learning_rate(own_step(), digits, steps=20)
    assert found.table["loss"].iloc[0] == pytest.approx(2.4, abs=0.5)


class Part(layers.Layer):
    """A layer that holds others."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = layers.Dense(8, activation="relu"), layers.Dense(8, activation="relu")
        self.norm, self.noise = layers.BatchNormalization(momentum=0.9), layers.Dropout(0.5)

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], 8))
        self.norm.build((*shape[:-1], 8))
        self.built = True

    def call(self, x, training=None):
        return self.noise(self.norm(self.second(self.first(x)), training=training), training=training)


def test_batch_normalisation_and_dropout_inside_of_a_layer_are_found(digits):
    inputs = keras.Input((16, 16, 1))
    part = Part(name="part")
    backbone = keras.Model(inputs, part(layers.Flatten()(inputs)))
    model = tk.build_transfer_model(
        backbone, input_shape=(16, 16, 1), image_size=16, preprocessing="none", batch_norm_momentum=0.5
    )
    inside = model.get_layer("backbone").get_layer("part")
    assert inside.norm.momentum == 0.5
    assert inside.noise.rate == 0
    before = inside.norm.get_weights()
    tk.fine_tune(model, digits.subset(10), epochs=1, batch_norm=False, **QUIET)
    for old, new in zip(before, inside.norm.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fine_tuning_does_not_call_a_compile_of_ones_own(digits):
    class Compiled(keras.Model):
        def compile(self, optimizer, loss_fn):
            super().compile(optimizer=optimizer, loss=loss_fn, metrics=["accuracy"])

    inputs, images = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    backbone = keras.Model(images, layers.Dense(8, activation="relu")(layers.Flatten()(images)), name="backbone")
    model = Compiled(inputs, layers.Dense(10, activation="softmax")(backbone(inputs)))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    run = tk.fine_tune(model, digits.subset(10), head_epochs=1, epochs=1, **QUIET)
    assert [phase["name"] for phase in run.phases] == ["head", "all"]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_softmax_of_half_precision_is_no_obstacle(digits, policy):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(64, activation="relu", dtype=policy)(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", dtype=policy)(x))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = tk.train(model, digits.subset(20), epochs=3, **QUIET)
    np.testing.assert_allclose(run.test_probabilities.sum(axis=1), 1, atol=1e-6)
    answered = model.predict(digits.test.images, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(run.test_probabilities.argmax(axis=1), answered)


class AddsAWord(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs |= {"note": "good", "nothing": None}


def test_words_that_callbacks_add_are_passed_over(digits):
    run = tk.train(by_hand(digits), digits.subset(5), epochs=1, callbacks=[AddsAWord()], **QUIET)
    assert not {"note", "nothing"} & set(run.history[0])


def test_metrics_of_class_indices_go_on_where_labels_are_smoothed(digits):
    seen = {}

    def trained(**options):
        model = by_hand(digits)
        top = keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3")
        model.compile(
            "adam", "sparse_categorical_crossentropy", metrics=["accuracy", top], weighted_metrics=["accuracy"]
        )
        watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs))
        return tk.train(model, digits.subset(10), epochs=1, callbacks=[watch], **QUIET, **options).history[0]

    plain, smoothed = trained(), trained(label_smoothing=0.1)
    assert set(plain) == set(smoothed)
    assert "val_top3" in seen
    assert smoothed["val_top3"] >= smoothed["val_accuracy"]


class TwoOptimizers(keras.Model):
    """Trains the head with an optimiser beside the one that it is compiled with."""

    def compile(self, *arguments, head_optimizer=None, **options):
        super().compile(*arguments, **options)
        self.head_optimizer = head_optimizer

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted)
        below, head = self.trainable_variables[:-2], self.trainable_variables[-2:]
        gradients = tape.gradient(loss, [*below, *head])
        self.optimizer.apply(gradients[:-2], below)
        self.head_optimizer.apply(gradients[-2:], head)
        return self.compute_metrics(x, y, predicted)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a step with TensorFlow's tape")
def test_a_training_with_a_second_optimizer_begins_anew_after_a_cut(digits, tmp_path, cut_after):
    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((16, 16, 1))
        x = layers.Dense(8, activation="relu")(layers.Flatten()(layers.Rescaling(1 / 255)(inputs)))
        model = TwoOptimizers(inputs, layers.Dense(10, activation="softmax")(x))
        losses = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
        model.compile(keras.optimizers.Adam(0.01), head_optimizer=keras.optimizers.Adam(0.03), **losses)
        return model

    data = digits.subset(10)
    saved = cut_after(2, OSError)
    with pytest.warns(TransferKitWarning, match="head_optimizer"), pytest.raises(OSError):  # noqa: PT011 - from the disk
        tk.train(make(), data, epochs=3, folder=tmp_path, name="two", **QUIET)
    with pytest.warns(TransferKitWarning, match="head_optimizer"):
        run = tk.train(make(), data, epochs=3, folder=tmp_path, name="two", **QUIET)
    assert saved[:4] == [1, 2, 1, 2]
    whole = tk.train(make(), data, epochs=3, **QUIET)
    np.testing.assert_allclose(run.test_probabilities, whole.test_probabilities, atol=1e-5)
