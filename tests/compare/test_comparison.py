"""The table, the verdict, and that all of it works without Keras."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from transferkit.compare.comparison import compare_runs
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.runs.run import Run


def test_table_holds_plain_numbers(weak, strong):
    table = compare_runs([weak, strong]).table
    accuracy = [float(np.mean(r.test_probabilities.argmax(1) == r.test_labels)) for r in (weak, strong)]
    assert table["accuracy"].tolist() == pytest.approx(accuracy)
    assert table["difference"].tolist() == pytest.approx([0, accuracy[1] - accuracy[0]])
    assert table["overfit_gap"].tolist() == pytest.approx([0.99 - a for a in accuracy])
    assert table["train_seconds"].tolist() == [3.0, 3.0]
    assert table["images_per_second"].tolist() == pytest.approx([5000 / 3] * 2)
    assert table["epochs"].tolist() == [5, 5]
    for name in ("accuracy", "accuracy_low", "loss", "parameters", "trainable_parameters", "overfit_gap"):
        assert table[name].dtype.kind in "fi"


def test_odd_values_in_a_recipe_neither_stop_a_comparison_nor_a_report(make_run):
    recipe = {"class_weight": np.array([1.0, 2.0]), "missing": float("nan"), "epochs": np.int64(5)}
    runs = [make_run("odd", seed=seed, recipe=recipe, key=f"odd {seed}") for seed in range(2)]
    report = compare_runs([*runs, make_run("plain")]).to_markdown()
    assert "class\\_weight=" in report


@pytest.mark.parametrize("margin", ["0.005", None, 0, 1, 5, float("nan")])
def test_margin_must_be_a_fraction(weak, margin):
    with pytest.raises(InvalidInputError, match="margin"):
        compare_runs([weak], margin=margin)


def test_unknown_model_is_named_also_where_nothing_is_compared(weak):
    comparison = compare_runs([weak])
    assert "Only one model" in comparison.sentence("weak")
    with pytest.raises(UnknownNameError, match="nobody"):
        comparison.sentence("nobody")


def test_one_test_image_is_compared_and_leaves_everything_open():
    def run(name, seed):
        return Run(
            name=name,
            class_names=("cat", "dog"),
            test_probabilities=[[1.0, 0.0]],
            test_labels=[0],
            seed=seed,
            key=f"{name} {seed}",
            dataset={"test_fingerprint": "one"},
        )

    runs = [run(name, seed) for name in "ab" for seed in range(2)]
    for given in (runs, runs[:3]):
        assert compare_runs(given).tests["verdict"].tolist() == ["undecided"]


def test_notes_say_where_the_last_epoch_was_the_best_and_where_recipes_differ(make_run):
    early = make_run("early", selected_epoch=3)
    late = make_run("late", 0.1, recipe={"epochs": 5, "learning_rate": 3e-3})
    notes = compare_runs([early, late]).notes
    assert [note for note in notes if "the last epoch of “late”" in note]
    assert [note for note in notes if note.startswith("Their recipes differ in learning rate as well")]
    for fixed in (make_run("late", 0.1, selection="last"), make_run("late", 0.1, selected_epoch=4)):
        assert not [note for note in compare_runs([early, fixed]).notes if "last epoch of" in note or "recipes" in note]


def test_interval_is_wilsons(weak):
    from statsmodels.stats.proportion import proportion_confint

    row = compare_runs([weak]).table.loc["weak"]
    n = len(weak.test_labels)
    expected = proportion_confint(round(row["accuracy"] * n), n, method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(expected)


def test_baseline_may_be_chosen(weak, strong):
    comparison = compare_runs({"a": weak, "b": strong}, baseline="b")
    assert comparison.baseline == "b"
    assert comparison.table.loc["b", "difference"] == 0
    assert comparison.table.loc["a", "difference"] < 0


def test_verdict_is_a_sentence_to_quote_whatever_the_order(weak, strong):
    for runs in ([weak, strong], [strong, weak]):
        verdict = compare_runs(runs).verdict
        assert verdict.startswith("“strong” is better than “weak”: +")
        assert "exact McNemar test, p < 0.001" in verdict
        assert "compares these two trained models, not the recipes that made them" in verdict


def test_any_pair_can_be_quoted_in_both_languages_with_the_smallest_detectable_difference(weak, strong, make_run):
    third = make_run("third", 0.1)
    comparison = compare_runs([weak, strong, third], baseline="third")
    assert comparison.verdict == comparison.sentence()
    for pair in (("weak", "strong"), ("strong", "weak")):
        english, korean = (comparison.sentence(*pair, language=language) for language in ("en", "ko"))
        assert english.startswith("“strong” is better than “weak”: +")
        assert korean.startswith("더 나은 모델: “strong” (비교 대상: “weak”)")
        row = comparison.tests.set_index(["a", "b"]).loc[("strong", "weak")]
        assert f"smallest detectable difference {100 * row['detectable']:.1f} points)" in english
        assert f"검출 가능한 최소 차이 {100 * row['detectable']:.1f}%p)" in korean
    assert comparison.sentence("weak") == comparison.sentence("weak", "third")
    assert "결론 없음" in compare_runs([weak, replace(strong, selection="test")]).sentence(
        "weak", "strong", language="ko"
    )


def test_a_sentence_on_unknown_models_or_one_alone_is_refused(weak, strong):
    comparison = compare_runs([weak, strong])
    with pytest.raises(UnknownNameError, match="weka"):
        comparison.sentence("weka")
    with pytest.raises(UnknownNameError, match="language"):
        comparison.sentence(language="fr")
    with pytest.raises(InvalidInputError, match="'weak' is the baseline itself"):
        comparison.sentence("weak")
    with pytest.raises(InvalidInputError, match="two models"):
        comparison.sentence("strong", "strong")
    with pytest.raises(UnknownNameError, match="stong"):  # also where there is no verdict
        compare_runs([weak, replace(strong, selection="test")]).sentence("stong")
    assert compare_runs([weak]).sentence("weak") == compare_runs([weak]).verdict
    with pytest.raises(InvalidInputError, match="needs a name"):
        comparison.sentence(other="weak")


def test_equal_answers_are_practically_equal(strong):
    twin = replace(strong, name="twin", seed=1)
    comparison = compare_runs([strong, twin])
    assert comparison.tests["verdict"].tolist() == ["practically equal"]
    assert "practically equal (within ±0.5 points)" in comparison.verdict
    assert f"smallest detectable difference {100 * comparison.tests['detectable'][0]:.1f} points)" in comparison.verdict
    assert "Undecided" in compare_runs([strong, twin], margin=0.0001).verdict


def test_one_flipped_answer_is_undecided_with_the_detectable_difference(strong):
    probabilities = strong.test_probabilities.copy()
    probabilities[:5] = np.roll(probabilities[:5], 1, axis=1)
    other = replace(strong, name="other", key="other", test_probabilities=probabilities)
    comparison = compare_runs([strong, other])
    assert comparison.verdict.startswith("Undecided between “strong” and “other”")
    assert f"{100 * comparison.tests['detectable'][0]:.1f} points." in comparison.verdict


@pytest.mark.parametrize("margin", [0, -0.1, 1, float("nan")])
def test_senseless_margin_is_refused(weak, strong, margin):
    with pytest.raises(InvalidInputError, match="margin"):
        compare_runs([weak, strong], margin=margin)


def test_runs_selected_on_test_are_not_tested(weak, strong):
    assert compare_runs([weak, replace(strong, selection="test")]).tests.empty


def test_same_seed_same_report_and_global_chance_untouched(weak, strong):
    np.random.seed(5)  # noqa: NPY002 - the global state is what is watched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (compare_runs([weak, strong], seed=3).to_markdown() for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    other = compare_runs([weak, strong], seed=4).tests
    assert other["loss_low"][0] != compare_runs([weak, strong], seed=3).tests["loss_low"][0]


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


def test_a_single_test_image_is_enough(weak):
    one = replace(weak, test_probabilities=weak.test_probabilities[:1], test_labels=weak.test_labels[:1])
    assert len(compare_runs([one]).to_html()) > 1000


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


def test_differing_versions_and_hardware_are_noted(weak, strong):
    other = replace(strong, environment=strong.environment | {"keras": "3.16.0", "accelerator": "H100"})
    notes = " ".join(compare_runs([weak, other]).notes)
    assert "keras 3.15.1 (“weak”) / 3.16.0 (“strong”)" in notes
    assert "different hardware" in notes
    assert "H100 (“strong”)" in notes
    many = [replace(weak, name=f"m{i}", key=str(i), environment={"keras": str(i % 2)}) for i in range(14)]
    assert "keras 0 (“m0”, “m2”, “m4”, “m6”, “m8”, +2) / 1 (“m1”, “m3”, “m5”, “m7”, “m9”, +2)" in " ".join(
        compare_runs(many).notes
    )
    assert "software" not in " ".join(compare_runs([weak, strong]).notes)


def test_other_training_images_are_noted(weak, strong):
    other = replace(strong, dataset=strong.dataset | {"train_fingerprint": "d" * 64})
    assert "not trained on the same training images: “weak” / “strong”." in " ".join(compare_runs([weak, other]).notes)


def test_runs_are_read_from_a_folder(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / "my runs" / run.name)
    for folder in (tmp_path / "my runs", str(tmp_path / "my runs")):
        comparison = compare_runs(folder, baseline="weak")
        assert comparison.table["accuracy"].tolist() == compare_runs([strong, weak]).table["accuracy"].tolist()


def test_many_models_are_compared(weak):
    runs = {f"model {i}": replace(weak, seed=i, key="") for i in range(60)}
    assert len(compare_runs(runs).to_markdown().splitlines()) > 60


def test_names_of_double_width_are_aligned(weak, strong):
    lines = repr(compare_runs({"미세 조정": weak, "b": strong})).splitlines()
    assert [line.index("%") for line in lines[3:5]] == [lines[3].index("%"), lines[3].index("%") + 4]


def test_global_random_state_and_plot_settings_are_untouched(weak, strong):
    import matplotlib as mpl

    state, settings = np.random.get_state()[1].copy(), dict(mpl.rcParams)  # noqa: NPY002
    comparison = compare_runs([weak, strong])
    comparison.plot(language="ko")
    comparison.to_html(language="ko")
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert dict(mpl.rcParams) == settings


def test_the_same_runs_give_the_same_report(weak, strong):
    first, second = (compare_runs([weak, strong]) for _ in range(2))
    assert first.to_html() == second.to_html()
    assert first.to_markdown("ko") == second.to_markdown("ko")


def test_saved_runs_are_compared_and_drawn_without_keras(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / "runs" / run.name)
    code = f"""
import sys
for name in ("keras", "tensorflow"):
    sys.modules[name] = None
from transferkit.compare.comparison import compare_runs
from transferkit.plots.confusion import plot_confusion
comparison = compare_runs({str(tmp_path / "runs")!r})
comparison.to_html({str(tmp_path / "report.html")!r}, language="ko")
comparison.to_markdown(), comparison.to_latex(), comparison.plot(), repr(comparison)
plot_confusion(comparison.runs[0])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert "<!DOCTYPE html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
