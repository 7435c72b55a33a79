"""Whether transfer helped: which pairs say so, and at what cost."""

import math
from dataclasses import replace

import pytest

from transferkit.report.comparison import compare_runs

SOURCES = {"scratch": "random", "frozen": "keras-cache", "tuned": "download", "own": "user-model"}


@pytest.fixture
def made(make_run):
    """Return a function that makes a run of one backbone, by what it was trained from."""

    def make(start, strength=0.1, *, backbone="mobilenet", seconds=10.0, **options):
        trainable = 1_000 if start == "frozen" else 90_000
        info = {"source": SOURCES[start], "backbone": backbone, "width": 1.0, "image_size": 96}
        described = {"parameters": 100_000, "trainable_parameters": trainable, "layers": 3, "provenance": info}
        phases = [{"name": "train", "seconds": seconds, "images": 100}]
        name = options.pop("name", f"{backbone} {start}")
        return make_run(name, strength, model_info=described, phases=phases, key=f"{name}{strength}", **options)

    return make


def test_pretraining_comes_first_then_fine_tuning_against_frozen(made):
    runs = [made("scratch", 1e-4, seconds=20.0), made("frozen", 1e-2), made("tuned", 0.1)]
    effects = compare_runs(runs).transfer_effects
    assert [(effect.kind, effect.a, effect.b) for effect in effects] == [
        ("pretraining", "mobilenet tuned", "mobilenet scratch"),
        ("pretraining", "mobilenet frozen", "mobilenet scratch"),
        ("freezing", "mobilenet tuned", "mobilenet frozen"),
    ]
    first = effects[0]
    assert (first.start_a, first.start_b, first.backbone) == ("fine-tuned", "scratch", "mobilenet")
    assert first.test["verdict"] == "a better"
    assert first.test["difference"] > 0
    assert first.test["a"] == first.a
    assert first.time_ratio == 0.5
    assert first.parameters_ratio == 1
    assert effects[2].trainable_ratio == 90
    assert first.differing == ()


def test_a_frozen_network_with_many_classes_is_frozen_and_one_with_few_layers_that_train_is_not(made):
    def record(start, backbone, strength):
        run = made(start, strength)
        info = run.model_info | {"trainable_parameters": 15_000, "trainable_backbone_parameters": backbone}
        return replace(run, model_info=info)

    runs = [record("frozen", 0, 0.01), record("tuned", 3_000, 0.1)]
    (effect,) = compare_runs(runs).transfer_effects
    assert (effect.a, effect.start_a, effect.b, effect.start_b) == (
        "mobilenet tuned",
        "fine-tuned",
        "mobilenet frozen",
        "frozen",
    )


def test_what_else_differs_and_other_hardware_are_told(made):
    other = made("scratch", 1e-4, recipe={"epochs": 5, "learning_rate": 0.1}, environment={"accelerator": "H100"})
    (effect,) = compare_runs([made("tuned"), other]).transfer_effects
    assert set(effect.differing) == {"augment", "learning_rate"}
    assert math.isnan(effect.time_ratio)
    assert effect.seconds_a == 10.0


def test_other_architectures_and_unknown_weights_say_nothing(made, weak):
    runs = [made("tuned"), made("scratch", backbone="resnet"), made("own", name="mine"), weak]
    assert compare_runs(runs).transfer_effects == ()


def test_seeds_are_told_as_recipes(made):
    runs = [made(start, 10.0**-seed, seed=seed) for start in ("tuned", "scratch") for seed in range(3)]
    (effect,) = compare_runs(runs).transfer_effects
    assert effect.test["method"] == "welch"


def test_the_question_is_among_the_tests_also_where_only_the_baseline_is_compared(made, make_run):
    others = [make_run(f"other {i}", 0.1, key=str(i)) for i in range(5)]
    comparison = compare_runs([*others, made("tuned"), made("scratch", 1e-4)])
    assert len(comparison.tests) == 6 + 1
    assert comparison.transfer_effects[0].test["p_holm"] >= comparison.transfer_effects[0].test["p"]


def test_where_there_is_no_verdict_there_is_no_answer(made):
    runs = [made("tuned"), replace(made("scratch"), selection="test")]
    assert compare_runs(runs).transfer_effects == ()
