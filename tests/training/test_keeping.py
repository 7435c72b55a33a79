"""The one way through a training: the same cell again, one model at a time, what is found and what is not."""

import multiprocessing
import os
import threading

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, RunError, TransferKitError, TransferKitWarning, UnknownNameError

OPTIONS = {"epochs": 3, "name": "cnn", "batch_size": 32, "verbose": False}


def build(**options):
    return tk.build_cnn((16, 16, 1), filters=(4,), dense_units=8, **options)


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(10)


@pytest.fixture(scope="module")
def whole(data):
    return tk.train(build(), data, **OPTIONS)


class Trouble(keras.callbacks.Callback):
    """Raise once, at one moment of the second epoch."""

    def __init__(self, moment, error):
        super().__init__()
        self.moment, self.error, self.epoch = moment, error, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._at("epoch begin")

    def on_train_batch_end(self, batch, logs=None):
        self._at("batch end")

    def on_test_end(self, logs=None):
        self._at("test end")

    def on_epoch_end(self, epoch, logs=None):
        self._at("epoch end")

    def _at(self, moment):
        if self.epoch == 1 and moment == self.moment:
            raise self.error


ERRORS = [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt(), RuntimeError("a callback's")]


@pytest.mark.parametrize(
    ("error", "moment"),
    [
        pytest.param(error, moment, marks=[] if place == kind else pytest.mark.slow)
        for kind, error in enumerate(ERRORS)
        for place, moment in enumerate(["epoch begin", "batch end", "test end", "epoch end"])
    ],
)
def test_the_same_model_goes_on_as_if_nothing_had_been(data, whole, tmp_path, moment, error):
    model = build()
    start = [array.copy() for array in model.get_weights()]
    with pytest.raises(type(error)):
        tk.train(model, data, callbacks=Trouble(moment, error), folder=tmp_path, **OPTIONS)
    for before, now in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, now)
    with pytest.warns(TransferKitWarning, match="it has other data, options, callbacks"):
        again = tk.train(model, data, folder=tmp_path, **OPTIONS)
    np.testing.assert_allclose(again.test_probabilities, whole.test_probabilities, atol=1e-4)
    assert [row["epoch"] for row in again.history] == [1, 2, 3]


@pytest.mark.long
@pytest.mark.parametrize("where", ["record_run", "_save"])
def test_an_error_after_the_last_epoch_costs_no_epoch(data, whole, tmp_path, monkeypatch, where):
    from transferkit.training import keeping

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    model = build()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, where, full)
        with pytest.raises(OSError, match="space"):
            tk.train(model, data, folder=tmp_path, **OPTIONS)
    again = tk.train(model, data, folder=tmp_path, **OPTIONS)
    np.testing.assert_allclose(again.test_probabilities, whole.test_probabilities, atol=1e-4)
    checkpoints = [row["seconds"] for row in again.history]
    assert len(checkpoints) == len(set(checkpoints)) == 3
    assert [row["epoch"] for row in again.history] == [1, 2, 3]


