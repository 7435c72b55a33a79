"""A record that holds what it cannot hold is refused by the name of the part, whoever wrote it."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import ReadOnly, get_type_hints, is_typeddict

from transferkit import files
from transferkit.errors import InvalidInputError, RunError, TransferKitError
from transferkit.runs import records
from transferkit.runs.checking import check, check_run
from transferkit.runs.loading import load_run
from transferkit.runs.plain import DEEPEST
from transferkit.runs.run import Run

RESULTS = Path(__file__).parents[2] / "docs" / "results"

FULL = {
    "name": "toy",
    "class_names": ["cat", "dog"],
    "dataset": {
        "name": "pets",
        "source": "arrays",
        "fingerprint": "f" * 64,
        "train_fingerprint": "a" * 64,
        "validation_fingerprint": "b" * 64,
        "test_fingerprint": "c" * 64,
        "train_size": 10,
        "validation_size": 1,
        "test_size": 3,
        "labels_per_class": None,
        "split_seed": 0,
        "image_shape": [8, 8, 1],
    },
    "history": [
        {
            "epoch": epoch,
            "phase": "train",
            "loss": 0.7,
            "accuracy": 0.5,
            "val_loss": 0.8,
            "val_accuracy": 0.4,
            "learning_rate": 1e-3,
            "seconds": 1.5,
            "validation_seconds": 0.5,
            "strength": 0.1,
        }
        for epoch in (1, 2)
    ],
    "phases": [
        {
            "name": "train",
            "epochs": 2,
            "trainable_parameters": 10,
            "engine": "litert",
            "seconds": 3.0,
            "preparation_seconds": 0.5,
            "validation_seconds": 1.0,
            "images": 20,
            "images_per_second": 6.7,
            "features_computed": 14,
        }
    ],
    "recipe": {
        "epochs": 2,
        "batch_size": 4,
        "left_out_of_an_epoch": 2,
        "head": "gradient",
        "optimizer": "Adam",
        "optimizer_config": {"beta_1": 0.9},
        "learning_rate": 1e-3,
        "weight_decay": None,
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "augment": ["flip"],
        "label_smoothing": 0.1,
        "class_weight": {"0": 1.0, "1": 2.0},
        "early_stopping": 3,
        "average_weights": 0.99,
        "matmul_precision": "bfloat16",
        "layer_decay": 0.8,
        "batchnorm_images": 1024,
        "loss": "SparseCategoricalCrossentropy",
        "loss_config": {"ignore_class": None},
        "metrics": ["accuracy"],
        "callbacks": ["EarlyStopping"],
        "penalty": "L2",
        "plain_because": "it has its own train_step",
        "phases": [
            {
                "name": "train",
                "epochs": 2,
                "learning_rate": None,
                "schedule": "constant",
                "warmup_epochs": 0.0,
                "views": 4,
                "unfreeze_from": "block5",
                "unfreeze_last": 2,
                "batch_norm": False,
            }
        ],
        "temperature": 1.5,
        "test_time_augment": "flip",
        "steps": ["FlattenPixels"],
    },
    "model_info": {
        "name": "net",
        "parameters": 100,
        "trainable_parameters": 10,
        "trainable_backbone_parameters": 5,
        "layers": 3,
        "provenance": {
            "source": "download",
            "sha256": "d" * 64,
            "backbone": "mobilenet",
            "width": 1.0,
            "resolution": 224,
            "image_size": 96,
            "file": "mobilenet.h5",
        },
        "engine": "litert",
        "dead_features": [1, 1024],
        "weights_sha256": "e" * 64,
        "own_code": ["compute_loss"],
        "settings_tried": 5,
    },
    "seed": 7,
    "selection": "validation",
    "selected_epoch": 2,
    "status": "completed",
    "train_accuracy": 0.75,
    "test_seconds": 0.25,
    "environment": {
        "transferkit": "0.1.0",
        "python": "3.11.7",
        "keras": "3.15.1",
        "tensorflow": None,
        "jax": "0.11.0",
        "torch": None,
        "numpy": "2.4.0",
        "backend": "jax",
        "precision": "float32",
        "platform": "Linux x86_64",
        "cpu": "AMD EPYC",
        "cores": 2,
        "accelerator": None,
    },
    "tuning_trials": 4,
    "key": "k" * 64,
    "created": "2026-11-25T04:02:25+00:00",
    "notes": ["a note"],
    "probe": {"loss": 2.3, "gradients": [0.1, 0.2]},
    "identity": {"loss": {"sha256": "9" * 64}, "callbacks": {"sha256": None, "reason": "a lambda"}},
    "plan": {"seeds": [0, 1, 2], "looks": 1},
}


def places(kind: Any, value: Any, path: tuple[Any, ...] = ()):
    """Yield (path, declared type) of every part of a value down to its leaves."""
    while get_origin(kind) in (ReadOnly, Required, NotRequired):
        kind = get_args(kind)[0]
    yield path, kind
    options = [kind, *get_args(kind)]
    if isinstance(value, dict):
        named = next((option for option in options if is_typeddict(option)), None)
        if named is not None:
            for name, inner in get_type_hints(named, include_extras=True).items():
                yield from places(inner, value[name], (*path, name)) if name in value else ()
    for option in options:
        if isinstance(value, list) and get_origin(option) is list:
            for i, item in enumerate(value):
                yield from places(get_args(option)[0], item, (*path, i))


PLACES = [
    (path, kind)
    for name, kind in get_type_hints(records.RunRecord, include_extras=True).items()
    if name in FULL
    for path, kind in places(kind, FULL[name], (name,))
]


def say(path):
    return path[0] + "".join(f"[{part!r}]" for part in path[1:])


def with_value(path, value):
    record = copy.deepcopy(FULL)
    inner = record
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return record


def accepts(kind, value):
    """Say whether a declared type holds a value: written apart from the code under test, and as simple as can be."""
    options = set()

    def collect(item):
        options.add(item) if isinstance(item, type) else options.add(get_origin(item))
        for inner in get_args(item) if get_origin(item) not in (list, dict, Literal) else ():
            collect(inner)

    collect(kind)
    if any(option in (dict, list) or is_typeddict(option) or option is Literal for option in options):
        options -= {list, dict, Literal}
    if value is None:
        return type(None) in options
    if isinstance(value, str):
        return str in options and Literal not in options
    return False


OF_FILES = ("decoding", "test_clusters", "test_files", "validation_files")  # of data from files alone


def test_the_full_record_has_every_declared_key_and_is_accepted():
    check_run(FULL)
    for name, kind in get_type_hints(records.RunRecord).items():
        assert name in FULL
        value = FULL[name][0] if isinstance(FULL[name], list) else FULL[name]
        item = get_args(kind)[0] if get_origin(kind) is list else kind
        if is_typeddict(item):
            assert set(get_type_hints(item)) - set(value) <= {
                "estimator",
                "tried",
                *(() if name != "dataset" else OF_FILES),
            }, name


@pytest.mark.parametrize(("path", "kind"), PLACES, ids=[say(path) for path, _ in PLACES])
def test_every_part_refuses_what_it_cannot_hold_and_says_where(path, kind):
    wrong = [value for value in (None, "text", object()) if not accepts(kind, value)]
    wrong += [] if "bool" in str(kind) else [True]
    wrong += [float("nan"), float("inf"), -(10**400)]
    wrong += [[{"deep": [object()]}]] if "list" not in str(kind) else [{"a": 1}]
    if any(plain in str(kind) for plain in ("dict[str, typing.Any]",)):
        wrong.remove({"a": 1}) if {"a": 1} in wrong else None
    for value in wrong:
        with pytest.raises(InvalidInputError) as caught:
            check_run(with_value(path, value))
        assert str(caught.value).startswith(f"{say(path)} must be "), str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("seed",), -1, "seed must be a whole number of 0 or more; got -1"),
        (("seed",), 2**200, "seed must be"),
        (("tuning_trials",), 0, "tuning_trials must be a whole number of 1 or more; got 0"),
        (("train_accuracy",), 1.5, "train_accuracy must be a finite number from 0 to 1 or null; got 1.5"),
        (("test_seconds",), -1.0, "test_seconds must be a finite number of 0 or more or null; got -1.0"),
        (("status",), "fine", "status must be 'completed' or 'diverged' or 'interrupted'; got 'fine'"),
        (("history", 1, "epoch"), 1, "history must have one row an epoch, in order; epoch 1 follows epoch 1"),
        (("history", 0, "epoch"), 0, "history[0]['epoch'] must be a whole number of 1 or more; got 0"),
        (("history", 1), {"phase": "train"}, "history[1] must be a dict with 'epoch'"),
        (("phases", 0, "images"), -5, "phases[0]['images'] must be a whole number of 0 or more; got -5"),
        (("phases", 0, "seconds"), 10**400, "phases[0]['seconds'] must be a finite number of 0 or more"),
        (("selected_epoch",), 3, "selected_epoch must be one of the history's, 1 to 2; got 3"),
        (("model_info", "dead_features"), [1], "dead_features"),
        (("model_info", "dead_features"), [5, 4], "dead_features"),
        (("model_info", "provenance", "width"), "wide", "model_info['provenance']['width'] must be"),
        (("identity", "loss"), {"reason": "none"}, "identity['loss'] must be a dict with 'sha256'"),
        (("plan", "seeds", 1), 1.0, "plan['seeds'][1] must be a whole number of 0 or more; got 1.0"),
    ],
)
def test_numbers_out_of_range_are_named(path, value, says):
    with pytest.raises(InvalidInputError) as caught:
        check_run(with_value(path, value))
    assert says in str(caught.value)


def test_what_is_not_declared_is_kept_as_it_is():
    record = copy.deepcopy(FULL) | {"invented_later": object()}
    record["recipe"]["my own setting"] = {"a": [None]}
    record["history"][0]["top5"] = "many"
    record["environment"]["scikit-learn"] = 1
    check_run(record)


def test_a_scikit_learn_classifier_names_its_settings_itself():
    settings_ = {
        "steps": ["SGDClassifier"],
        "augment": [],
        "batch_size": "auto",
        "loss": None,
        "epochs": [1],
        "head": {},
    }
    check_run(with_value(("recipe",), settings_) | {"model_info": {"estimator": {"class": "sklearn"}}})
    with pytest.raises(InvalidInputError, match=r"recipe\['batch_size'\]"):
        check_run(with_value(("recipe",), settings_))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, float), (1.0, float), (None, int | None), ("a", Literal["a"]), ([[1]], list[list[int]]), (object(), Any)],
)
def test_values_of_their_type_pass(value, kind):
    check(value, kind, "it")


# --- files -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "toy"
    arrays = {"test_probabilities": [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], "test_labels": [0, 1, 1]}
    arrays |= {"validation_probabilities": [[0.5, 0.5]], "validation_labels": [0]}
    return Run(**(FULL | arrays)).save(folder)


def forge(saved, folder, text=None, **arrays):
    """Copy a run with another ``run.json`` or other arrays, sealed by a manifest of its own."""
    folder = Path(folder)
    with np.load(saved / "predictions.npz") as archive:
        np.savez(folder / "predictions.npz", **({name: archive[name] for name in archive.files} | arrays))
    content = (saved / "run.json").read_text(encoding="utf-8") if text is None else text
    (folder / "run.json").write_text(content, encoding="utf-8")
    files.write_manifest(folder, kind="transferkit-run", schema=1)
    return folder


def test_what_was_saved_is_what_is_read(saved):
    run = load_run(saved)
    for name in records.FACTS:
        assert getattr(run, name) == FULL[name], name
    assert json.loads((saved / "run.json").read_text(encoding="utf-8")) == FULL | {"schema": 1}


@pytest.mark.parametrize("folder", sorted(RESULTS.rglob("run.json")), ids=lambda file: "/".join(file.parts[-3:-1]))
def test_records_of_earlier_versions_are_read(folder):
    run = load_run(folder.parent)
    new = any(name in folder.parts[-2] for name in ("upper-blocks", "all-layers", "128-px", "cnn-modern"))
    if folder.parts[-3] != "quick" and not new:  # those were made anew
        assert (run.probe, run.identity, run.plan) == ({}, {}, {})
    assert 0.4 < run.metrics["accuracy"] < 1
    assert run.train_seconds > 0


def test_a_reader_of_the_first_version_finds_all_that_it_needs(saved):
    needed = set(records.RunRecord.__required_keys__)
    assert needed == set(json.loads((RESULTS / "full" / "cnn" / "run.json").read_text(encoding="utf-8"))) - {"schema"}
    assert needed <= set(json.loads((saved / "run.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": "zero"}, "seed must be a whole number of 0 or more; got 'zero'"),
        ({"seed": True}, "seed must be a whole number"),
        ({"history": {}}, "history must be a list"),
        ({"history": [1]}, r"history\[0\] must be a dict"),
        ({"class_names": [1, 2]}, r"class_names\[0\] must be a text; got 1"),
        ({"class_names": ["cat", "cat"]}, "class_names must be distinct"),
        ({"class_names": ["cat"]}, "test_probabilities must have shape"),
        ({"name": " "}, "name must be a non-empty string"),
        ({"status": "fine"}, "status must be 'completed'"),
        ({"notes": "none"}, "notes must be a list"),
        ({"environment": {"cores": -2}}, r"environment\['cores'\]"),
    ],
)
def test_a_sealed_record_with_odd_values_is_refused_by_name(saved, tmp_path, changes, says):
    text = json.dumps(json.loads((saved / "run.json").read_text(encoding="utf-8")) | changes)
    with pytest.raises(RunError, match=says) as caught:
        load_run(forge(saved, tmp_path, text))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"test_probabilities": np.full((3, 2), 0.9, np.float32)}, "test probabilities .* must have the sum 1"),
        ({"test_probabilities": np.full((3, 2), np.nan, np.float32)}, "must be finite"),
        ({"test_probabilities": np.array([["a", "b"]] * 3)}, "test_probabilities must be an array of numbers"),
        ({"validation_probabilities": np.array([[2.0, -1.0]])}, "validation probabilities .* between 0 and 1"),
        ({"test_labels": np.array([0, 1, 2])}, "test_labels must go from 0 to 1; got values from 0 to 2"),
        ({"test_labels": np.array([0, -1, 1])}, "test_labels must go from 0 to 1"),
        ({"test_labels": np.array([0.0, 1.0, 1.0])}, "test_labels must be integers"),
        ({"test_labels": np.eye(3)}, r"test_labels must have shape \(n,\)"),
        ({"validation_labels": np.array([0, 1])}, "equally many"),
        ({"test_probabilities": np.empty((0, 2))}, "no test probabilities"),
        ({"test_probabilities": np.array([{}], dtype=object)}, "plain arrays"),
    ],
)
def test_sealed_arrays_that_do_not_fit_are_refused_by_name(saved, tmp_path, arrays, says):
    with pytest.raises(RunError, match=says):
        load_run(forge(saved, tmp_path, **arrays))


def test_an_array_that_claims_to_be_huge_is_refused(saved, tmp_path):
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 2)})
    forge(saved, tmp_path)
    with zipfile.ZipFile(tmp_path / "predictions.npz", "w") as archive:
        for name in records.ARRAYS:
            archive.writestr(f"{name}.npy", header.getvalue())
    files.write_manifest(tmp_path, kind="transferkit-run", schema=1)
    with pytest.raises(RunError, match="plain arrays"):
        load_run(tmp_path)


odd_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    place=st.sampled_from([path for path, _ in PLACES]),
    value=odd_values,
    constant=st.sampled_from([None, None, "NaN", "1e999", "-1e999", "1" * 5000, "[" * 5000 + "]" * 5000, "\ud800"]),
)
def test_any_value_in_any_place_is_read_or_refused_with_our_own_error(saved, place, value, constant):
    text = json.dumps(with_value(place, "@" if constant else value) | {"schema": 1})
    if constant:
        text = text.replace('"@"', constant.encode("utf-8", "replace").decode())
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = load_run(forge(saved, folder, text))
        except RunError:
            return
        use(run)


def use(run):
    """Use what a comparison and the plots use; a run that is read never fails there with a foreign error."""
    repr(run)
    facts = (run.train_seconds, run.images_per_second, run.parameters, run.trainable_parameters, run.overfit_gap)
    assert all(fact is None or np.isfinite(float(fact)) for fact in facts)
    run.history_frame()
    run.predictions_frame()
    assert isinstance(run.provenance, dict)
    with tempfile.TemporaryDirectory() as folder:
        assert load_run(run.save(Path(folder, "again"))).recipe == run.recipe


@settings(max_examples=100)
@given(place=st.sampled_from([path for path, _ in PLACES]), value=odd_values)
def test_a_run_is_made_of_any_values_or_refused_with_our_own_error(place, value):
    fields = with_value(place, value) | {"test_probabilities": np.eye(2), "test_labels": [0, 1]}
    try:
        run = Run(**fields)
    except TransferKitError:
        return
    use(run)


def test_nested_values_end_somewhere():
    deep: Any = "end"
    for _ in range(3 * DEEPEST):
        deep = [deep]
    run = Run(**(with_value(("recipe", "own"), deep) | {"test_probabilities": np.eye(2), "test_labels": [0, 1]}))
    use(run)
