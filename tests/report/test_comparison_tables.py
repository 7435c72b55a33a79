"""The tables: columns that say something, cells that line up."""

from dataclasses import replace

import numpy as np

from transferkit.report.comparison import compare_runs


def test_conditions_show_only_where_they_differ(weak, strong):
    assert "Epochs" not in repr(compare_runs([weak, strong]))
    other = replace(
        strong,
        history=strong.history[:3],
        selected_epoch=3,
        recipe=strong.recipe | {"augment": []},
        tuning_trials=20,
        selection="last",
        dataset=strong.dataset | {"labels_per_class": 10, "train_size": 100},
    )
    comparison = compare_runs([weak, other])
    text = repr(comparison)
    for column in (
        "Training images",
        "Labels per class",
        "Epochs",
        "Augmentation",
        "Settings tried",
        "Epoch chosen by",
    ):
        assert column in text
    assert any(note.startswith("Not trained alike: Training images") for note in comparison.notes)


def test_the_size_to_which_images_are_resized_is_a_condition(weak, strong):
    def resized(run, size):
        return replace(run, model_info=run.model_info | {"provenance": {"source": "random", "image_size": size}})

    assert "Backbone's image size" not in repr(compare_runs([weak, resized(strong, 64)]))  # a CNN resizes nothing
    comparison = compare_runs([resized(weak, 96), resized(strong, 64)])
    assert "Backbone's image size" in repr(comparison)
    assert "96 px" in repr(comparison)
    assert any(note.startswith("Not trained alike: Backbone's image size differ") for note in comparison.notes)


def test_names_of_double_width_are_aligned(weak, strong):
    lines = repr(compare_runs({"미세 조정": weak, "b": strong})).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("미세 조정"))
    places = [line.index("%") for line in lines[first : first + 2]]
    assert places == [places[0], places[0] + 4]


def test_one_run_gives_a_table_only(weak):
    comparison = compare_runs(weak)
    assert comparison.verdict == "Only one model has finished runs, so nothing is compared."
    assert "Difference" not in repr(comparison)


def test_extremes_are_drawn_and_written(weak):
    labels = weak.test_labels
    right = replace(weak, name="right", key="r", test_probabilities=np.eye(10)[labels])
    wrong = replace(weak, name="wrong", key="w", test_probabilities=np.eye(10)[(labels + 1) % 10])
    comparison = compare_runs([right, wrong])
    assert comparison.table["accuracy"].tolist() == [1, 0]
    assert "100.0% [" in repr(comparison)
    comparison.plot(language="ko")
    comparison.to_html()


def test_many_models_are_compared(weak):
    runs = {f"model {i}": replace(weak, seed=i, key="") for i in range(60)}
    assert len(compare_runs(runs).to_markdown().splitlines()) > 60


def test_odd_values_in_a_recipe_neither_stop_a_comparison_nor_a_report(make_run):
    recipe = {"prior": np.array([1.0, 2.0]), "missing": float("nan"), "epochs": np.int64(5)}
    runs = [make_run("odd", seed=seed, recipe=recipe, key=f"odd {seed}") for seed in range(2)]
    report = compare_runs([*runs, make_run("plain")]).to_markdown()
    assert "prior=" in report
