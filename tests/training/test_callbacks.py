"""Keras's own callbacks work in every engine and phase, and a training that was cut off goes on with what they knew."""

import contextlib

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, TransferKitWarning

QUIET = {"verbose": False, "batch_size": 32}
CALLBACKS = {
    "early stopping": lambda monitor, _: keras.callbacks.EarlyStopping(monitor, patience=1, restore_best_weights=True),
    "plateau": lambda monitor, _: keras.callbacks.ReduceLROnPlateau(monitor, patience=1),
    "checkpoint": lambda monitor, folder: keras.callbacks.ModelCheckpoint(
        str(folder / "m.weights.h5"), monitor=monitor, save_best_only=True, save_weights_only=True
    ),
    "rates": lambda _, __: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    "backup": lambda _, folder: keras.callbacks.BackupAndRestore(str(folder / "backup")),
    "csv": lambda _, folder: keras.callbacks.CSVLogger(str(folder / "log.csv")),
    "tensorboard": lambda _, folder: keras.callbacks.TensorBoard(str(folder / "board")),
}


FEW = [("early stopping", "val_accuracy")]
EACH = [
    pytest.param(kind, monitor, marks=[] if (kind, monitor) in FEW else pytest.mark.slow)
    for kind in CALLBACKS
    for monitor in ("val_accuracy", "val_loss")
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "monitor"), EACH)
def test_each_works_on_kept_features_plainly_and_in_both_phases(transfer, digits, tmp_path, kind, monitor):
    data = digits.subset(5)
    for number, (freeze, engine) in enumerate([(True, "auto"), (True, "plain"), (False, "auto")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = CALLBACKS[kind](monitor, folder)
        run = tk.train(transfer(freeze), data, epochs=2, callbacks=made, engine=engine, **QUIET)
        assert run.status == "completed"
    if kind not in ("plateau", "rates"):
        run = tk.fine_tune(transfer(False), data, epochs=1, callbacks=[CALLBACKS[kind](monitor, tmp_path)], **QUIET)
        assert [row["phase"] for row in run.history] == ["head", "all"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plateau", "rates"])
def test_those_that_set_the_rate_are_refused_beside_a_schedule(transfer, digits, tmp_path, kind):
    made = CALLBACKS[kind]("val_loss", tmp_path)
    trained = []
    stop = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: trained.append(1))
    with pytest.raises(InvalidInputError, match="schedule='constant'"):
        tk.fine_tune(transfer(False), digits, epochs=2, callbacks=[made, stop], **QUIET)
    assert not trained
    run = tk.fine_tune(
        transfer(False), digits.subset(5), epochs=1, schedule="constant", warmup_epochs=0, callbacks=[made], **QUIET
    )
    assert run.status == "completed"


@pytest.mark.slow
def test_averaging_callbacks_work(transfer, digits):
    model = transfer(False)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for swap_on_epoch in (False, True):
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
        assert tk.train(model, digits.subset(5), epochs=2, callbacks=[swap], **QUIET).status == "completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "count"),
    [
        (None, 0),
        ((), 0),
        (lambda made: made, 1),
        (lambda made: (one for one in [made, made]), 2),
        (lambda made: {made}, 1),
    ],
    ids=["None", "empty", "one", "generator", "set"],
)
def test_callbacks_are_given_in_any_iterable(transfer, digits, given, count):
    seen = []
    made = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(1))
    tk.train(transfer(True), digits.subset(5), epochs=1, callbacks=given(made) if callable(given) else given, **QUIET)
    assert len(seen) == count


@pytest.mark.parametrize("wrong", ["early", 3, [print], keras.callbacks.EarlyStopping])
def test_other_things_are_no_callbacks(transfer, digits, wrong):
    with pytest.raises(InvalidInputError, match="callbacks must be"):
        tk.train(transfer(True), digits, callbacks=wrong, **QUIET)


class Cut(keras.callbacks.Callback):
    """Raise before an epoch, as a kill would, but in this process."""

    def __init__(self, epoch, error=KeyboardInterrupt):
        super().__init__()
        self.at, self.error = epoch, error

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise self.error


def stopping(patience):
    # Nothing improves by as much, so it stops after `patience` epochs of each phase.
    return keras.callbacks.EarlyStopping("val_loss", patience=patience, min_delta=100.0)


@pytest.mark.long
@pytest.mark.parametrize("cut", [pytest.param(cut, marks=[] if cut == 3 else pytest.mark.slow) for cut in range(1, 7)])
def test_early_stopping_across_a_cut_ends_where_an_uninterrupted_one_does(transfer, digits, tmp_path, cut, cut_after):
    data, options = digits.subset(5), {"head_epochs": 4, "epochs": 5, "warmup_epochs": 0.5, "name": "run", **QUIET}
    whole = tk.fine_tune(transfer(False), data, callbacks=[stopping(2)], **options)
    epochs = [(row["epoch"], row["phase"]) for row in whole.history]
    assert epochs == [(1, "head"), (2, "head"), (5, "all"), (6, "all")] or len(epochs) < 9
    cut_after(cut, KeyboardInterrupt)
    with contextlib.suppress(KeyboardInterrupt):
        tk.fine_tune(transfer(False), data, folder=tmp_path, callbacks=[stopping(2)], **options)
    again = tk.fine_tune(transfer(False), data, folder=tmp_path, callbacks=[stopping(2)], **options)
    assert [(row["epoch"], row["phase"]) for row in again.history] == epochs
    np.testing.assert_allclose(again.test_probabilities, whole.test_probabilities, atol=2e-3)


