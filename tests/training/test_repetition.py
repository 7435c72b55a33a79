"""repeat on scikit-learn's digits: what the seed draws, what is found again, failures, and other processes."""

import functools
import os
import signal
import warnings

import joblib
import keras
import numpy as np
import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError

import transferkit as tk
from transferkit.data.dataset import Dataset
from transferkit.errors import (
    DataError,
    FailedRunsError,
    InvalidInputError,
    RunError,
    TransferKitWarning,
    UnknownNameError,
    warn,
)
from transferkit.features import engine as engines
from transferkit.training import tasks

FAST = {"epochs": 1, "batch_size": 32, "verbose": False}


def build_linear(seed=0, *, classes=10):
    """Return the smallest classifier there is."""
    start = keras.initializers.GlorotUniform(seed=seed)
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(classes, "softmax", kernel_initializer=start),
    ]
    model = keras.Sequential([keras.Input((16, 16, 1)), *layers], name="linear")
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def build():
    return build_linear


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(30)


def same(run, other, atol=0.0):
    np.testing.assert_allclose(run.test_probabilities, other.test_probabilities, atol=atol)


@pytest.fixture(scope="module")
def cnn():
    return functools.partial(tk.build_cnn, (16, 16, 1), filters=(4,), dense_units=8)


@pytest.fixture(scope="module")
def runs(cnn, data):
    return tk.repeat(cnn, data, seeds=(3, 1), name="CNN", **FAST)


def test_each_run_is_what_train_makes_of_its_seed(runs, cnn, data):
    assert [(run.name, run.seed) for run in runs] == [("CNN", 3), ("CNN", 1)]
    assert len({run.key for run in runs}) == 2
    assert all(run.model is None for run in runs)
    same(runs[1], tk.train(cnn(seed=1), data, seed=1, **FAST), atol=1e-5)
    assert np.abs(runs[0].test_probabilities - runs[1].test_probabilities).max() > 1e-3


@pytest.mark.long
def test_finished_runs_are_found_again_and_other_settings_refused(build, data, tmp_path, monkeypatch):
    first = tk.repeat(build, data, seeds=[0], name="My CNN", folder=tmp_path, **FAST)
    both = tk.repeat(build, data, seeds=[0, 1], name="My CNN", folder=tmp_path, **FAST)
    assert both[0].created == first[0].created
    assert both[0].path == first[0].path == tmp_path / "my-cnn-seed-0"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["my-cnn-seed-0", "my-cnn-seed-1"]
    assert {run.name for run in tk.load_runs(tmp_path)} == {"My CNN"}
    probabilities = tk.load_model(both[1].path).predict(data.test.images, verbose=0)
    np.testing.assert_allclose(probabilities, both[1].test_probabilities, atol=1e-5)
    with pytest.raises(FailedRunsError, match="batch_size 32 .now 16"):
        tk.repeat(build, data, seeds=[0, 1], name="My CNN", folder=tmp_path, **FAST | {"batch_size": 16})


@pytest.mark.slow
def test_split_follows_the_seed_where_data_is_a_function(build, digits):
    def load(seed):
        return Dataset.from_arrays(
            digits.train, digits.test, validation=100, seed=seed, name="digits", allow_overlap=True
        )

    runs = tk.repeat(build, load, seeds=(0, 1), **FAST)
    assert [run.dataset["split_seed"] for run in runs] == [0, 1]
    assert len({run.dataset["train_fingerprint"] for run in runs}) == 2
    assert len({run.dataset["test_fingerprint"] for run in runs}) == 1


@pytest.mark.slow
def test_test_images_that_follow_the_seed_are_refused(build, digits):
    def load(seed):
        part = slice(seed, seed + 100)
        return Dataset.from_arrays(
            digits.train, (digits.test.images[part], digits.test.labels[part]), allow_overlap=True
        )

    with pytest.raises(FailedRunsError, match="test images of seed 1 are not those") as caught:
        tk.repeat(build, load, seeds=(0, 1), **FAST)
    assert [run.seed for run in caught.value.runs] == [0]


