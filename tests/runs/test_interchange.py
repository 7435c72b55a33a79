"""Runs as pandas tables, and runs of somebody's own fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import InvalidInputError, RunError, UnknownNameError

COLUMNS = {"loss": [2.0, 1.0], "accuracy": [0.3, 0.6], "val_loss": [1.9, 1.2], "val_accuracy": [0.2, 0.5]}


class History:
    """What ``fit`` returns, as far as a run needs it: nothing here needs Keras."""

    def __init__(self, history, epoch, model=None):
        self.history, self.epoch, self.params, self.model = history, epoch, {"epochs": 2, "steps": 8}, model


def probabilities(data, split="test", seed=0):
    """Return probabilities that are right more often than not."""
    labels, rng = getattr(data, split).labels, np.random.default_rng(seed)
    answers = np.where(rng.random(len(labels)) < 0.7, labels, rng.integers(0, data.num_classes, len(labels)))
    return 0.5 * np.eye(data.num_classes)[answers] + 0.5 * rng.dirichlet(np.ones(data.num_classes), size=len(labels))


def own_run(data, history=None, **options):
    fields = {"name": "mine", "data": data, "test_probabilities": probabilities(data)} | options
    return tk.Run.from_history(History(COLUMNS, [0, 1]) if history is None else history, **fields)


def test_history_becomes_rows(digits):
    run = own_run(digits)
    assert run.history == [
        {"epoch": 1, "phase": "train", "loss": 2.0, "accuracy": 0.3, "val_loss": 1.9, "val_accuracy": 0.2},
        {"epoch": 2, "phase": "train", "loss": 1.0, "accuracy": 0.6, "val_loss": 1.2, "val_accuracy": 0.5},
    ]
    assert (run.selection, run.selected_epoch, run.status) == ("last", 2, "completed")
    assert run.dataset == digits.describe()
    np.testing.assert_array_equal(run.test_labels, digits.test.labels)


def test_own_fit_joins_a_comparison_and_is_saved(digits, tmp_path):
    own = own_run(
        digits,
        validation_probabilities=probabilities(digits, "validation"),
        train_seconds=10.0,
        recipe={"batch_size": 64},
        selection="validation",
        selected_epoch=2,
    )
    loaded = tk.load_run(own.save(tmp_path / "mine"))
    other = own_run(digits, name="other", test_probabilities=np.eye(10)[digits.test.labels])
    comparison = tk.compare_runs([loaded, other])
    assert comparison.table.loc["other", "accuracy"] == 1
    assert comparison.table.loc["mine", "train_seconds"] == 10
    assert loaded.images_per_second == pytest.approx(2 * len(digits.train.labels) / 10)
    assert "batch size 64" in comparison.to_markdown()
    assert tk.calibrate(loaded).metrics["accuracy"] == own.metrics["accuracy"]


def test_real_keras_fit_tells_its_model_and_optimiser(digits):
    import keras

    model = tk.build_cnn((16, 16, 1), filters=(4,), dense_units=8)
    model.compile(
        keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"]
    )
    model.fit(*digits.train, epochs=1, verbose=0)
    history = model.fit(*digits.train, validation_data=digits.validation, epochs=2, initial_epoch=1, verbose=0)
    run = own_run(digits, history, test_probabilities=model.predict(digits.test.images, verbose=0))
    assert [row["epoch"] for row in run.history] == [2]
    assert set(run.history[0]) >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert run.parameters == run.trainable_parameters == model.count_params()
    assert run.recipe == {"optimizer": "SGD"}


def test_columns_of_a_csv_log_are_a_history(digits, tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,acc,lr\n3,2.5,0.1,0.01\n4,1.5,0.2,0.005\n", encoding="utf-8")
    table = pd.read_csv(tmp_path / "log.csv")
    for history in (table, table.to_dict("list")):
        assert own_run(digits, history).history == [
            {"epoch": 4, "phase": "train", "loss": 2.5, "accuracy": 0.1, "learning_rate": 0.01},
            {"epoch": 5, "phase": "train", "loss": 1.5, "accuracy": 0.2, "learning_rate": 0.005},
        ]


@settings(max_examples=30)
@given(
    st.dictionaries(st.sampled_from(["loss", "accuracy", "val_loss", "auc"]), st.none(), min_size=1),
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=8),
    st.integers(0, 50),
)
def test_history_frame_gives_back_what_went_in(digits, names, values, first):
    columns = {name: list(np.roll(values, i)) for i, name in enumerate(names)}
    epochs = list(range(first, first + len(values)))
    frame = own_run(digits, History(columns, epochs)).history_frame()
    assert frame["epoch"].tolist() == [epoch + 1 for epoch in epochs]
    for name, column in columns.items():
        np.testing.assert_array_equal(frame[name].to_numpy(float), column)


def test_history_frame_of_a_run_without_history_is_empty():
    run = tk.Run(name="toy", class_names=("a", "b"), test_probabilities=np.eye(2), test_labels=[0, 1], seed=0)
    assert run.history_frame().empty
    assert list(run.history_frame().columns) == ["epoch", "phase"]


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_predictions_frame_says_what_the_arrays_say(n, classes, seed):
    rng = np.random.default_rng(seed)
    values, labels = rng.dirichlet(np.ones(classes), size=n), rng.integers(0, classes, n)
    names = tuple(f"class {index}" for index in range(classes))
    run = tk.Run(name="toy", class_names=names, test_probabilities=values, test_labels=labels, seed=0)
    frame = run.predictions_frame()
    assert frame.index.name == "image"
    assert frame["label"].cat.codes.tolist() == labels.tolist()
    assert [names.index(name) for name in frame["predicted"]] == values.astype(np.float32).argmax(axis=1).tolist()
    assert frame["right"].mean() == pytest.approx(run.metrics["accuracy"])
    np.testing.assert_array_equal(frame["probability"], run.test_probabilities.max(axis=1))
    assert -np.log(np.maximum(frame["label_probability"], 1e-7)).mean() == pytest.approx(run.metrics["loss"], abs=1e-5)
    # a confusion matrix is one line of pandas away
    assert pd.crosstab(frame["label"], frame["predicted"]).to_numpy().sum() == n


def test_predictions_frame_of_validation(digits):
    run = own_run(digits, validation_probabilities=probabilities(digits, "validation"))
    assert len(run.predictions_frame("validation")) == len(digits.validation.labels)
    with pytest.raises(RunError, match="no validation predictions"):
        own_run(digits).predictions_frame("validation")
    with pytest.raises(UnknownNameError, match="Known: test, validation"):
        run.predictions_frame("train")


def test_validation_on_the_test_images_is_found_out(digits):
    run = own_run(digits)
    leaked = COLUMNS | {"val_loss": [1.9, run.metrics["loss"] * (1 + 1e-7)]}
    with pytest.raises(InvalidInputError, match="epoch 2 is the loss on the test images"):
        own_run(digits, leaked, selection="validation", selected_epoch=2)
    assert own_run(digits, leaked, selection="test").selection == "test"


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (None, "model.fit"),
        (object(), "model.fit"),
        ({}, "at least one epoch"),
        ({"loss": []}, "at least one epoch"),
        ({"loss": [1.0, 2.0], "accuracy": [0.5]}, "equally long.*'loss': 2, 'accuracy': 1"),
        ({"loss": 1.0}, "list with one number"),
        ({"loss": "12"}, "list with one number"),
        ({"loss": ["high"]}, "'loss' must hold numbers"),
        ({"loss": [[1.0, 2.0]]}, "'loss' must hold numbers"),
        (pd.DataFrame({"phase": ["train"], "loss": [1.0]}), "'phase' must hold numbers"),
        (History({"loss": [1.0, 2.0]}, [0]), "one number for each of the 2 epochs"),
    ],
)
def test_what_is_no_history_is_refused(digits, history, says):
    with pytest.raises(InvalidInputError, match=says):
        tk.Run.from_history(history, name="mine", data=digits, test_probabilities=probabilities(digits))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"test_probabilities": np.full((3, 10), 0.1)}, InvalidInputError, r"shape \(597, 10\).*data.test.images"),
        ({"test_probabilities": np.ones((597, 1))}, InvalidInputError, r"shape \(597, 10\)"),
        ({"test_probabilities": np.full((597, 10), 3.0)}, InvalidInputError, "softmax"),
        ({"test_probabilities": np.full((597, 10), np.nan)}, InvalidInputError, "finite"),
        ({"validation_probabilities": np.full((3, 10), 0.1)}, InvalidInputError, "data.validation.images"),
        ({"selection": "best"}, UnknownNameError, "Known: validation"),
        ({"selected_epoch": 3}, InvalidInputError, r"one of the history's epochs, \[1, 2\]"),
        ({"train_seconds": 0.0}, InvalidInputError, "train_seconds"),
        ({"train_seconds": np.inf}, InvalidInputError, "train_seconds"),
        ({"seed": -1}, InvalidInputError, "seed"),
        ({"name": ""}, InvalidInputError, "name"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(digits, options, error, says):
    with pytest.raises(error, match=says):
        own_run(digits, **options)


def test_data_must_be_a_dataset(digits):
    with pytest.raises(InvalidInputError, match="from_arrays"):
        tk.Run.from_history(COLUMNS, name="mine", data=digits.test, test_probabilities=probabilities(digits))


def test_predictions_frame_names_files():
    run = tk.Run(
        name="a",
        class_names=("x", "y"),
        test_probabilities=[[0.75, 0.25], [0.5, 0.5]],
        test_labels=[0, 1],
        validation_probabilities=[[1, 0]],
        validation_labels=[1],
        dataset={"test_files": ["x/1.png", "y/2.png"], "validation_files": ["y/3.png"]},
        seed=0,
    )
    assert run.predictions_frame()["file"].tolist() == ["x/1.png", "y/2.png"]
    assert run.predictions_frame("validation")["file"].tolist() == ["y/3.png"]
