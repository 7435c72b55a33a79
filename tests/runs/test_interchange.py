"""Runs as pandas tables, and runs of somebody's own fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import InvalidInputError, RunError, TransferKitWarning, UnknownNameError
from transferkit.runs.metrics import log_loss

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


@pytest.mark.parametrize("axes", ["a column", "a vector"])
def test_one_sigmoid_output_is_of_the_second_of_two_classes(digits, axes):
    shares = np.array([0.1, 0.6, 0.75], np.float32)
    data = tk.Dataset.from_arrays(train=(digits.train.images[:3], [0, 1, 1]), test=(digits.test.images[:3], [0, 1, 1]))
    run = own_run(data, test_probabilities=shares[:, None] if axes == "a column" else shares)
    np.testing.assert_array_equal(run.test_probabilities, np.stack([1 - shares, shares], axis=1))
    assert run.metrics["accuracy"] == 1
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        own_run(data, test_probabilities=4 * shares[:, None])


def test_class_indices_are_no_probabilities(digits):
    for indices in (digits.test.labels, digits.test.labels[:, None], digits.test.labels > 0):
        with pytest.raises(InvalidInputError, match=r"class indices.*model.predict\(data.test.images\)"):
            own_run(digits, test_probabilities=indices)


def test_a_fit_validated_on_the_test_images_is_found_where_keras_knows_no_floor_of_the_loss(digits):
    sure = np.full((len(digits.test.labels), 10), 1e-12)
    answers = probabilities(digits).argmax(axis=1)
    sure[np.arange(len(sure)), answers] = 1 - 9e-12
    right = answers == digits.test.labels
    loss = float(-np.log(1e-12) * (~right).mean())  # as Keras computes it from logits; log_loss stops at 1e-7
    history = {"loss": [1.0, 0.5], "val_loss": [loss, 2 * loss], "val_accuracy": [right.mean(), 0.9]}
    with pytest.raises(InvalidInputError, match="chose the epoch|were the test images"):
        own_run(digits, history=history, test_probabilities=sure, selection="validation")
    own_run(digits, history=history, test_probabilities=sure, selection="test")


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
    st.dictionaries(st.sampled_from(["loss", "val_loss", "auc", "learning_rate"]), st.none(), min_size=1),
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=8),
    st.integers(0, 50),
)
def test_history_frame_gives_back_what_went_in(digits, names, values, first):
    columns = {name: list(np.roll(values, i)) for i, name in enumerate(names)}
    epochs = list(range(first, first + len(values)))
    frame = own_run(digits, History(columns, epochs)).history_frame()
    assert frame["epoch"].tolist() == [epoch + 1 for epoch in epochs]
    for name, column in columns.items():
        kept = [value if np.isfinite(value) else np.nan for value in column]  # JSON has no word for infinity
        np.testing.assert_array_equal(frame[name].to_numpy(float), kept)


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


@settings(max_examples=40)
@given(
    epochs=st.integers(1, 6),
    place=st.integers(0, 5),
    selection=st.sampled_from(["last", "validation", "none", "test"]),
    noise=st.floats(-1e-6, 1e-6),
)
def test_an_epoch_chosen_on_the_test_images_is_found_whatever_selection_says(digits, epochs, place, selection, noise):
    place = min(place, epochs - 1)
    loss = own_run(digits).metrics["loss"]
    columns = {"loss": [1.0] * epochs, "val_loss": [loss + 0.1 * (i - place) for i in range(epochs)]}
    columns["val_loss"][place] *= 1 + noise
    contradicts = selection == "validation" or (selection in ("last", "none") and place < epochs - 1)
    if contradicts:
        with pytest.raises(InvalidInputError, match=rf"epoch {place + 1}.*test images.*selection='test'"):
            own_run(digits, columns, selection=selection)
    else:
        assert own_run(digits, columns, selection=selection).selection == selection


def test_watching_the_test_loss_without_choosing_by_it_is_no_selection(digits):
    run = own_run(digits)
    watched = COLUMNS | {"val_loss": [run.metrics["loss"]] * 2, "val_accuracy": [run.metrics["accuracy"]] * 2}
    assert own_run(digits, watched).selected_epoch == 2


def test_an_accuracy_like_the_test_images_is_told_unless_the_validation_images_explain_it(digits):
    run = own_run(digits)
    alike = COLUMNS | {"val_accuracy": [run.metrics["accuracy"], 0.5]}
    with pytest.warns(TransferKitWarning, match="val_accuracy of epoch 1 is the accuracy on the test images"):
        own_run(digits, alike)
    validation = probabilities(digits, "validation")
    loss = log_loss(digits.validation.labels, validation)
    explained = alike | {"val_loss": [loss, 3.0]}
    found = own_run(digits, explained, selection="validation", selected_epoch=1, validation_probabilities=validation)
    assert found.selected_epoch == 1
    with pytest.raises(InvalidInputError, match="of epoch 1, not of the last, 2. Say selection='validation'"):
        own_run(digits, explained, validation_probabilities=validation)


def test_columns_may_be_whatever_holds_numbers(digits):
    import tensorflow as tf

    values = np.array([2.0, 1.0], np.float32)
    expected = own_run(digits, {"loss": [2.0, 1.0]}).history
    holders = [tuple(values), values, np.ma.array(values), pd.Series(values, index=[7, 8]), tf.constant(values)]
    holders += [[tf.constant(2.0), tf.constant(1.0)], [np.float16(2), np.array(1)], ["2.0", "1.0"]]
    for holder in holders:
        assert own_run(digits, {"loss": holder}).history == expected
    frame = pd.DataFrame({"Unnamed: 0": [0, 1], "loss": values})
    assert own_run(digits, frame).history == expected


def test_a_metric_with_one_value_for_each_class_is_kept(digits):
    history = {
        "loss": [2.0, 1.0],
        "f1_score": [np.array([0.5, np.nan]), [0.75, 1.0]],
        "learning_rate": np.array([0.1, 0.01]),
    }
    history["auc"] = [None, 0.5]  # missing
    run = own_run(digits, history)
    assert [row["auc"] for row in run.history] == [None, 0.5]
    assert [row["f1_score"] for row in run.history] == [[0.5, None], [0.75, 1.0]]
    assert [row["learning_rate"] for row in run.history] == [0.1, 0.01]
    assert run.history_frame()["f1_score"][1] == [0.75, 1.0]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_file_of_a_csv_logger_is_a_history(digits, tmp_path, separator):
    lines = ["epoch,accuracy,loss,val_loss", "0,0.5,2.5,NA", "1,0.75,1.5,2.0"]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(line.replace(",", separator) for line in lines), encoding="utf-8")
    for history in (file, str(file)):
        assert own_run(digits, history).history == [
            {"epoch": 1, "phase": "train", "accuracy": 0.5, "loss": 2.5, "val_loss": None},
            {"epoch": 2, "phase": "train", "accuracy": 0.75, "loss": 1.5, "val_loss": 2.0},
        ]
    file.write_text(file.read_text(encoding="utf-8") + f"\n0{separator}0.5{separator}2.5{separator}2", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="epoch 1 follows epoch 2. Give the rows of one training"):
        own_run(digits, file)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n1,2,3\n"'])
def test_a_file_that_is_no_log_is_refused(digits, tmp_path, content):
    (tmp_path / "log.csv").write_bytes(content)
    for path in (tmp_path / "log.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(InvalidInputError, match=r"(log\.csv|none\.csv|is no file|history)"):
            own_run(digits, path)


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
        ({"auc": [[[1.0]]]}, "'auc' must hold numbers"),
        ({"auc": [1j]}, "'auc' must hold numbers"),
        ({"auc": [pd.NA]}, "'auc' must hold numbers"),
        ({"auc": [np.datetime64("2026-01-01")]}, "'auc' must hold numbers"),
        ({"auc": np.ma.array([1.0, 2.0], mask=[0, 1])}, "'auc' must not be masked"),
        ({"auc": [np.ma.masked]}, "'auc' must not be masked"),
        ({"auc": {1.0}}, "list with one number"),
        ({"auc": {"a": 1.0}}, "list with one number"),
        ({"accuracy": [91.2]}, "'accuracy' must hold fractions from 0 to 1; got 91.2"),
        ({"loss": [1.0], "epoch": [np.nan]}, "epochs must be whole numbers"),
        ({"loss": [1.0], "epoch": [0.5]}, "epochs must be whole numbers"),
        ({"loss": [1.0], "epoch": [-1]}, r"\['epoch'\] must be a whole number of 1 or more; got 0"),
        ({"loss": [1.0, 1.0], "epoch": [1, 1]}, "epoch 2 follows epoch 2"),
        ("no-such-file.csv", "no-such-file.csv is no file"),
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
        ({"train_seconds": "ten"}, InvalidInputError, "train_seconds"),
        ({"selected_epoch": 1.5}, InvalidInputError, "selected_epoch"),
        ({"selected_epoch": True}, InvalidInputError, "selected_epoch"),
        ({"recipe": 5}, InvalidInputError, "recipe must be a dict"),
        ({"recipe": {"batch_size": "large"}}, InvalidInputError, r"recipe\['batch_size'\] must be a whole number"),
        ({"test_probabilities": [[0.5], [0.5, 0.5]]}, InvalidInputError, "test_probabilities must be an array"),
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
