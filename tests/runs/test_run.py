"""The Run record."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.runs.loading import load_run
from transferkit.runs.run import Run


def make(**options):
    fields = {
        "name": "toy",
        "class_names": ("cat", "dog"),
        "test_probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        "test_labels": np.array([0, 1, 1]),
        "seed": 3,
    }
    return Run(**(fields | options))


def test_arrays_become_float32_and_int64_and_read_only():
    labels = np.array([0, 1, 1], np.uint8)
    run = make(test_labels=labels)
    assert run.test_probabilities.dtype == np.float32
    assert run.test_labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        run.test_probabilities[0] = 0
    labels[0] = 1  # the caller's own array stays writable


def test_validation_may_be_absent():
    run = make()
    assert run.validation_probabilities.shape == (0, 2)
    assert run.validation_labels.shape == (0,)


def test_metrics_are_computed_once():
    run = make()
    assert run.metrics is run.metrics
    assert run.metrics["accuracy"] == pytest.approx(2 / 3)


def test_predictions_are_the_most_probable_classes_and_correct_where_they_are_the_labels():
    run = make(test_probabilities=[[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    assert run.test_predictions.tolist() == [0, 0, 1]  # the first of equals
    assert run.test_correct.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="read-only"):
        run.test_correct[0] = False


@pytest.mark.parametrize("name", ["test_predictions", "test_correct", "metrics"])
def test_probabilities_that_are_none_are_refused_and_the_run_is_named(name):
    with pytest.raises(InvalidInputError, match="test probabilities of run 'toy' must be finite"):
        getattr(make(test_probabilities=np.full((3, 2), np.nan)), name)
    with pytest.raises(RunError, match="'toy' has no test predictions"):
        getattr(make(status="diverged", test_probabilities=np.empty((0, 2))), name)


def test_descriptions_hold_no_numpy_and_no_nan_so_that_they_compare_as_saved_ones_do(tmp_path):
    recipe = {"weights": np.array([1.0, np.nan]), "rate": np.float32(0.5), "decay": float("nan"), "augment": ("flip",)}
    run = make(recipe=recipe, dataset={"labels_per_class": np.int64(10)})
    assert run.recipe == {"weights": [1.0, None], "rate": 0.5, "decay": None, "augment": ["flip"]}
    assert type(run.dataset["labels_per_class"]) is int
    saved = load_run(run.save(tmp_path / "run"))
    assert saved.recipe == run.recipe


@pytest.mark.parametrize(
    "wrong",
    [
        {"class_names": 10},
        {"class_names": "cat"},
        {"history": None},
        {"history": [0.5, 0.4]},
        {"phases": {"name": "train"}},
        {"test_probabilities": [[0.5, 0.5], [1.0]]},
        {"test_probabilities": "many"},
    ],
)
def test_wrong_types_are_refused_by_name(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        make(**wrong)


def test_totals_add_up_over_the_phases():
    run = make(
        phases=[{"seconds": 1.5, "images": 300}, {"seconds": 2.5, "images": 500}],
        model_info={"parameters": 10, "trainable_parameters": np.int64(4)},
        train_accuracy=1.0,
    )
    assert (run.train_seconds, run.images_per_second, run.parameters, run.trainable_parameters) == (4.0, 200.0, 10, 4)
    assert run.overfit_gap == pytest.approx(1 / 3)


def test_what_was_not_recorded_is_none():
    run = make()
    facts = (run.train_seconds, run.images_per_second, run.parameters, run.trainable_parameters, run.overfit_gap)
    assert facts == (None,) * 5


def test_runs_are_compared_by_identity_and_are_hashable():
    run = make()
    assert run != make()
    assert {run: 1}[run] == 1


def test_repr_is_one_line_without_the_model():
    text = repr(make(model=object()))
    assert "\n" not in text
    assert "object" not in text
    assert text == "Run('toy', completed, accuracy=0.6667, loss=0.4149, 0 epochs, seed 3)"


def test_a_run_without_result_has_a_repr_but_no_metrics():
    run = make(status="diverged", test_probabilities=np.empty((0, 2)))
    assert repr(run) == "Run('toy', diverged, 0 epochs, seed 3)"
    assert run.overfit_gap is None
    with pytest.raises(RunError, match="'diverged'"):
        _ = run.metrics


def test_a_notebook_shows_a_run_as_a_table_of_text():
    shown = make(name="<b>CNN</b> & co")._repr_html_()
    assert "&lt;b&gt;CNN&lt;/b&gt; &amp; co" in shown
    assert "accuracy" in shown
    assert "accuracy" not in make(test_probabilities=np.full((3, 2), np.nan))._repr_html_()


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "cp1252", "ascii"])
def test_a_run_prints_on_any_console(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    stream.write(str([make(name="약한 – 모델")]))
    stream.flush()
    expected = "약한 – 모델" if encoding == "utf-8" else "약한 - 모델" if encoding == "cp949" else "\\uc57d"
    assert expected in stream.buffer.getvalue().decode(encoding)


def test_nan_probabilities_do_not_break_repr():
    assert "completed" in repr(make(test_probabilities=np.full((3, 2), np.nan)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "  "}, "name"),
        ({"name": None}, "name"),
        ({"class_names": ("cat", "cat")}, "distinct"),
        ({"class_names": ()}, "at least one"),
        ({"class_names": ("a", "b", "c")}, r"\(n, 3\)"),
        ({"test_probabilities": np.zeros(3)}, r"\(n, 2\)"),
        ({"test_probabilities": np.full((2, 2), 0.5)}, "equally many"),
        ({"test_probabilities": np.empty((0, 2))}, "no test probabilities"),
        ({"test_labels": np.array([0, 1, 2])}, "from 0 to 1"),
        ({"test_labels": np.eye(3)}, "argmax"),
        ({"validation_probabilities": np.full((2, 2), 0.5), "validation_labels": np.array([1])}, "equally many"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(options, says):
    with pytest.raises(InvalidInputError, match=says):
        make(**options)


@pytest.mark.parametrize("field", ["status", "selection"])
def test_unknown_words_list_the_known_ones(field):
    with pytest.raises(UnknownNameError, match="Known: "):
        make(**{field: "finished"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": None}, "seed must be a whole number"),
        ({"selected_epoch": 3.5}, "selected_epoch must be a whole number"),
        ({"tuning_trials": "two"}, "tuning_trials must be a whole number"),
        ({"dataset": object()}, r"dataset must be a dict.*data\.describe"),
        ({"recipe": ["epochs"]}, "recipe must be a dict"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_could_not_be_read_again_is_refused(options, says):
    with pytest.raises(InvalidInputError, match=says):
        make(**options)


def test_whole_numbers_of_numpy_become_plain_ones():
    run = make(seed=np.int64(2), selected_epoch=np.int32(3))
    assert (type(run.seed), type(run.selected_epoch)) == (int, int)


def test_a_run_gets_its_model_and_its_place_by_replacing(tmp_path):
    run = make()
    model = object()
    placed = replace(run, model=model, path=run.save(tmp_path / "run"))
    assert placed.model is model
    assert placed.path == tmp_path / "run"
    assert (run.model, run.path) == (None, None)
    assert placed.metrics == run.metrics


def test_weights_file_is_there_or_none(tmp_path):
    class PlainModel:
        def to_json(self):
            return "{}"

        def save_weights(self, path):
            Path(path).write_bytes(b"weights")

    assert make().weights_file is None
    run = load_run(make(model=PlainModel()).save(tmp_path / "run"))
    assert run.weights_file == tmp_path / "run" / "model.weights.h5"
    run.weights_file.unlink()
    assert load_run(tmp_path / "run").weights_file is None


def test_a_run_whose_predictions_are_no_probabilities_is_not_saved(tmp_path):
    with pytest.raises(InvalidInputError, match="test probabilities of run 'toy' must be finite"):
        make(test_probabilities=np.full((3, 2), np.nan)).save(tmp_path / "run")
    odd = make(validation_probabilities=[[0.5, 0.9]], validation_labels=[0])
    with pytest.raises(InvalidInputError, match="validation probabilities of run 'toy' must have the sum 1"):
        odd.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_masked_probabilities_and_labels_are_refused():
    with pytest.raises(InvalidInputError, match="test_probabilities must not be masked"):
        make(test_probabilities=np.ma.array(np.full((3, 2), 0.5), mask=[[0, 0], [0, 0], [1, 0]]))
    with pytest.raises(InvalidInputError, match="test_labels must not be masked"):
        make(test_labels=np.ma.array([0, 1, 1], mask=[0, 1, 0]))


def test_loops_and_depths_in_a_recipe_end():
    recipe = {"self": None}
    recipe["self"] = recipe
    deep = []
    for _ in range(5000):
        deep = [deep]
    run = make(recipe=recipe | {"deep": deep, "huge": 10**5000})
    assert run.recipe["self"] == {"self": "..."}
    assert run.recipe["huge"].startswith("0x")