@pytest.mark.long
def test_one_failed_run_does_not_lose_the_others(build, data, tmp_path):
    def sometimes(seed):
        if seed == 1:
            raise MemoryError("no room")
        return build(seed=seed)

    with pytest.raises(FailedRunsError, match="1 of 3 runs failed: CNN-seed-1 .MemoryError: no room") as caught:
        tk.repeat(sometimes, data, seeds=(0, 1, 2), name="CNN", folder=tmp_path, **FAST)
    assert [run.seed for run in caught.value.runs] == [0, 2]
    assert isinstance(caught.value.failures["CNN-seed-1"], MemoryError)
    assert isinstance(caught.value, RunError)
    done = {run.seed: run.created for run in tk.load_runs(tmp_path)}
    whole = tk.repeat(build, data, seeds=(0, 1, 2), name="CNN", folder=tmp_path, **FAST)
    assert [run.seed for run in whole] == [0, 1, 2]
    assert {run.seed: run.created for run in whole if run.seed != 1} == done


def test_diverged_run_is_returned_as_such(cnn, data):
    with pytest.warns(TransferKitWarning, match="diverged in epoch"):
        runs = tk.repeat(cnn, data, seeds=[0], learning_rate=1e30, **FAST | {"epochs": 2})
    assert runs[0].status == "diverged"


@pytest.mark.slow
def test_function_without_seed_follows_it_through_keras(data):
    def build():
        model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    first = tk.repeat(build, data, seeds=(0, 1), name="linear", **FAST)
    again = tk.repeat(build, data, seeds=[1], name="linear", **FAST)
    assert first[1].key == again[0].key != first[0].key  # a key holds the initial weights
    same(first[1], again[0], atol=1e-5)


def test_the_same_start_for_every_seed_is_warned_about(build, data, monkeypatch):
    monkeypatch.setattr("transferkit.training.repetition.run_tasks", lambda *_, **__: [])
    with pytest.warns(TransferKitWarning, match="start from the same weights"):
        tk.repeat(lambda: build(seed=7), data, seeds=(0, 1), **FAST)


@pytest.mark.long
def test_seeds_share_the_features_of_frozen_layers(transfer, data, monkeypatch):
    computed = []
    load = engines.load_engine

    def counting(*arguments, **options):
        compute = load(*arguments, **options)
        return lambda images: computed.append(len(images)) or compute(images)

    monkeypatch.setattr("transferkit.features.cache.load_engine", counting)
    tk.repeat(functools.partial(transfer, True), data, seeds=(0, 1), **FAST)
    # Training, validation and test images once; the second seed finds them.
    assert sum(computed) == len(np.unique(np.concatenate([split.images for split in data]), axis=0))


@pytest.mark.slow
def test_fine_tune_takes_its_options(transfer, data):
    run = tk.repeat(functools.partial(transfer, True), data, seeds=[0], method="fine_tune", head_epochs=1, **FAST)[0]
    assert [phase["name"] for phase in run.phases] == ["head", "all"]


def nothing_trains(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("training began")

    monkeypatch.setattr("transferkit.training.repetition.run_tasks", fail)  # first, since it may be imported by this
    monkeypatch.setattr(tasks, "run_tasks", fail)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": (0, 1, 0)}, "given once"),
        ({"seeds": (0, -1)}, "0 or more"),
        ({"seeds": (0, 1.5)}, "seed must be an int"),
        ({"seeds": (True,)}, "seed must be an int"),
        ({"seeds": 3}, r"range\(5\)"),
        ({"seeds": "12"}, r"range\(5\)"),
        ({"method": "fit"}, "unknown method 'fit'"),
        ({"epoch": 3}, "unknown option of train 'epoch'.*'epochs'"),
        ({"head_epochs": 3}, "unknown option of train"),
        ({"seed": 3}, "unknown option of train 'seed'"),
    ],
)
def test_bad_input_is_refused_before_training(build, data, monkeypatch, options, match):
    nothing_trains(monkeypatch)
    with pytest.raises((InvalidInputError, UnknownNameError), match=match):
        tk.repeat(build, data, **{"seeds": (0, 1)} | options)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("mobilenet", "build must be a function"),
        (lambda seed: None, "it returned NoneType"),
        (lambda seed: keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten()]), r"call model\.compile"),
    ],
)
def test_what_build_must_return(data, monkeypatch, wrong, match):
    nothing_trains(monkeypatch)
    with pytest.raises(InvalidInputError, match=match):
        tk.repeat(wrong, data, seeds=(0, 1))


