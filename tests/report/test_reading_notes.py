"""What a reader must know: of seeds, of images, of classes, of what p and P are about."""

from dataclasses import replace

import numpy as np
import pytest

from transferkit.report.comparison import compare_runs


def seeds_of(make_run, name, strength, seeds, **options):
    return [make_run(name, strength * (1 + seed / 10), seed=seed, key=f"{name} {seed}", **options) for seed in seeds]


def in_both(comparison, english, korean):
    assert english in " ".join(comparison.notes)
    assert korean in comparison.to_markdown("ko")


def test_two_seeds_are_warned_of(make_run):
    comparison = compare_runs([*seeds_of(make_run, "A", 0.1, range(2)), *seeds_of(make_run, "B", 1e-4, range(3))])
    in_both(comparison, "Only two seeds: “A”.", "시드가 두 개뿐인 모델: “A”.")


def test_seeds_added_after_a_look_are_told(make_run, monkeypatch):
    runs = seeds_of(make_run, "A", 0.1, range(4))
    assert "after the first plan" not in " ".join(compare_runs(runs).notes)
    monkeypatch.setattr("transferkit.compare.compared_model.planned_seeds", lambda run: [0, 1])
    in_both(compare_runs(runs), "Seeds added after the first plan (“A”: 2, 3).", "추가한 시드가 있습니다(“A”: 2, 3).")


def test_cross_validated_models_are_no_single_trainings(make_run):
    runs = [make_run(name, strength) for name, strength in (("A", 0.1), ("B", 1e-4))]
    folds = [number % 3 for number in range(len(runs[0].test_labels))]
    runs = [
        replace(run, dataset=run.dataset | {"folds": folds}, phases=3 * run.phases, selection="none") for run in runs
    ]
    again = [replace(run, seed=1, key=f"{run.name} again") for run in runs]
    for given in (runs, runs + again):
        comparison = compare_runs(given)
        report = comparison.to_markdown()
        assert report.count("each image is predicted by a model that was trained without its fold") == 1
        (line,) = (line for line in report.splitlines() if line.startswith("- **A**: head"))
        assert (line.count("epochs 2"), line.count("epochs 3")) == (1, 1)
        assert "this one trained model" not in report
        assert comparison.few_seeds == []


def test_repeated_images_are_told(weak, strong):
    clusters = [0, 0, 0, *range(3, len(weak.test_labels))]
    runs = [replace(run, dataset=run.dataset | {"test_clusters": clusters}) for run in (weak, strong)]
    in_both(
        compare_runs(runs),
        "3 test images equal another one or belong",
        "테스트 이미지 3장은 다른 테스트 이미지와 똑같거나",
    )


def test_unequal_classes_get_counts_a_row_and_a_note(weak, strong):
    kept = np.flatnonzero((weak.test_labels == 3) | (np.arange(len(weak.test_labels)) % 10 == 0))
    few = [
        replace(run, test_labels=run.test_labels[kept], test_probabilities=run.test_probabilities[kept])
        for run in (weak, strong)
    ]
    comparison = compare_runs(few)
    in_both(comparison, "answering “3” every time is right in ", "항상 “3” 클래스라고만 답해도")
    markdown = comparison.to_markdown()
    row = next(line for line in markdown.splitlines() if line.startswith("| always “3”"))
    assert f"{(weak.test_labels[kept] == 3).mean():.1%} [" in row
    assert "Balanced accuracy" in markdown
    assert "Test images of each class: 0 " in markdown
    assert "always “3”" in comparison.to_latex()
    assert "항상 “3” 클래스라고 답하기" in comparison.to_html(language="ko")


def test_equal_classes_get_none_of_it(weak, strong):
    markdown = compare_runs([weak, strong]).to_markdown()
    assert "always" not in markdown
    assert "Balanced accuracy" not in markdown


def test_p_of_permutations_is_said_to_hold_for_these_images(make_run):
    comparison = compare_runs([*seeds_of(make_run, "A", 0.1, range(3)), *seeds_of(make_run, "B", 1e-4, range(3))])
    in_both(comparison, "hold for these test images only", "이 테스트 이미지에만 해당합니다")
    assert "A difference matters if the verdict says better" in " ".join(comparison.notes)
    assert "P(first beats second, these test images)" in comparison.to_markdown()


def test_intervals_are_said_not_to_be_simultaneous(weak, strong, make_run):
    comparison = compare_runs([weak, strong, make_run("third", 1e-3)])
    in_both(comparison, "A 95% interval is that of its pair alone", "그 쌍 하나에만 해당하므로")
    assert "pair alone" not in " ".join(compare_runs([weak, strong]).notes)


def test_no_model_quicker_and_better_is_told(transfer_runs):
    comparison = compare_runs(transfer_runs)
    in_both(
        comparison,
        "and is more accurate: “frozen”, “fine-tuned”.",
        "더 정확한 모델은 없습니다: “frozen”, “fine-tuned”.",
    )


@pytest.mark.parametrize("language", ["en", "ko"])
def test_unfinished_seeds_are_named(make_run, diverged, language):
    lost = replace(diverged, name="A", seed=3, key="A 3", recipe=diverged.recipe)
    comparison = compare_runs([*seeds_of(make_run, "A", 0.1, range(3)), lost])
    assert {"en": "A, seed 3 (diverged)", "ko": "A, 시드 3 (발산)"}[language] in comparison.to_markdown(language)


def test_notes_say_where_the_last_epoch_was_the_best_and_where_recipes_differ(make_run):
    early = make_run("early", selected_epoch=3)
    late = make_run("late", 0.1, recipe={"epochs": 5, "learning_rate": 3e-3})
    notes = compare_runs([early, late]).notes
    assert [note for note in notes if "the last epoch of “late”" in note]
    assert [note for note in notes if note.startswith("Their recipes differ in learning rate as well")]
    for fixed in (make_run("late", 0.1, selection="last"), make_run("late", 0.1, selected_epoch=4)):
        assert not [note for note in compare_runs([early, fixed]).notes if "last epoch of" in note or "recipes" in note]


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
