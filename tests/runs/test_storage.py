"""Saved runs: what is read is what was written, or an error."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit import files
from transferkit.errors import RunError
from transferkit.runs import storage
from transferkit.runs.loading import load_run
from transferkit.runs.run import Run


class PlainModel:
    """Stands for a keras.Model: what saving asks of one."""

    def to_json(self):
        return '{"class_name": "Functional"}'

    def save_weights(self, path):
        assert path.endswith(".weights.h5")
        Path(path).write_bytes(bytes(range(256)))


def make(name="toy", **options):
    fields = {
        "name": name,
        "class_names": ("cat", "dog"),
        "test_probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        "test_labels": np.array([0, 1, 1]),
        "validation_probabilities": np.array([[0.5, 0.5]]),
        "validation_labels": np.array([0]),
        "dataset": {"name": "pets", "test_fingerprint": "ab" * 32, "image_shape": (8, 8, 1)},
        "history": [{"epoch": 1, "phase": "train", "loss": 0.7, "accuracy": 0.5}],
        "phases": [{"name": "train", "epochs": 1, "seconds": 0.5, "images": 10}],
        "recipe": {"epochs": 1, "augment": ["flip"]},
        "seed": 7,
        "key": "k" * 64,
    }
    return Run(**(fields | options))


@pytest.fixture
def saved(tmp_path):
    return make(model=PlainModel()).save(tmp_path / "toy")


def test_what_is_read_is_what_was_written(saved):
    run, read = make(), load_run(saved)
    for name in ("test_probabilities", "test_labels", "validation_probabilities", "validation_labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(run, name))
        assert getattr(read, name).dtype == getattr(run, name).dtype
    for name in ("name", "class_names", "history", "phases", "recipe", "seed", "key", "status", "selection", "notes"):
        assert getattr(read, name) == getattr(run, name)
    assert read.dataset["image_shape"] == [8, 8, 1]
    assert (read.path, read.model) == (saved, None)
    assert read.metrics == run.metrics


texts = st.text(min_size=1).filter(str.strip)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=20)
@given(
    name=texts,
    values=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2),
    extra=st.dictionaries(st.text().map("own {}".format), json_values, max_size=4),
    seed=st.integers(0, 2**64),
)
def test_any_floats_names_and_recipes_survive(name, values, extra, seed):
    probabilities = np.array([[p, 1 - np.float32(p)] for p in values], np.float32)
    run = make(name, test_probabilities=probabilities, test_labels=np.array([0, 1]), recipe=extra, seed=seed)
    with tempfile.TemporaryDirectory(prefix="a b ü 한글 ") as folder:
        read = load_run(run.save(Path(folder, "run 1")))
    np.testing.assert_array_equal(read.test_probabilities, run.test_probabilities)
    assert (read.name, read.recipe, read.seed) == (run.name, extra, seed)


def test_odd_objects_in_a_record_never_lose_a_training(tmp_path):
    recipe = {
        "rate": np.float32(0.5),
        "shape": np.arange(2),
        "path": Path("a"),
        "nan": float("nan"),
        "object": Ellipsis,
        1: {2},
        "broken": "\ud800",
    }
    read = load_run(make(recipe=recipe, class_names=("cat", "\ud800")).save(tmp_path / "odd"))
    assert read.class_names == ("cat", "?")
    expected = {"rate": 0.5, "shape": [0, 1], "path": "a", "nan": None, "object": "Ellipsis", "1": [2], "broken": "?"}
    assert read.recipe == expected


def test_a_diverged_history_is_strict_json(tmp_path):
    run = make(
        status="diverged",
        test_probabilities=np.empty((0, 2)),
        history=[{"epoch": 1, "loss": float("nan"), "val_loss": float("inf")}],
    )
    folder = run.save(tmp_path / "diverged")
    json.loads((folder / "run.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert load_run(folder).history == [{"epoch": 1, "loss": None, "val_loss": None}]


def test_a_record_is_readable_without_this_library(saved):
    with np.load(saved / "predictions.npz", allow_pickle=False) as archive:
        assert archive["test_probabilities"].dtype == np.float32
    assert json.loads((saved / "run.json").read_text(encoding="utf-8"))["schema"] == 1


def test_weights_may_be_left_out(tmp_path):
    folder = make(model=PlainModel()).save(tmp_path / "small", weights=False)
    assert sorted(file.name for file in folder.iterdir()) == [
        "manifest.json",
        "model.json",
        "predictions.npz",
        "run.json",
    ]
    load_run(folder)


def test_weights_may_be_deleted_but_not_changed(saved):
    (saved / "model.weights.h5").unlink()
    load_run(saved)
    (saved / "model.weights.h5").write_bytes(b"other")
    with pytest.raises(RunError, match=r"model\.weights\.h5"):
        load_run(saved)


@pytest.mark.parametrize("place", ["toy", "elsewhere"])
def test_a_run_that_was_read_keeps_its_weights_when_it_is_saved_again(saved, place):
    folder = replace(load_run(saved), tuning_trials=3).save(saved.with_name(place), replace=True)
    assert load_run(folder).tuning_trials == 3
    assert (folder / "model.weights.h5").read_bytes() == bytes(range(256))
    assert (folder / "model.json").is_file()
    small = load_run(folder).save(saved.with_name("small"), weights=False)
    assert not (small / "model.weights.h5").exists()
    assert (small / "model.json").is_file()


def test_weights_are_found_from_another_working_directory_and_missed_where_they_are_gone(tmp_path, monkeypatch):
    saved = make(model=PlainModel(), model_info={"weights_sha256": "ab" * 32}).save(tmp_path / "toy")
    monkeypatch.chdir(saved.parent)
    run = load_run(saved.name)
    monkeypatch.chdir("/")
    folder = run.save(saved.with_name("elsewhere"))
    assert (folder / "model.weights.h5").is_file()
    saved.rename(saved.with_name("moved"))
    with pytest.raises(RunError, match="is not there any more.*weights=False"):
        run.save(saved.with_name("again"))
    assert run.save(saved.with_name("again"), weights=False).is_dir()


def test_the_weights_of_another_run_are_not_taken_for_its_own(saved):
    run = load_run(saved)
    make("second", model=PlainModel(), model_info={"weights_sha256": "ab" * 32}).save(saved, replace=True)
    for place in (saved, saved.with_name("elsewhere")):
        with pytest.raises(RunError, match="another run by now"):
            run.save(place, replace=True)
    assert load_run(saved).name == "second"
    alone = run.save(saved.with_name("alone"), weights=False)
    assert sorted(file.name for file in alone.iterdir()) == ["manifest.json", "predictions.npz", "run.json"]


def test_damaged_weights_are_not_copied(saved):
    run = load_run(saved)
    (saved / "model.weights.h5").write_bytes(b"other")
    with pytest.raises(RunError, match=r"model\.weights\.h5"):
        run.save(saved, replace=True)


def test_a_saved_run_is_replaced_only_when_asked(saved):
    with pytest.raises(RunError, match="replace=True"):
        make("second").save(saved)
    assert load_run(saved).name == "toy"
    make("second").save(saved, replace=True)
    assert load_run(saved).name == "second"
    assert not (saved / "model.json").exists()
    assert [child.name for child in saved.parent.iterdir() if child.name.startswith(".")] in ([], [".toy.lock"])


def test_an_empty_folder_is_used_but_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    load_run(make().save(tmp_path / "empty"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious", encoding="utf-8")
    with pytest.raises(RunError, match="left alone"):
        make().save(tmp_path / "thesis", replace=True)
    (tmp_path / "thesis" / "manifest.json").write_text('{"name": "my web application"}', encoding="utf-8")
    with pytest.raises(RunError, match="left alone"):
        make().save(tmp_path / "thesis", replace=True)
    assert (tmp_path / "thesis" / "thesis.tex").read_text(encoding="utf-8") == "precious"
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match="is a file"):
        make().save(tmp_path / "file", replace=True)


def test_a_save_that_fails_leaves_nothing(tmp_path):
    class Failing(PlainModel):
        def save_weights(self, path):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make(model=Failing()).save(tmp_path / "toy")
    assert [child for child in tmp_path.iterdir() if child.name != ".toy.lock" and "home" not in child.name] == []


def test_a_flipped_bit_anywhere_is_noticed(saved, rng):
    for file in sorted(saved.iterdir()):
        original = file.read_bytes()
        manifest = json.loads(original) if file.name == "manifest.json" else None
        places = range(len(original)) if len(original) < 300 else rng.choice(len(original), 150, replace=False)
        for place in places:
            damaged = bytearray(original)
            damaged[place] ^= 1 << int(rng.integers(8))
            if manifest is not None and _same_json(bytes(damaged), manifest):
                continue  # one blank for another says the same
            file.write_bytes(damaged)
            with pytest.raises(RunError, match=r"again|Install|Give"):
                load_run(saved)
        file.write_bytes(original)
    load_run(saved)


def _same_json(content, expected):
    try:
        return json.loads(content) == expected
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["run.json", "predictions.npz", "model.json", "model.weights.h5", "manifest.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(saved, name, keep):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        load_run(saved)


@pytest.mark.parametrize("name", ["run.json", "predictions.npz", "model.json", "manifest.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        load_run(saved)


def rewrite(folder, **facts):
    """Change files on purpose and seal the folder again, as a forger would."""
    files.write_manifest(folder, **({"kind": "transferkit-run", "schema": 1} | facts))


def change_record(folder, **changes):
    file = folder / "run.json"
    record = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in record.items() if value is not ...}), encoding="utf-8")
    rewrite(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": True}, "schema True"),
        ({"seed": ...}, "lacks seed"),
        ({"class_names": ["cat"]}, "does not hold a run: test_probabilities must have shape"),
        ({"train_accuracy": float("nan")}, "NaN"),
    ],
)
def test_a_sealed_but_wrong_record_is_refused(saved, changes, says):
    change_record(saved, **changes)
    with pytest.raises(RunError, match=says):
        load_run(saved)


def test_a_manifest_of_another_kind_or_schema_is_refused(saved):
    rewrite(saved, schema=9)
    with pytest.raises(RunError, match="schema 9; this version of transferkit reads schema 1"):
        load_run(saved)
    rewrite(saved, kind="transferkit-features")
    with pytest.raises(RunError, match="transferkit-features"):
        load_run(saved)


def test_pickled_arrays_are_never_loaded(saved):
    np.savez(saved / "predictions.npz", test_probabilities=np.array([{}], dtype=object))
    rewrite(saved)
    with pytest.raises(RunError, match="plain arrays"):
        load_run(saved)


def test_a_real_keras_model_is_saved_with_its_run(tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="predictions")])
    folder = make(model=model).save(tmp_path / "keras")
    assert load_run(folder).name == "toy"
    assert (folder / storage.WEIGHTS).stat().st_size > 0
    assert json.loads((folder / storage.MODEL).read_text(encoding="utf-8"))["class_name"] == "Sequential"
