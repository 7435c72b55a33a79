"""Every comparison that would be unfair is refused, and says why."""

from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, RunError, UnfairComparisonError, UnknownNameError
from transferkit.report.comparison import compare_runs


def other_data(run, **changes):
    return run.dataset | changes


def test_no_run_is_refused():
    for nothing in ([], {}):
        with pytest.raises(UnfairComparisonError, match="no run"):
            compare_runs(nothing)


def test_other_test_images_are_refused(weak, strong):
    changed = replace(strong, dataset=other_data(strong, test_fingerprint="c" * 64))
    with pytest.raises(
        UnfairComparisonError, match=r"'strong': tested on other images than 'weak' \(cccccccccccc\.\., not"
    ):
        compare_runs([weak, changed])


def test_images_of_two_sizes_are_refused_with_the_cure(weak, strong):
    changed = replace(strong, dataset=other_data(strong, test_fingerprint="c" * 64, image_shape=[48, 48, 1]))
    with pytest.raises(UnfairComparisonError, match=r"Their sizes differ: .*Resizing"):
        compare_runs([weak, changed])


def test_test_images_of_unknown_identity_are_refused(weak, strong):
    unknown = replace(strong, dataset=other_data(strong, test_fingerprint=None))
    with pytest.raises(UnfairComparisonError, match="'strong': no fingerprint"):
        compare_runs([weak, unknown])


def test_another_class_order_is_refused(weak, strong):
    swapped = replace(strong, class_names=strong.class_names[::-1])
    with pytest.raises(UnfairComparisonError, match="another order"):
        compare_runs([weak, swapped])


def test_another_number_of_test_images_is_refused(weak, strong):
    shorter = replace(strong, test_probabilities=strong.test_probabilities[:-1], test_labels=strong.test_labels[:-1])
    with pytest.raises(UnfairComparisonError, match="another number of images"):
        compare_runs([weak, shorter])


def test_other_labels_are_refused(weak, strong):
    labels = strong.test_labels.copy()
    labels[0] = (labels[0] + 1) % 10
    with pytest.raises(UnfairComparisonError, match="other test labels"):
        compare_runs([weak, replace(strong, test_labels=labels)])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: p * np.nan, "finite"),
        (lambda p: np.where(p == p.max(), np.inf, p), "finite"),
        (lambda p: p * 0.9, "sum 1"),
        (lambda p: np.log(np.maximum(p, 1e-6)), "softmax"),
    ],
    ids=["nan", "infinity", "sums", "logits"],
)
def test_what_is_no_probability_is_refused_even_in_a_single_run(weak, spoil, says):
    spoilt = replace(weak, test_probabilities=spoil(weak.test_probabilities))
    with pytest.raises(UnfairComparisonError, match=f"run 'weak'.*{says}|'weak' .*{says}"):
        compare_runs([spoilt])


def test_one_run_counted_twice_is_refused(weak):
    for twice in ([weak, weak], {"a": weak, "b": weak}, {"a": weak, "b": replace(weak, name="copy")}):
        with pytest.raises(UnfairComparisonError, match="given twice"):
            compare_runs(twice)


def test_runs_without_a_key_are_told_apart_by_their_answers(weak, strong):
    keyless = replace(weak, key="")
    assert len(compare_runs({"a": keyless, "b": replace(strong, key="")}).table) == 2
    assert len(compare_runs({"a": keyless, "b": replace(keyless, seed=1)}).table) == 2
    for copy in (keyless, replace(weak, key="", name="copy")):
        with pytest.raises(UnfairComparisonError, match="'a' and 'b': one and the same run .* probabilities are equal"):
            compare_runs({"a": keyless, "b": copy})
    assert len(compare_runs({"a": keyless, "b": replace(keyless, recipe={"epochs": 9})}).table) == 2
    lost = replace(weak, key="", status="diverged", test_probabilities=weak.test_probabilities[:0])
    assert len(compare_runs({"a": weak, "b": lost, "c": replace(lost)}).table) == 3


def test_the_same_key_with_another_seed_is_another_run(weak):
    assert len(compare_runs({"a": weak, "b": replace(weak, seed=1)}).table) == 2


def test_two_runs_of_one_name_and_seed_are_refused(weak, strong):
    for runs in ([weak, replace(strong, name="weak")], {"x": [weak, strong]}):
        with pytest.raises(UnfairComparisonError, match="have the same seed, 0"):
            compare_runs(runs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": {"epochs": 9}}, "epochs 5 and 9"),
        ({"model_info": {"parameters": 3}}, "parameters 2570 and 3"),
        ({"dataset": {"train_size": 10}}, "train_size .* and 10"),
        ({"dataset": {"validation_size": 3}}, "validation_size .* and 3"),
        ({"model_info": {"provenance": {"source": "random", "image_size": 96}}}, "image_size None and 96"),
        ({"model_info": {"provenance": {"source": "keras-cache", "sha256": "7dee"}}}, "sha256 None and '7dee'"),
        ({"tuning_trials": 50}, "tuning_trials 1 and 50"),
        ({"selection": "last"}, "selection 'validation' and 'last'"),
    ],
)
def test_runs_of_one_name_must_be_seeds_of_one_recipe(weak, change, says):
    (field, values), *_ = change.items()
    changed = getattr(weak, field) | values if isinstance(values, dict) else values
    other = replace(weak, seed=1, key="other", **{field: changed})
    with pytest.raises(UnfairComparisonError, match=f"'weak' are not seeds of one recipe: .*{says}"):
        compare_runs([weak, other])


