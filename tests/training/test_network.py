"""Training on kept features is training the model: same weights, same callbacks, nothing computed twice."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import TransferKitWarning, UnknownNameError
from transferkit.features import cache as caches
from transferkit.training import evaluation
from transferkit.training.network import Tail, choose_network

OPTIONS = {"epochs": 2, "batch_size": 32, "verbose": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("freeze", "augment", "engine"),
    [
        (True, ("flip", "shift"), "litert"),
        (True, (), "keras"),
        ("relu", (), "litert"),
    ],
)
def test_result_is_that_of_plain_training(transfer, digits, freeze, augment, engine):
    results = {}
    for choice in ("plain", engine):
        model = transfer(freeze)
        model.compile(keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        run = results[choice] = tk.train(model, digits, engine=choice, augment=augment, **OPTIONS)
        assert run.model_info["engine"] == run.phases[0]["engine"] == choice
    plain, kept = results.values()
    np.testing.assert_allclose(kept.test_probabilities, plain.test_probabilities, atol=2e-4)
    for row, plain_row in zip(kept.history, plain.history, strict=True):
        assert row["loss"] == pytest.approx(plain_row["loss"], abs=1e-3)


@pytest.mark.slow
def test_many_epochs_of_shifts_see_a_few_views(transfer, digits):
    options = OPTIONS | {"epochs": 5, "augment": "shift"}
    plain, kept = (tk.train(transfer(True), digits, engine=engine, **options) for engine in ("plain", "auto"))
    assert plain.recipe["phases"][0]["views"] == 4
    np.testing.assert_allclose(kept.test_probabilities, plain.test_probabilities, atol=2e-4)


@pytest.mark.long
def test_another_seed_and_another_head_compute_nothing_again(transfer, digits, monkeypatch):
    tk.train(transfer(True), digits, **OPTIONS)

    def fail(*_, **__):
        raise AssertionError("features were computed again")

    monkeypatch.setattr(caches, "load_engine", fail)
    tk.train(transfer(True, seed=5), digits, seed=5, **OPTIONS)
    tk.train(transfer(True), digits, label_smoothing=0.1, **OPTIONS)


def test_callbacks_see_the_whole_model_and_can_stop_it(transfer, digits):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.shape = self.model.predict(digits.test.images[:3], verbose=0).shape
            self.model.stop_training = True

    stop, model = Stop(), transfer(True)
    run = tk.train(model, digits, callbacks=[stop], **OPTIONS)
    assert stop.model is model
    assert stop.shape == (3, 10)
    assert len(run.history) == 1


@pytest.mark.long
def test_learning_rate_callbacks_reach_the_optimiser(transfer, digits):
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
    model = transfer(True)
    before = [np.array(weights) for weights in model.get_weights()]
    tk.train(model, digits, callbacks=[schedule], **OPTIONS)
    for weights, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, old)


@pytest.mark.long
def test_model_stays_a_plain_keras_model(transfer, digits):
    model = transfer(True)
    inside = model.get_layer("backbone").get_layer("first")
    tk.train(model, digits, **OPTIONS)
    assert inside.output.shape == (None, 7, 7, 8)
    model.fit(digits.train.images[:64], digits.train.labels[:64], verbose=0)


@pytest.mark.long
def test_nothing_frozen_is_trained_plainly_and_the_run_says_so(transfer, digits):
    run = tk.train(transfer(False), digits, **OPTIONS | {"epochs": 1})
    assert run.model_info["engine"].startswith("plain: no layer with weights is frozen")


def test_a_block_without_a_graph_is_trained_plainly_and_the_run_says_so(digits):
    @keras.saving.register_keras_serializable()
    class Block(keras.layers.Layer):
        def build(self, shape):
            self.dense = keras.layers.Dense(10, activation="softmax")
            self.dense.build((None, shape[1] * shape[2]))

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2])) / 255)

    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, Block()(inputs))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    run = tk.train(model, digits, **OPTIONS | {"epochs": 1})
    assert run.model_info["engine"].startswith("plain: ")


@pytest.mark.long
def test_features_count_for_the_run_that_computed_them(transfer, digits):
    images = len(digits.train.labels) + len(digits.validation.labels)
    for computed in (images, 0):
        run = tk.train(transfer(True), digits, **OPTIONS)
        (phase,) = run.phases
        assert phase["features_computed"] == computed
        in_epochs = sum(row["seconds"] for row in run.history)
        assert run.train_seconds == pytest.approx(phase["preparation_seconds"] + in_epochs)
        text = "all images found in the cache" if not computed else f"features computed for {images:,} images"
        assert text in tk.compare_runs([run]).to_markdown()


@pytest.mark.long
def test_augmentation_computes_no_view_that_is_not_trained_on(transfer, digits):
    run = tk.train(transfer(True), digits, augment=("flip", "shift"), **OPTIONS | {"epochs": 1})
    images = len(digits.train.labels) + len(digits.validation.labels)
    assert run.phases[0]["features_computed"] <= images + 2 * 32  # Keras looks at two batches beforehand


@pytest.mark.long
def test_validation_images_are_not_augmented(transfer, digits):
    model = transfer(True)
    run = tk.train(model, digits, augment=("flip", "shift"), **OPTIONS | {"epochs": 1})
    expected = model.evaluate(*digits.validation, verbose=0, return_dict=True)
    assert run.history[0]["val_loss"] == pytest.approx(expected["loss"], abs=1e-4)
    assert run.history[0]["val_accuracy"] == pytest.approx(expected["accuracy"])


def test_large_models_and_many_images_are_predicted_by_litert_alike(transfer, digits, monkeypatch):
    model = transfer(False)
    plain = evaluation.evaluate(model, digits.test).probabilities
    monkeypatch.setattr(evaluation, "_MANY_IMAGES", 1)
    monkeypatch.setattr(evaluation, "_LARGE_MODEL", 1)
    converted = []
    convert = evaluation.convert_model
    monkeypatch.setattr(evaluation, "convert_model", lambda *args: converted.append(convert(*args)) or converted[-1])
    np.testing.assert_allclose(evaluation.evaluate(model, digits.test).probabilities, plain, atol=1e-5)
    assert len(converted) == 1
    assert converted[0] is not None


def test_too_little_room_is_trained_plainly_and_the_run_says_so(transfer, digits, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_CACHE_GB", "0.00001")
    run = tk.train(transfer(True), digits, **OPTIONS | {"epochs": 1})
    assert "room for 0.0 GB" in run.model_info["engine"]


def test_head_phase_of_fine_tuning_runs_on_features(transfer, digits):
    run = tk.fine_tune(transfer(True), digits, head_epochs=1, **OPTIONS | {"epochs": 1})
    assert [phase["engine"].partition(":")[0] for phase in run.phases] == ["litert", "plain"]


def test_unknown_engine_is_refused(transfer, digits):
    with pytest.raises(UnknownNameError, match="litert"):
        tk.train(transfer(True), digits, engine="gpu", **OPTIONS)


def test_tail_trains_the_models_own_variables(transfer, digits):
    model = transfer("relu")
    tail = choose_network(model, digits.train.images, expected=10).model
    assert isinstance(tail, Tail)
    assert {id(variable) for variable in tail.trainable_variables} == {
        id(variable) for variable in model.trainable_variables
    }


@pytest.mark.long
def test_dead_features_are_counted_and_warned_about(transfer, digits):
    model = transfer(True)
    run = tk.train(model, digits, **OPTIONS)
    assert run.model_info["dead_features"][1] == 8
    norm = model.get_layer("backbone").layers[-2]
    norm.set_weights([np.zeros(8), np.full(8, -1.0), np.zeros(8), np.ones(8)])
    with pytest.warns(TransferKitWarning, match="8 of 8 features"):
        run = tk.train(model, digits, **OPTIONS)
    assert run.model_info["dead_features"] == [8, 8]
    train, test = ((split.images, split.labels) for split in (digits.train, digits.test))
    few = tk.Dataset.from_arrays(train, test, validation=20, allow_overlap=True)
    assert tk.train(model, few, **OPTIONS).model_info["dead_features"] == [8, 8]  # too few to warn of
