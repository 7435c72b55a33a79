"""train_label_budgets on scikit-learn's digits: shared nested subsets, names, folders, options by budget, refusals."""

import functools

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, UnknownNameError

FAST = {"epochs": 1, "batch_size": 32, "verbose": False}


@pytest.fixture(scope="module")
def build():
    def linear(seed):
        start = keras.initializers.GlorotUniform(seed=seed)
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax", kernel_initializer=start)]
        model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Rescaling(1 / 255), *layers])
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return linear


@pytest.fixture(scope="module")
def finished(build, digits, tmp_path_factory):
    """Return arms, folder and runs: two arms, two budgets, two seeds."""
    arms = {"Plain": build, "Longer": tk.Arm(build, options=lambda labels: {"epochs": max(1, 20 // labels)})}
    folder = tmp_path_factory.mktemp("labels")
    return (
        arms,
        folder,
        tk.train_label_budgets(arms, digits, labels_per_class=(10, 3), seeds=(0, 1), folder=folder, **FAST),
    )


@pytest.mark.slow
def test_every_arm_budget_and_seed_has_its_run_and_folder(finished):
    _, folder, runs = finished
    found = [(run.name, run.dataset["labels_per_class"], run.seed) for run in runs]
    assert found == [(arm, budget, seed) for arm in ("Plain", "Longer") for budget in (3, 10) for seed in (0, 1)]
    assert runs[0].path == folder / "plain-3-per-class-seed-0"
    assert {run.path.name for run in tk.load_runs(folder)} == {run.path.name for run in runs}


@pytest.mark.slow
def test_arms_share_the_subsets_of_each_seed(finished, digits):
    _, _, runs = finished
    prints = {(run.name, run.dataset["labels_per_class"], run.seed): run.dataset["train_fingerprint"] for run in runs}
    for budget in (3, 10):
        for seed in (0, 1):
            subset = digits.subset(budget, seed=seed)
            assert np.bincount(subset.train.labels).tolist() == [budget] * 10
            assert prints["Plain", budget, seed] == prints["Longer", budget, seed] == subset.fingerprints["train"]
    assert len(set(prints.values())) == 4
    assert len({run.dataset["test_fingerprint"] for run in runs}) == 1


@pytest.mark.slow
def test_options_follow_the_budget(finished):
    _, _, runs = finished
    epochs = {(run.name, run.dataset["labels_per_class"]): len(run.history) for run in runs}
    assert epochs == {("Plain", 3): 1, ("Plain", 10): 1, ("Longer", 3): 6, ("Longer", 10): 2}


@pytest.mark.slow
def test_runs_are_found_again_and_make_a_curve(finished, digits):
    arms, folder, runs = finished
    again = tk.train_label_budgets(arms, digits, labels_per_class=(3, 10), seeds=(0, 1), folder=folder, **FAST)
    assert [run.created for run in again] == [run.created for run in runs]
    curve = tk.efficiency_curve(again, baseline="Plain")
    assert set(curve.differences["method"]) == {"paired t"}
    assert len(curve.points) == 8


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"labels_per_class": ()}, "at least one number of labels"),
        ({"labels_per_class": (3, 3)}, "each once"),
        ({"labels_per_class": (0,)}, "int of 1 or more"),
        ({"labels_per_class": 10}, "several ints"),
        ({"labels_per_class": (3, 5000)}, "asks for more than there is"),
        ({"seeds": ()}, "seeds is empty"),
        ({"epoch": 3}, "unknown option of train 'epoch'"),
        ({"arms": {}}, "at least one name"),
        ({"arms": [tk.build_cnn]}, "at least one name"),
        ({"arms": {"a": "cnn"}}, "build must be a function"),
        ({"arms": {"a": tk.Arm(tk.build_cnn, method="fit")}}, "unknown method"),
        ({"arms": {"a": tk.Arm(tk.build_cnn, options=lambda labels: 3)}}, "must be a mapping"),
        ({"arms": {"a b": tk.build_cnn, "A-b": tk.build_cnn}}, "saved in one folder"),
    ],
)
def test_bad_input_is_refused_before_training(digits, monkeypatch, options, match):
    def fail(*_, **__):
        raise AssertionError("training began")

    monkeypatch.setattr("transferkit.training.tasks._attempt", fail)
    given = {"arms": {"a": functools.partial(tk.build_cnn, (16, 16, 1))}, "labels_per_class": (3,), "seeds": (0,)}
    given |= options
    with pytest.raises((InvalidInputError, UnknownNameError), match=match):
        tk.train_label_budgets(given.pop("arms"), digits, **given)