@pytest.mark.long
def test_an_error_of_every_run_is_raised_itself(build, data):
    with pytest.raises(InvalidInputError, match="epochs must be"):
        tk.repeat(build, data, seeds=(0, 1), **FAST | {"epochs": 0})
    with pytest.raises(DataError, match="num_classes=10"):
        tk.repeat(functools.partial(build, classes=7), data, seeds=(0, 1), **FAST)
    for wrong in (data.train, lambda seed: data.train):
        with pytest.raises(InvalidInputError, match="data must be a Dataset"):
            tk.repeat(build, wrong, seeds=(0, 1), **FAST)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(runs, cnn, data):
    fanned_out = tk.repeat(lambda seed: cnn(seed=seed), data, seeds=(3, 1), name="CNN", n_jobs=2, **FAST)
    for run, other in zip(runs, fanned_out, strict=True):
        assert (run.name, run.seed, run.key) == (other.name, other.seed, other.key)
        same(run, other, atol=1e-5)


@pytest.mark.slow
def test_failures_and_warnings_cross_processes(data, tmp_path):
    def build_or_fail(seed):
        if seed == 1:
            raise UnknownNameError("backbone", "mobilnet", ["mobilenet"])
        return tk.build_cnn((16, 16, 1), filters=(8,), dense_units=16, seed=seed)

    options = {"seeds": (0, 1), "name": "CNN", "folder": tmp_path, "n_jobs": 2, "learning_rate": 1e30}
    with (
        pytest.warns(TransferKitWarning, match="CNN-seed-0: run 'CNN' diverged"),
        pytest.raises(FailedRunsError, match="Did you mean 'mobilenet'") as caught,
    ):
        tk.repeat(lambda seed: build_or_fail(seed), data, **options, **FAST | {"epochs": 2})
    assert [run.status for run in caught.value.runs] == ["diverged"]
    assert "build_or_fail" in caught.value.failures["CNN-seed-1"].__notes__[0]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_worker_is_an_error_and_loses_no_finished_run(cnn, data, tmp_path):
    options = {"name": "CNN", "folder": tmp_path, **FAST}
    (finished,) = tk.repeat(cnn, data, seeds=[0], **options)

    def killed_at_seed_1(seed):
        if seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return cnn(seed=seed)

    with pytest.raises((FailedRunsError, TerminatedWorkerError)):  # at each of several attempts
        tk.repeat(killed_at_seed_1, data, seeds=(0, 1), n_jobs=2, **options)
    again = tk.repeat(cnn, data, seeds=(0, 1), **options)
    assert [run.seed for run in again] == [0, 1]
    assert again[0].created == finished.created


@pytest.mark.long
def test_seeds_that_are_added_later_are_told_from_those_that_were_planned(build, data, tmp_path):
    options = {"name": "CNN", "folder": tmp_path, **FAST}
    first = tk.repeat(build, data, seeds=(0, 1), **options)
    more = tk.repeat(build, data, seeds=(0, 1, 2), **options)
    assert [run.plan["seeds"] for run in more] == [[0, 1], [0, 1], [0, 1, 2]]
    assert tk.compare_runs(first).added_seeds == {}
    assert tk.compare_runs(more).added_seeds == {"CNN": [2]}


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_that_joblib_forks_are_refused_before_anything_of_keras_runs(digits):
    tk.train(build_linear(), digits.subset(3), **FAST)  # so that TensorFlow runs
    with joblib.parallel_backend("multiprocessing", n_jobs=2), pytest.raises(InvalidInputError, match="forked"):
        tk.repeat(build_linear, digits.subset(3), seeds=(0, 1), **FAST)