def test_the_number_that_keras_gives_a_backbone_without_a_name_is_no_difference(weak):
    first, second = (
        replace(
            weak,
            seed=seed,
            key=str(seed),
            model_info=weak.model_info | {"provenance": {"source": "user-model", "backbone": name}},
        )
        for seed, name in enumerate(("functional_3", "functional_17"))
    )
    assert compare_runs([first, second]).table.loc["weak", "seeds"] == 2


def test_a_seed_within_the_recipe_is_no_difference(weak):
    first, second = (
        replace(weak, seed=seed, key=str(seed), recipe=weak.recipe | {"estimator": {"svc__random_state": seed}})
        for seed in (0, 1)
    )
    assert compare_runs([first, second]).table.loc["weak", "seeds"] == 2


@pytest.mark.parametrize("wrong", [3, None, [1], {"a": 1}, {"a": []}, {"a": "weak"}, [None]])
def test_what_is_no_run_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="Give runs"):
        compare_runs(wrong)


def test_an_unknown_baseline_lists_close_matches(weak, strong):
    with pytest.raises(UnknownNameError, match="Did you mean 'strong'"):
        compare_runs([weak, strong], baseline="strng")


def test_a_diverged_baseline_is_refused(weak, diverged):
    with pytest.raises(UnfairComparisonError, match="'broken' is 'diverged'"):
        compare_runs([weak, diverged], baseline="broken")


def test_a_missing_folder_is_a_run_error(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        compare_runs(tmp_path / "nothing")


def test_validation_images_that_are_the_test_images_count_as_selection_on_test_data(weak, strong):
    cheat = replace(strong, dataset=other_data(strong, validation_fingerprint=strong.dataset["test_fingerprint"]))
    comparison = compare_runs([weak, cheat])
    assert "Selected on test data: strong" in comparison.verdict
    assert comparison.tests.empty


def test_a_run_selected_on_test_data_gets_a_banner_and_no_verdict(weak, strong):
    cheat = replace(strong, selection="test")
    comparison = compare_runs([weak, cheat])
    assert comparison.verdict.startswith("No verdict: Selected on test data: strong")
    markdown, page = comparison.to_markdown(), comparison.to_html()
    assert "> [!WARNING]\n> Selected on test data: strong" in markdown
    assert 'class="banner"' in page
    for text in (repr(comparison), markdown, page):
        assert "Selected on test data" in text
        assert "Highest test accuracy" not in text


def test_a_run_trained_on_its_test_images_gets_a_banner(weak, strong):
    leaked = replace(strong, dataset=other_data(strong, train_fingerprint=strong.dataset["test_fingerprint"]))
    assert compare_runs([weak, leaked]).verdict.startswith("No verdict: Trained on the test images: strong")


def test_a_diverged_run_is_listed_and_counted_but_not_compared(weak, strong, diverged):
    comparison = compare_runs([diverged, weak, strong])
    assert comparison.baseline == "weak"
    assert comparison.table.loc["broken", "status"] == "diverged"
    assert np.isnan(comparison.table.loc["broken", "accuracy"])
    assert "not comparable: diverged" in repr(comparison)
    assert any(note.startswith("Listed but not compared, 1 of 3 runs: broken (diverged)") for note in comparison.notes)
    assert "broken" not in comparison.verdict


def test_only_diverged_runs_give_a_table_without_verdict(diverged):
    comparison = compare_runs([diverged, replace(diverged, name="other", key="x", status="interrupted")])
    assert comparison.baseline is None
    assert comparison.verdict == "No run finished, so nothing is compared."
    comparison.to_markdown("ko")
    comparison.to_html(language="ko")


def test_seeds_whose_groups_make_their_splits_differ_a_little_are_one_recipe(weak):
    def seed(number, train, **changed):
        sizes = {"train_size": train, "validation_size": 1000 - train, "split_seed": number}
        return replace(weak, seed=number, key=str(number), dataset=weak.dataset | sizes | changed)

    assert compare_runs([seed(0, 850), seed(1, 831), seed(2, 866)]).table["seeds"].tolist() == [3]
    unknown = [seed(number, 850, train_size=None) for number in range(2)]
    assert compare_runs(unknown).table["seeds"].tolist() == [2]
    for other in (seed(1, 700), seed(1, 831, split_seed=0), seed(1, 1000)):
        with pytest.raises(UnfairComparisonError, match="train_size"):
            compare_runs([seed(0, 850), other])