@pytest.mark.long
def test_one_model_is_not_trained_in_two_threads(data):
    model, errors, begun, go_on = build(), [], threading.Event(), threading.Event()

    class Wait(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            begun.set()
            go_on.wait(60)

    first = threading.Thread(target=lambda: tk.train(model, data, callbacks=Wait(), **OPTIONS))
    first.start()
    assert begun.wait(120)
    try:
        tk.train(model, data, **OPTIONS | {"name": "other"})
    except InvalidInputError as error:
        errors.append(str(error))
    go_on.set()
    first.join(120)
    assert "another thread" in errors[0]
    assert tk.train(model, data, **OPTIONS).status == "completed"  # afterwards it may


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_refuses_instead_of_hanging(data):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def child():
        from transferkit.training.keeping import refuse_in_forked_child

        try:
            refuse_in_forked_child()
        except TransferKitError as error:
            queue.put(str(error))

    process = context.Process(target=child)
    process.start()
    assert "forked" in queue.get(timeout=60)
    process.join(60)


@pytest.mark.long
def test_what_cannot_be_told_apart_is_trained_anew_and_a_line_says_so(data, tmp_path):
    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    first = tk.train(build(), data, callbacks=Locked(), folder=tmp_path, **OPTIONS)
    with pytest.warns(TransferKitWarning, match="trained anew.*lock"):
        again = tk.train(build(), data, callbacks=Locked(), folder=tmp_path, **OPTIONS)
    assert again.created != first.created
    with pytest.raises(RunError, match="epochs 3"):  # what can be told still counts
        tk.train(build(), data, callbacks=Locked(), folder=tmp_path, **OPTIONS | {"epochs": 4})


@pytest.mark.long
def test_pixels_changed_in_place_are_other_data(digits, tmp_path):
    images, labels = digits.train.images[:300].copy(), digits.train.labels[:300].copy()
    made = tk.Dataset.from_arrays(
        train=(images, labels), test=digits.test, validation=digits.validation, allow_overlap=True
    )
    tk.train(build(), made, folder=tmp_path, **OPTIONS)
    images[0] ^= 255
    changed = tk.Dataset.from_arrays(
        train=(images, labels), test=digits.test, validation=digits.validation, allow_overlap=True
    )
    for now in (made, changed):
        with pytest.raises(RunError, match="other data"):
            tk.train(build(), now, folder=tmp_path, **OPTIONS)


@pytest.mark.long
def test_lost_weights_of_a_finished_run_are_said(data, tmp_path, capsys):
    run = tk.train(build(), data, folder=tmp_path, **OPTIONS)
    assert run.path is not None
    tk.load_run(run.path)
    from dataclasses import replace

    replace(run, path=None).save(run.path, weights=False, replace=True)
    model = build()
    before = model.get_weights()[0].copy()
    again = tk.train(model, data, folder=tmp_path, **OPTIONS | {"verbose": True})
    assert "without weights" in capsys.readouterr().out
    np.testing.assert_array_equal(before, model.get_weights()[0])
    assert again.model is None


def test_a_finished_run_stays_where_another_failed(data, tmp_path):
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline

    from transferkit.models.baselines import FlattenPixels

    class Broken(DummyClassifier):
        def predict_proba(self, x):
            return super().predict_proba(x) * np.nan

    tk.fit_classifier(make_pipeline(FlattenPixels(), DummyClassifier()), data, name="c", folder=tmp_path, verbose=False)
    broken = make_pipeline(FlattenPixels(), Broken())
    with pytest.warns(TransferKitWarning) as warned:
        tk.fit_classifier(broken, data, name="c", folder=tmp_path, overwrite=True, verbose=False)
    assert "stays" in str(warned[-1].message)
    assert tk.load_run(tmp_path / "c").status == "completed"


@pytest.mark.parametrize(
    "options",
    [
        {"folder": 3},
        {"folder": b"runs"},
        {"name": 5},
        {"save_as": " "},
        {"seed": -1},
        {"seed": 0.5},
        {"tuning_trials": 0},
        {"learning_rate": "fast"},
        {"learning_rate": float("nan")},
        {"label_smoothing": "some"},
        {"warmup_epochs": "one", "schedule": "cosine"},
        {"augment": 3},
        {"epochs": 2.5},
    ],
    ids=str,
)
def test_options_of_a_wrong_kind_are_typed_errors(data, options):
    with pytest.raises(TransferKitError):
        tk.train(build(), data, **OPTIONS | options)


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": np.float32(0.01), "seed": np.int64(3), "epochs": np.int32(1), "augment": None},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9), "epochs": 1},
        {"batch_size": np.int64(16), "augment": ["flip"], "callbacks": None, "epochs": 1},
    ],
)
def test_numpy_numbers_schedules_and_none_mean_what_they_say(data, options):
    assert tk.train(build(), data, **OPTIONS | options).status == "completed"


def test_a_run_may_be_called_like_a_device_of_windows(data, tmp_path):
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline

    from transferkit.models.baselines import FlattenPixels

    tk.fit_classifier(
        make_pipeline(FlattenPixels(), DummyClassifier()), data, name="AUX", folder=tmp_path, verbose=False
    )
    assert [run.name for run in tk.load_runs(tmp_path)] == ["AUX"]
    assert not (tmp_path / "aux").exists()


@pytest.mark.long
def test_a_number_of_numpy_is_that_number(data, tmp_path):
    first = tk.train(
        build(), data, folder=tmp_path, **OPTIONS | {"epochs": np.int64(3), "label_smoothing": np.float64(0.1)}
    )
    again = tk.train(build(), data, folder=tmp_path, **OPTIONS | {"label_smoothing": 0.1})
    assert again.created == first.created
    assert type(first.recipe["epochs"]) is int


@pytest.mark.long
def test_a_found_run_has_the_name_that_is_asked_for(data, tmp_path):
    options = OPTIONS | {"folder": tmp_path, "save_as": "place"}
    first = tk.train(build(), data, **options)
    again = tk.train(build(), data, **options | {"name": "cnn, 10 labels"})
    assert (again.name, again.created) == ("cnn, 10 labels", first.created)


@pytest.mark.long
def test_another_training_under_a_name_that_was_cut_off_is_told(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tk.train(build(), data, callbacks=Trouble("epoch begin", KeyboardInterrupt()), folder=tmp_path, **OPTIONS)
    with pytest.warns(TransferKitWarning, match="was cut off, and this one is another.*set_random_seed"):
        tk.train(build(seed=1), data, folder=tmp_path, **OPTIONS)


def test_options_that_do_not_exist_are_named_with_those_that_do(data):
    for function in (tk.train, tk.fine_tune):
        with pytest.raises(UnknownNameError, match="unknown option 'epoch'. Did you mean 'epochs'"):
            function(build(), data, epoch=1)


class Holds(keras.Model):
    """Has attributes that Keras replaces to track them, and a training step of its own, which may read them."""

    def train_step(self, *data):
        return super().train_step(*data)


def test_a_model_with_lists_and_dicts_as_attributes_is_found_again(data, tmp_path):
    def trained(rate):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((16, 16, 1))
        model = Holds(inputs, keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(inputs)))
        model.rates, model.parts = [rate, 0.2], {"all": [model.layers[-1], (1, 2)]}
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return tk.train(model, data, folder=tmp_path, **OPTIONS | {"epochs": 1})

    assert trained(0.1).created == trained(0.1).created
    with pytest.raises(RunError, match="another"):
        trained(0.3)
