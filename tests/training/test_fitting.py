"""train and fine_tune on scikit-learn's digits: results, records, reuse, resumption and refusals."""

import random
from dataclasses import replace

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, InvalidInputError, RunError, TransferKitWarning, UnknownNameError

FAST = {"epochs": 2, "batch_size": 32, "verbose": False}


def small_cnn(**options):
    return tk.build_cnn((16, 16, 1), filters=(8,), dense_units=16, **options)


def small_transfer():
    """Return a transfer model on a small backbone of our own, with BatchNorm, from scratch."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    options = {"freeze": False, "preprocessing": "unit", "image_size": 16}
    return tk.build_transfer_model(keras.Model(inputs, x), input_shape=(16, 16, 1), **options)


@pytest.fixture(scope="module")
def run(digits):
    return tk.train(small_cnn(), digits, name="CNN", **FAST | {"epochs": 6})


def test_training_learns_the_digits(run):
    assert run.status == "completed"
    assert run.metrics["accuracy"] > 0.8


def test_record_tells_what_was_done(run, digits):
    assert run.selection == "validation"
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5, 6]
    assert run.dataset["test_fingerprint"] == digits.fingerprints["test"]
    assert run.phases[0]["images"] == 6 * len(digits.train.labels)
    assert run.parameters == run.model.count_params()
    assert run.environment["keras"] == keras.__version__
    assert run.recipe["optimizer"] == "AdamW"


def test_model_keeps_the_epoch_that_validation_chose(run, digits):
    best = max(run.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert run.selected_epoch == best["epoch"]
    validation = tk.evaluate(run.model, digits.validation)
    assert validation.metrics["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    np.testing.assert_allclose(run.model.predict(digits.test.images, verbose=0), run.test_probabilities, atol=1e-5)


@pytest.mark.slow
def test_same_seed_same_result_and_another_seed_another(digits):
    first, again = (tk.train(small_cnn(), digits, seed=1, augment="shift", **FAST) for _ in range(2))
    other = tk.train(small_cnn(), digits, seed=2, augment="shift", **FAST)
    np.testing.assert_allclose(first.test_probabilities, again.test_probabilities, atol=1e-4)
    assert np.abs(first.test_probabilities - other.test_probabilities).max() > 1e-3


@pytest.mark.slow
def test_global_random_state_is_left_alone(digits):
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    tk.train(small_cnn(), digits, augment="flip", **FAST)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_without_validation_the_last_epoch_counts(digits):
    data = Dataset(
        "digits", digits.class_names, digits.train, type(digits.test)(*(a[:0] for a in digits.test)), digits.test
    )
    run = tk.train(small_cnn(), data, **FAST)
    assert run.selection == "last"
    assert run.selected_epoch == 2
    assert "val_loss" not in run.history[0]


@pytest.mark.long
def test_seed_reaches_every_random_layer(digits):
    def states(seed):
        inputs = keras.Input((16, 16, 1))
        x = keras.layers.RandomFlip("horizontal")(inputs)
        x = keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.GaussianNoise(0.1)])(x)
        x = keras.layers.Dropout(0.1)(keras.layers.Flatten()(x))
        model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", kernel_initializer="zeros")(x))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        found = []
        callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: found.append(
                [tuple(v.numpy()) for v in model.variables if "seed_generator" in v.path]
            )
        )
        tk.train(model, digits.subset(5), seed=seed, callbacks=[callback], **FAST)
        return found

    first, other = states(0), states(1)
    assert len(first[0]) == 3
    assert len({state for epoch in [*first, *other] for state in epoch}) == 12
    assert states(0) == first


@pytest.mark.long
def test_killed_before_the_record_was_written_the_last_epoch_counts_all_the_same(digits, tmp_path, monkeypatch):
    data = Dataset(
        "digits", digits.class_names, digits.train, type(digits.test)(*(a[:0] for a in digits.test)), digits.test
    )
    whole = tk.train(small_cnn(seed=0), data, name="CNN", **FAST)

    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transferkit.training.steps.Predictor", killed)
        with pytest.raises(KeyboardInterrupt):
            tk.train(small_cnn(seed=0), data, name="CNN", folder=tmp_path, **FAST)
    run = tk.train(small_cnn(seed=0), data, name="CNN", folder=tmp_path, **FAST)
    assert run.status == "completed"
    np.testing.assert_allclose(run.test_probabilities, whole.test_probabilities, atol=1e-3)


def test_foreign_folder_is_noticed_before_the_training(digits, tmp_path):
    (tmp_path / "cnn").mkdir()
    (tmp_path / "cnn" / "photo.jpg").write_bytes(b"precious")
    epochs = []
    noted = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(RunError, match="left alone"):
        tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, overwrite=True, callbacks=[noted], **FAST)
    assert epochs == []


def test_unknown_layer_is_noticed_before_the_head_is_trained(digits):
    epochs = []
    noted = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(UnknownNameError, match="conv2d"):
        tk.fine_tune(small_transfer(), digits, unfreeze_from="conv2_d", callbacks=[noted], verbose=False)
    assert epochs == []


def test_accuracy_by_another_name_chooses_the_epoch(digits):
    model = small_cnn()
    model.compile("adamw", "sparse_categorical_crossentropy", metrics=[keras.metrics.SparseCategoricalAccuracy()])
    run = tk.train(model, digits, name="CNN", **FAST)
    best = max(run.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert run.selected_epoch == best["epoch"]


@pytest.mark.long
def test_accuracy_itself_goes_before_another_metric_of_that_kind(digits):
    model = small_cnn()
    other = keras.metrics.MeanMetricWrapper(lambda truth, predicted: predicted[:, 0] * 0.0, name="acc")
    model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy", other])
    run = tk.train(model, digits, name="CNN", **FAST)
    assert run.history[-1]["val_accuracy"] > 0.1


@pytest.mark.slow
def test_other_optimiser_settings_or_another_loss_are_another_training(digits):
    def key(optimizer, loss="sparse_categorical_crossentropy"):
        model = small_cnn(seed=0)
        model.compile(optimizer, loss, metrics=["accuracy"])
        return tk.train(model, digits.subset(5), **FAST | {"epochs": 1}).key

    sgd, adam = keras.optimizers.SGD, keras.optimizers.Adam
    schedule = keras.optimizers.schedules.ExponentialDecay
    keys = [
        key(sgd(0.01)),
        key(sgd(0.01, momentum=0.9)),
        key(sgd(0.01, clipnorm=1.0)),
        key(adam(0.01)),
        key(adam(0.01, beta_1=0.8)),
        key(adam(schedule(0.01, 10, 0.9))),
        key(adam(schedule(0.01, 20, 0.9))),
        key(adam(0.01), loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=3)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(sgd(0.01)) == keys[0]


def error_rate(truth, predicted):
    return 1.0 - keras.metrics.sparse_categorical_accuracy(truth, predicted)


def test_metric_of_ones_own_stays(digits):
    model = small_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", error_rate])
    run = tk.train(model, digits, **FAST)
    assert run.history[-1]["val_error_rate"] == pytest.approx(1 - run.history[-1]["val_accuracy"], abs=0.02)


@pytest.mark.parametrize(
    "loss", [keras.losses.SparseCategoricalCrossentropy(from_logits=True), "kl_divergence"], ids=["logits", "other"]
)
def test_label_smoothing_does_not_replace_another_loss(digits, loss):
    model = small_cnn()
    model.compile("adamw", loss)
    with pytest.raises(InvalidInputError, match="label_smoothing"):
        tk.train(model, digits, label_smoothing=0.1, **FAST)


@pytest.mark.parametrize(
    "use",
    [lambda model, data: tk.train(model, data), lambda model, data: tk.evaluate(model, data.test)],
    ids=["train", "evaluate"],
)
def test_models_that_put_out_no_probabilities_are_refused(digits, use):
    logits = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    unbuilt = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])
    for model, says in ((logits, "softmax"), (unbuilt, "no built"), (7, "keras.Model")):
        if isinstance(model, keras.Model):
            model.compile("adam", "sparse_categorical_crossentropy")
        with pytest.raises(InvalidInputError, match=says):
            use(model, digits)


@pytest.mark.long
def test_label_smoothing_and_schedule_leave_the_model_compiled_as_it_was(digits):
    model = small_cnn()
    tk.train(model, digits, label_smoothing=0.1, schedule="cosine", warmup_epochs=0.5, learning_rate=2e-3, **FAST)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)
    model.fit(digits.train.images[:64], digits.train.labels[:64], verbose=0)


def test_finished_run_is_found_again(digits, tmp_path):
    first = tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, **FAST)
    model = small_cnn()
    again = tk.train(model, digits, name="CNN", folder=tmp_path, **FAST)
    assert again.created == first.created
    np.testing.assert_allclose(model.predict(digits.test.images, verbose=0), first.test_probabilities, atol=1e-5)
    assert [run.name for run in tk.load_runs(tmp_path)] == ["CNN"]


def test_finished_run_without_weights_says_that_the_model_stays_as_it_is(digits, tmp_path, capsys):
    tk.train(small_cnn(), digits, name="CNN", **FAST).save(tmp_path / "cnn", weights=False)
    model = small_cnn()
    before = model.get_weights()
    again = tk.train(model, digits, name="CNN", folder=tmp_path, **FAST | {"verbose": True})
    assert again.status == "completed"
    assert "saved without weights: the model stays as it is" in capsys.readouterr().out
    for weights, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, old)


def test_settings_tried_are_recorded_and_change_nothing_else(digits, tmp_path):
    run = tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, tuning_trials=4, **FAST)
    assert run.tuning_trials == 4
    assert "settings tried on validation: 4" in tk.compare_runs([run]).to_markdown()
    with pytest.warns(TransferKitWarning, match="records 4 settings tried"):
        found = tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, **FAST)
    assert found.created == run.created
    with pytest.raises(InvalidInputError, match="tuning_trials must be an integer of 1 or more"):
        tk.train(small_cnn(), digits, tuning_trials=0, **FAST)


@pytest.mark.slow
def test_finished_run_of_other_settings_is_neither_reused_nor_lost(digits, tmp_path):
    tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, **FAST)
    with pytest.raises(RunError, match="batch_size 32 .now 64"):
        tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, **FAST | {"batch_size": 64})
    replaced = tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, overwrite=True, **FAST | {"batch_size": 64})
    assert tk.load_run(tmp_path / "cnn").key == replaced.key


@pytest.mark.long
@pytest.mark.parametrize("stop", [2, pytest.param(0, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_interrupted_fine_tuning_goes_on_to_the_same_result(digits, tmp_path, stop, ctrl_c):
    data = digits.subset(10)
    options = {"head_epochs": 2, "epochs": 2, "batch_size": 16, "augment": "shift", "verbose": False, "name": "net"}
    whole = tk.fine_tune(small_transfer(), data, **options)
    with ctrl_c(stop):
        tk.fine_tune(small_transfer(), data, folder=tmp_path, **options)
    cut = tk.load_run(tmp_path / "net")
    assert cut.status == "interrupted"
    resumed = tk.fine_tune(small_transfer(), data, folder=tmp_path, **options)
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]
    assert resumed.history[:stop] == cut.history[:stop]  # not trained again
    np.testing.assert_allclose(resumed.test_probabilities, whole.test_probabilities, atol=1e-3)
    assert not list(tmp_path.glob(".*checkpoint*"))


@pytest.mark.slow
def test_interrupted_model_is_what_it_was_so_that_the_same_call_goes_on_with_it(digits, tmp_path, ctrl_c):
    data, model = digits.subset(10), small_transfer()
    options = {"head_epochs": 1, "epochs": 2, "batch_size": 16, "verbose": False, "name": "net", "folder": tmp_path}
    whole = tk.fine_tune(small_transfer(), data, **options | {"folder": None})
    before = [layer.trainable for layer in model.layers], model.get_weights()
    with ctrl_c(2):
        tk.fine_tune(model, data, **options)
    assert [layer.trainable for layer in model.layers] == before[0]
    assert all(map(np.array_equal, model.get_weights(), before[1]))
    resumed = tk.fine_tune(model, data, **options)
    assert [phase["epochs"] for phase in resumed.phases] == [1, 2]
    assert resumed.phases[0]["engine"] == whole.phases[0]["engine"] == "litert"
    assert resumed.model_info["dead_features"] == whole.model_info["dead_features"]
    np.testing.assert_allclose(resumed.test_probabilities, whole.test_probabilities, atol=1e-3)


@pytest.mark.long
def test_finished_run_is_not_replaced_by_one_without_a_result(digits, tmp_path, ctrl_c):
    data = digits.subset(10)
    finished = tk.train(small_cnn(), data, name="CNN", folder=tmp_path, **FAST)
    again = {"name": "CNN", "folder": tmp_path, "overwrite": True, **FAST}
    with pytest.warns(TransferKitWarning, match="stays"), ctrl_c(0):
        tk.train(small_cnn(), data, **again | {"batch_size": 8})
    with pytest.warns(TransferKitWarning) as warned:
        tk.train(small_cnn(), data, learning_rate=1e30, **again)
    said = [str(item.message) for item in warned if issubclass(item.category, TransferKitWarning)]
    assert ["diverged in epoch" in said[0], "stays" in said[1]] == [True, True]
    assert tk.load_run(tmp_path / "cnn").key == finished.key


@pytest.mark.long
def test_found_run_with_other_trials_is_pointed_out_and_one_with_other_callbacks_refused(digits, tmp_path):
    data = digits.subset(10)
    options = {"name": "CNN", "folder": tmp_path, **FAST}
    run = tk.train(small_cnn(), data, callbacks=[keras.callbacks.TerminateOnNaN()], **options)
    assert run.recipe["callbacks"] == ["TerminateOnNaN"]
    assert tk.train(small_cnn(), data, callbacks=[keras.callbacks.TerminateOnNaN()], **options).key == run.key
    with pytest.raises(RunError, match="other callbacks"):
        tk.train(small_cnn(), data, **options)
    with pytest.warns(TransferKitWarning, match="records 1 settings tried"):
        tk.train(small_cnn(), data, callbacks=[keras.callbacks.TerminateOnNaN()], tuning_trials=5, **options)


@pytest.mark.long
def test_run_is_not_saved_with_the_weights_of_a_later_training(digits, tmp_path):
    data, model = digits.subset(10), small_cnn()
    first = tk.train(model, data, **FAST)
    first.save(tmp_path / "in time")
    tk.train(model, data, **FAST)
    with pytest.raises(RunError, match="trained or changed since"):
        first.save(tmp_path / "late")
    assert not (tmp_path / "late").exists()
    first.save(tmp_path / "record", weights=False)


@pytest.mark.long
def test_a_run_whose_folder_holds_another_training_by_now_is_not_answered_by_that(digits, tmp_path):
    data = digits.subset(10)
    first = tk.train(small_cnn(), data, name="cnn", folder=tmp_path, **FAST)
    loaded = tk.load_run(tmp_path / "cnn")
    tk.train(small_cnn(), data, name="cnn", folder=tmp_path, overwrite=True, **FAST | {"epochs": 1})
    first.model.set_weights([weights + 1 for weights in first.model.get_weights()])  # only the folder is left
    for old in (first, loaded):
        with pytest.raises(InvalidInputError, match="holds the model of another training by now"):
            tk.predict(old, data.test.images)
        with pytest.raises(RunError, match="holds the model of another training by now"):
            tk.average_flips(old, data)


def test_one_output_for_two_classes_is_refused_with_the_cure(digits):
    data = tk.Dataset.from_arrays(
        train=(digits.train.images[:20], np.arange(20) % 2), test=(digits.test.images[:4], [0, 1, 0, 1])
    )
    model = keras.Sequential(
        [keras.Input(data.image_shape), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(InvalidInputError, match=r"Dense\(2, activation='softmax'\)"):
        tk.train(model, data, epochs=1, verbose=False)


@pytest.mark.parametrize("wrong", ["sigmoid", "scaled"])
def test_outputs_that_are_no_probabilities_are_noticed_before_the_training(digits, wrong):
    outputs = {
        "sigmoid": keras.layers.Dense(10, activation="sigmoid"),
        "scaled": keras.layers.Rescaling(2.0),
    }
    model = small_cnn()
    x = model.layers[-2].output if wrong == "sigmoid" else model.output
    model = keras.Model(model.inputs, outputs[wrong](x))
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(InvalidInputError, match="the outputs of the model"):
        tk.train(model, digits, epochs=10_000, verbose=False)


def test_predictions_that_are_not_finite_are_a_divergence(digits, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([np.full_like(array, np.nan) for array in self.model.get_weights()])

    data = replace(digits, validation=type(digits.test)(*(array[:0] for array in digits.test)))
    with pytest.warns(TransferKitWarning, match="not finite"):
        run = tk.train(small_cnn(), data, callbacks=[Break()], name="CNN", folder=tmp_path, **FAST | {"epochs": 1})
    assert run.status == tk.load_run(tmp_path / "cnn").status == "diverged"


def test_divergence_is_recorded_and_never_a_result(digits, tmp_path):
    model = small_cnn()
    before = model.get_weights()
    with pytest.warns(TransferKitWarning, match="diverged in epoch"):
        run = tk.train(model, digits, name="wild", learning_rate=1e30, folder=tmp_path, **FAST)
    assert run.status == "diverged"
    assert run.test_probabilities.shape == (0, 10)
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert len(before) == len(model.get_weights())
    assert tk.load_run(tmp_path / "wild").status == "diverged"
    assert not (tmp_path / "wild" / "model.weights.h5").exists()


@pytest.mark.slow
def test_fine_tune_trains_the_head_first_then_everything(digits):
    model = small_transfer()
    run = tk.fine_tune(model, digits.subset(20), head_epochs=1, epochs=1, batch_size=32, verbose=False)
    head, body = run.phases
    assert [row["phase"] for row in run.history] == ["head", "all"]
    assert head["trainable_parameters"] < body["trainable_parameters"]
    assert head["trainable_parameters"] == 8 * 10 + 10


@pytest.mark.slow
def test_user_callbacks_are_passed_through(digits):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    tk.train(small_cnn(), digits, callbacks=[callback], **FAST)
    assert seen == [["accuracy", "loss", "val_accuracy", "val_loss"]] * 2


@pytest.mark.slow
def test_saved_run_rebuilds_its_model(digits, tmp_path):
    run = tk.train(small_cnn(), digits, name="CNN", folder=tmp_path, **FAST)
    model = tk.load_model(tmp_path / "cnn")
    np.testing.assert_allclose(model.predict(digits.test.images, verbose=0), run.test_probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs must be an integer of 1 or more"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"seed": -1}, "seed"),
        ({"warmup_epochs": 0.5}, "needs schedule='cosine'"),
        ({"schedule": "cosine", "warmup_epochs": 2}, "less than the 2 epochs"),
        ({"augment": "blur"}, "unknown augmentation"),
    ],
)
def test_bad_option_is_refused_before_training(digits, options, match):
    with pytest.raises((InvalidInputError, UnknownNameError), match=match):
        tk.train(small_cnn(), digits, **FAST | options)


def test_data_that_do_not_fit_the_model_are_refused(digits):
    with pytest.raises(DataError, match="input_shape"):
        tk.train(tk.build_cnn(filters=(4,), dense_units=8), digits, **FAST)
    with pytest.raises(DataError, match="num_classes=10"):
        tk.train(small_cnn(num_classes=7), digits, **FAST)
    with pytest.raises(InvalidInputError, match="from_arrays"):
        tk.train(small_cnn(), (digits.train, digits.test), **FAST)


def test_model_that_is_not_compiled_is_refused(digits):
    compiled = small_cnn()
    with pytest.raises(InvalidInputError, match=r"Call model\.compile"):
        tk.train(keras.Model(compiled.inputs, compiled.outputs), digits, **FAST)


def test_evaluate_refuses_scaled_pixels(run, digits):
    with pytest.raises(DataError, match="uint8"):
        tk.evaluate(run.model, (digits.test.images / 255.0, digits.test.labels))


def test_batch_larger_than_the_training_set_is_one_step(digits):
    run = tk.train(small_cnn(), digits.subset(3), **FAST | {"batch_size": 4096})
    assert run.status == "completed"