@pytest.mark.slow
def test_plateau_goes_on_with_the_rate_that_it_had_set(transfer, digits, tmp_path, cut_after):
    def plateau():
        return keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=100.0, factor=0.5)

    data, options = digits.subset(5), {"epochs": 5, "name": "run", **QUIET}
    whole = tk.train(transfer(True), data, callbacks=plateau(), **options)
    cut_after(3, OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="space"):
        tk.train(transfer(True), data, folder=tmp_path, callbacks=plateau(), **options)
    again = tk.train(transfer(True), data, folder=tmp_path, callbacks=plateau(), **options)
    rates = [row["learning_rate"] for row in whole.history]
    assert rates[-1] < rates[0]
    assert [row["learning_rate"] for row in again.history] == rates


@pytest.mark.long
def test_a_backup_of_an_earlier_training_is_not_gone_on_from_silently(transfer, digits, tmp_path):
    data = digits.subset(5)
    backup = str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        tk.train(transfer(True), data, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(backup), Cut(2)], **QUIET)
    with pytest.raises(InvalidInputError, match="folder="):
        tk.train(transfer(True), data, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(backup)], **QUIET)


@pytest.mark.long
def test_early_stopping_ends_a_phase_and_is_recorded(digits, transfer):
    options = {"epochs": 9, "head_epochs": 1, "learning_rate": 1e-9, "early_stopping": 2, "verbose": False}
    run = tk.fine_tune(transfer(True), digits.subset(5), **options)
    assert run.phases[1]["epochs"] < 9
    assert run.recipe["early_stopping"] == 2
    assert "callbacks" not in run.recipe


@pytest.mark.slow
def test_averaged_weights_are_what_an_optimiser_with_use_ema_ends_with(digits, transfer):
    options = {"epochs": 2, "seed": 1, "verbose": False}
    run = tk.train(transfer(True), digits, average_weights=0.9, learning_rate=0.1, **options)
    model = transfer(True)
    optimizer = type(model.optimizer).from_config(
        model.optimizer.get_config() | {"use_ema": True, "ema_momentum": 0.9, "learning_rate": 0.1}
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    reference = tk.train(model, digits, **options)
    np.testing.assert_allclose(run.test_probabilities, reference.test_probabilities, atol=1e-4)
    assert run.recipe["average_weights"] == 0.9


@pytest.mark.parametrize("options", [{"early_stopping": 0}, {"average_weights": 1.0}, {"average_weights": True}])
def test_stopping_and_averaging_out_of_range_are_refused(digits, transfer, options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        tk.train(transfer(True), digits, verbose=False, **options)


def test_early_stopping_without_validation_is_refused(digits, transfer):
    data = tk.Dataset.from_arrays(train=digits.train, test=digits.test, class_names=digits.class_names)
    with pytest.raises(InvalidInputError, match="no validation split"):
        tk.train(transfer(True), data, early_stopping=2, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frozen", "options"), [(True, {}), (False, {"label_smoothing": 0.1}), (True, {"engine": "plain"})]
)
def test_what_monitors_accuracy_goes_on_too(transfer, digits, tmp_path, frozen, options, cut_after):
    def made():
        stop = keras.callbacks.EarlyStopping("val_accuracy", patience=3, min_delta=0.9, restore_best_weights=True)
        return [stop, keras.callbacks.ReduceLROnPlateau("val_accuracy", patience=1, min_delta=0.9)]

    data, options = digits.subset(5), {"epochs": 6, "name": "run", **QUIET} | options
    whole = tk.train(transfer(frozen), data, callbacks=made(), **options)
    cut_after(1, KeyboardInterrupt)
    with contextlib.suppress(KeyboardInterrupt):
        tk.train(transfer(frozen), data, callbacks=made(), folder=tmp_path, **options)
    again = tk.train(transfer(frozen), data, callbacks=made(), folder=tmp_path, **options)
    columns = [[(row["epoch"], row["learning_rate"]) for row in run.history] for run in (again, whole)]
    assert columns[0] == columns[1]
    np.testing.assert_allclose(again.test_probabilities, whole.test_probabilities, atol=2e-3)


def test_best_weights_of_a_model_that_normalises_are_part_of_the_checkpoint(digits, tmp_path, cut_after):
    def made():
        keras.utils.set_random_seed(0)
        normalise = keras.layers.Normalization()
        normalise.adapt(digits.train.images)  # counts, in a variable that is one number
        pooled = [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10, activation="softmax")]
        model = keras.Sequential([keras.Input((16, 16, 1)), normalise, *pooled])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def stop():
        return keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)

    options = {"epochs": 4, "name": "run", **QUIET}
    whole = tk.train(made(), digits, callbacks=stop(), **options)
    saved = cut_after(2, OSError)
    with pytest.raises(OSError):  # noqa: PT011 - from the disk
        tk.train(made(), digits, callbacks=stop(), folder=tmp_path, **options)
    again = tk.train(made(), digits, callbacks=stop(), folder=tmp_path, **options)
    assert saved[:4] == [1, 2, 3, 4]
    np.testing.assert_allclose(again.test_probabilities, whole.test_probabilities, atol=1e-5)