@pytest.mark.long
def test_many_trainings_print_a_line_each_and_say_the_same_once(data, capsys):
    def build(seed):
        warn("something odd")
        return build_linear(seed)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TransferKitWarning)
        tk.repeat(build, data, seeds=(0, 1), name="linear", **(FAST | {"verbose": True}))
    assert [(item.filename, str(item.message)) for item in caught] == [(__file__, "something odd")]
    few, *lines = capsys.readouterr().out.splitlines()
    assert "few training steps" in few
    assert [line.partition(": accuracy")[0] for line in lines] == ["1 of 2: linear-seed-0", "2 of 2: linear-seed-1"]


class Losses(keras.callbacks.Callback):
    """Remember every loss, as a callback of one's own may."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(logs["loss"]))


class Report(keras.callbacks.Callback):
    """Read what another callback remembers."""

    def __init__(self, other, seen):
        super().__init__()
        self.other, self.note = other, seen.append

    def on_train_end(self, logs=None):
        self.note(len(self.other.losses))


def test_callbacks_that_know_each_other_stay_together(cnn, data):
    losses, seen = Losses(), []
    report = Report(losses, [])
    report.note = lambda count: seen.append(count)
    tk.repeat(cnn, data, seeds=(0, 1), callbacks=[losses, report], **FAST)
    assert seen == [FAST["epochs"]] * 2


@pytest.mark.long
def test_no_seed_meets_what_a_callback_remembers_of_another(cnn, data, tmp_path):
    options = {"seeds": (0, 1), "name": "CNN", "folder": tmp_path, **FAST}
    first = tk.repeat(cnn, data, callbacks=[Losses()], **options)
    again = tk.repeat(cnn, data, callbacks=[Losses()], **options)
    assert [run.created for run in again] == [run.created for run in first]


@pytest.mark.parametrize("inner", ["optimizer", "model"])
def test_options_of_a_builder_that_go_on_are_no_seed(data, inner):
    def build(**options):
        layers = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
        model = keras.Sequential(layers, **options if inner == "model" else {})
        optimizer = keras.optimizers.Adam(**options if inner == "optimizer" else {})
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    runs = tk.repeat(build, data, seeds=(0, 1), **FAST)
    assert not np.array_equal(runs[0].test_probabilities, runs[1].test_probabilities)


def of_shared(backbone, *, freeze):
    inputs = keras.Input((16, 16, 1))
    backbone.trainable = not freeze
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(backbone(inputs)))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def shared():
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(8, activation="relu")(x), name="backbone")


@pytest.mark.parametrize(
    "options", [{"freeze": False}, {"freeze": True, "method": "fine_tune"}], ids=["train", "fine_tune"]
)
def test_models_that_would_train_each_other_are_refused(shared, data, monkeypatch, options):
    nothing_trains(monkeypatch)
    method = {name: options[name] for name in options if name == "method"}
    build = functools.partial(of_shared, shared, freeze=options["freeze"])
    with pytest.raises(InvalidInputError, match="share weights .*inside of the function"):
        tk.repeat(build, data, seeds=[0, 1], **method)
    with pytest.raises(InvalidInputError, match="share weights"):
        tk.cross_validate(build, data, folds=3, **method)


@pytest.mark.long
def test_a_frozen_network_may_be_shared(shared, data):
    runs = tk.repeat(functools.partial(of_shared, shared, freeze=True), data, seeds=(0, 1), **FAST)
    assert [run.status for run in runs] == ["completed"] * 2