def nested(kernel):
    """Return a backbone of its own, the lower part of which is frozen."""
    inputs = keras.Input((16, 16, 1))
    hidden = keras.layers.Conv2D(4, 3, activation="relu", name="stem", trainable=False)(inputs)
    for name in ("a", "b"):
        hidden = keras.layers.Conv2D(4, kernel if name == "b" else 1, name=name)(hidden)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(hidden), name="backbone")
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(backbone(inputs)))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def branching(kernel):
    """Return a frozen stem with two branches, whose layers stand in another order than they are run in."""
    inputs = keras.Input((16, 16, 1))
    stem = keras.layers.Conv2D(4, 3, activation="relu", name="stem", trainable=False)(inputs)
    a = keras.layers.Conv2D(6, 1, name="a")(stem)
    b = keras.layers.Conv2D(6, kernel, padding="same", name="b")(stem)
    joined = keras.layers.Concatenate()([keras.layers.ReLU()(a), keras.layers.ReLU()(b)])
    outputs = keras.layers.Dense(10, activation="softmax")(keras.layers.GlobalAveragePooling2D()(joined))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.long
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("build", [branching, nested])
def test_averages_go_to_the_layers_that_they_are_of(digits, build, kernel):
    data = digits.subset(5)
    data = tk.Dataset.from_arrays(data.train, data.test, validation=0)
    plain, kept = build(kernel), build(kernel)
    kept.set_weights(plain.get_weights())
    options = {"epochs": 3, "average_weights": 0.9, **QUIET}
    run = tk.train(kept, data, **options)
    reference = tk.train(plain, data, engine="plain", **options)
    assert run.model_info["engine"].startswith("litert")
    np.testing.assert_allclose(run.test_probabilities, reference.test_probabilities, atol=1e-4)


@pytest.mark.long
def test_statistics_of_batchnorm_belong_to_averaged_weights_without_validation_too(digits):
    data = tk.Dataset.from_arrays(digits.train, digits.test, validation=0)
    model = tk.build_cnn((16, 16, 1), preset="modern", filters=(8, 16), learning_rate=1e-2)
    run = tk.train(model, data, epochs=2, average_weights=0.99, **QUIET)
    before = run.metrics["loss"]
    for layer in model.layers:
        if hasattr(layer, "moving_mean"):
            layer.momentum = 0.0
    model(data.train.images[:1000].astype(np.float32), training=True)  # one large batch: statistics of these weights
    after = tk.evaluate(model, data.test).metrics["loss"]
    assert before < 1.05 * after


@pytest.mark.long
def test_a_log_across_a_cut_and_both_phases_holds_every_epoch(transfer, digits, tmp_path, cut_after):
    data, options = digits.subset(5), {"head_epochs": 2, "epochs": 2, "name": "run", **QUIET}
    log = tmp_path / "log.csv"
    saves = cut_after(4, KeyboardInterrupt)
    for _ in range(2):
        writers = [keras.callbacks.CSVLogger(log), keras.callbacks.TensorBoard(tmp_path / "board")]
        with contextlib.suppress(KeyboardInterrupt):
            tk.fine_tune(transfer(False), data, folder=tmp_path / "runs", callbacks=writers, **options)
        assert not writers[0].append  # as it was given
    assert saves == [1, 2, 2, 3, 4, 4]  # also after each phase
    assert [line.split(",")[0] for line in log.read_text().split()] == ["epoch", "0", "1", "2", "3"]


@pytest.mark.long
def test_a_log_begins_anew_with_a_training(transfer, digits, tmp_path):
    for epochs in (3, 2):
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        run = tk.fine_tune(transfer(True), digits.subset(5), head="logistic", epochs=epochs, callbacks=log, **QUIET)
        lines = (tmp_path / "log.csv").read_text().split()
        assert [int(line.split(",")[0]) + 1 for line in lines[1:]] == [row["epoch"] for row in run.history[1:]]


@pytest.mark.long
def test_a_callback_whose_knowledge_cannot_be_saved_is_named(transfer, digits, tmp_path):
    class Own(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.rows = [epoch, [epoch]]
            self.seen = {epoch}

    with pytest.warns(TransferKitWarning, match="callback Own knows cannot be saved .seen is of set"):
        tk.train(transfer(True), digits.subset(5), epochs=2, folder=tmp_path, name="run", callbacks=Own(), **QUIET)
