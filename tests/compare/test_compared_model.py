"""Several seeds of one model in a comparison: table, tests, verdict and reports."""

from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import UnfairComparisonError
from transferkit.report.comparison import compare_runs
from transferkit.statistics.accuracy_tests import compare_recipes


@pytest.fixture(scope="module")
def seeds_of(make_run):
    """Return a function that gives runs of one name whose answers vary a little with the seed."""

    def make(name, strength, seeds, wrong=0.02, **options):
        runs = []
        for seed in seeds:
            run = make_run(name, strength, seed=seed, key=f"{name}-{seed}", **options)
            probabilities = run.test_probabilities.copy()
            rng = np.random.default_rng([seed, len(name)])
            flipped = rng.random(len(probabilities)) < wrong
            probabilities[flipped] = np.roll(probabilities[flipped], 1, axis=1)
            runs.append(replace(run, test_probabilities=probabilities))
        return runs

    return make


@pytest.fixture(scope="module")
def comparison(seeds_of):
    return compare_runs([*seeds_of("poor", 1e-4, range(4)), *seeds_of("fine", 0.1, range(4))])


def test_a_row_for_each_model_with_the_means_of_its_seeds(comparison):
    from scipy.stats import t

    assert comparison.table.index.tolist() == ["poor", "fine"]
    assert len(comparison.runs) == 8
    for model, (_, row) in zip(comparison.models, comparison.table.iterrows(), strict=True):
        accuracies = [run.metrics["accuracy"] for run in model.runs]
        assert row["seeds"] == 4
        assert row["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row["accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1))
        expected = t.interval(0.95, 3, np.mean(accuracies), np.std(accuracies, ddof=1) / 2)
        assert (row["seed_low"], row["seed_high"]) == pytest.approx(expected)
        assert row["accuracy_low"] < row["seed_low"] < row["seed_high"] < row["accuracy_high"]


def test_the_verdict_speaks_of_recipes(comparison):
    row = comparison.tests.iloc[0]
    assert row["method"] == "welch"
    assert row["verdict"] == "a better"
    assert row["better"] == 1
    assert row["p_permutation"] == pytest.approx(2 / 70)
    assert "Welch's t test" in comparison.verdict
    assert comparison.verdict.endswith("what other seeds and other test images would change.")


def test_three_seeds_are_too_few_for_the_permutation_test(seeds_of):
    comparison = compare_runs({"a": seeds_of("x", 1e-4, range(3)), "b": seeds_of("y", 0.1, range(3))})
    assert np.isnan(comparison.tests["p_permutation"][0])
    assert "too few seeds" in repr(comparison)


def test_one_run_is_measured_against_the_mean_of_the_trained_seeds(seeds_of, strong, weak):
    comparison = compare_runs([weak, *seeds_of("fine", 0.1, range(3)), strong])
    assert comparison.tests["method"].tolist() == ["one run against seeds", "mcnemar", "one run against seeds"]
    assert comparison.tests["scope"].tolist() == ["models"] * 3
    single = comparison.tests.iloc[1]
    alone = compare_runs([weak, strong]).tests.iloc[0]
    assert (single["p"], single["loss_low"]) == pytest.approx((alone["p"], alone["loss_low"]))
    assert comparison.tests["p_holm"].ge(comparison.tests["p"]).all()
    row = compare_runs([weak, *seeds_of("fine", 0.1, range(3))]).tests.iloc[0]
    assert row["next_low"] < row["mean_low"] < row["difference"] < row["mean_high"] < row["next_high"]
    assert row["p"] <= row["p_mean"]


def without_chance(run):
    return replace(run, recipe={"steps": ["FlattenPixels", "GaussianNB"], "augment": []})


def test_a_method_without_chance_needs_one_run_to_stand_for_its_recipe(seeds_of, strong, weak):
    fixed = without_chance(weak)
    row = compare_runs([fixed, *seeds_of("fine", 0.1, range(3))]).tests.iloc[0]
    assert (row["method"], row["scope"]) == ("welch", "recipes")
    both = compare_runs([fixed, without_chance(strong)]).tests.iloc[0]
    assert (both["method"], both["scope"]) == ("mcnemar", "recipes")
    assert compare_runs([fixed, strong]).tests["scope"][0] == "models"
    settings = fixed.recipe | {"early_stopping": True}
    random_step = replace(fixed, recipe={"steps": ["Nystroem", "GaussianNB"], "augment": []})
    assert compare_runs([random_step, without_chance(strong)]).tests["scope"][0] == "models"
    stopped = replace(fixed, recipe=settings, model_info=fixed.model_info | {"estimator": {"class": "sklearn"}})
    assert compare_runs([stopped, without_chance(strong)]).tests["scope"][0] == "models"


def test_training_images_that_change_with_the_seed_are_chance_even_for_such_a_method(seeds_of, weak):
    seeds = [
        replace(run, dataset=run.dataset | {"train_fingerprint": f"{run.seed:064d}"})
        for run in seeds_of("fine", 0.1, range(3))
    ]
    assert compare_runs([without_chance(weak), *seeds]).tests["scope"][0] == "models"


def test_seeds_that_answer_alike_have_no_variance_and_are_as_good_as_one_run(seeds_of, weak):
    alike = [replace(without_chance(weak), seed=seed, key=str(seed)) for seed in range(3)]
    fine = seeds_of("fine", 0.1, range(3))
    several, one = (compare_runs([*given, *fine]).tests.iloc[0] for given in (alike, alike[:1]))
    assert several["p"] == pytest.approx(one["p"], rel=1e-6)
    assert several["difference_low"] == pytest.approx(one["difference_low"])


def planned(runs, seeds, created):
    declared = [replace(run, created=created) for run in runs]
    for run in declared:
        object.__setattr__(run, "plan", {"seeds": list(seeds)})
    return declared


def test_seeds_added_after_the_first_plan_are_told(seeds_of):
    first = planned(seeds_of("fine", 0.1, range(3)), range(3), "2026-01-01T00:00:00+00:00")
    more = planned(seeds_of("fine", 0.1, range(3, 6)), range(6), "2026-01-02T00:00:00+00:00")
    assert compare_runs([*first, *more]).added_seeds == {"fine": [3, 4, 5]}
    assert compare_runs([*first, *more]).table.loc["fine", "added_seeds"] == 3
    assert compare_runs(first).added_seeds == {}
    assert compare_runs(seeds_of("fine", 0.1, range(3))).added_seeds == {}


def test_two_seeds_are_told_to_be_few(seeds_of):
    comparison = compare_runs([*seeds_of("poor", 1e-4, range(2)), *seeds_of("fine", 0.1, range(4))])
    assert comparison.few_seeds == ["poor"]


def test_shared_splits_pair_the_seeds(seeds_of):
    def with_splits(runs):
        return [replace(run, dataset=run.dataset | {"train_fingerprint": f"{run.seed:064d}"}) for run in runs]

    a, b = with_splits(seeds_of("a", 1e-3, range(4))), with_splits(seeds_of("bb", 1e-2, range(4)))
    assert compare_runs([*a, *b]).tests["method"].tolist() == ["paired t"]
    assert compare_runs([*a, *b[:3]]).tests["method"].tolist() == ["welch"]


def test_a_diverged_seed_is_counted_and_told(seeds_of, diverged):
    broken = replace(seeds_of("fine", 0.1, [7])[0], status="diverged", test_probabilities=np.empty((0, 10)))
    comparison = compare_runs([*seeds_of("poor", 1e-4, range(3)), *seeds_of("fine", 0.1, range(3)), broken])
    assert comparison.table.loc["fine", ["seeds", "unfinished"]].tolist() == [3, 1]
    assert "3 of 4" in repr(comparison)
    notes = " ".join(comparison.notes)
    assert "fine, seed 7 (diverged)" in notes
    assert "may flatter" in notes


def test_seeds_that_all_agree_still_leave_the_images_open(seeds_of):
    comparison = compare_runs([*seeds_of("poor", 1e-4, range(3), wrong=0), *seeds_of("fine", 0.1, range(3), wrong=0)])
    row = comparison.table.loc["fine"]
    assert row["accuracy_sd"] == pytest.approx(0, abs=1e-12)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert comparison.tests["difference_low"][0] < comparison.tests["difference_high"][0]


def test_perfect_seeds_have_wilsons_interval(weak):
    perfect = [
        replace(weak, test_probabilities=np.eye(10)[weak.test_labels], seed=seed, key=str(seed)) for seed in (0, 1)
    ]
    row = compare_runs(perfect).table.loc["weak"]
    assert row["accuracy_low"] < 1 == row["accuracy_high"]


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "ko"])
def test_reports_show_the_seeds(comparison, language):
    for report in (comparison.to_markdown(language), comparison.to_html(language=language)):
        assert "0, 1, 2, 3" in report
        assert "Newcombe" in report
    assert comparison.to_latex(language)
    comparison.plot(language=language)


def test_seeds_saved_in_a_folder_are_one_model(tmp_path, seeds_of, comparison):
    for run in [*seeds_of("poor", 1e-4, range(4)), *seeds_of("fine", 0.1, range(4))]:
        run.save(tmp_path / f"{run.name}-seed-{run.seed}")
    again = compare_runs(tmp_path, baseline="poor")
    assert again.table.loc["fine", "accuracy"] == pytest.approx(comparison.table.loc["fine", "accuracy"])
    assert again.table.loc["fine", "seeds"] == 4


def test_calibrated_seeds_are_still_seeds_of_one_recipe(seeds_of):
    fitted = {"temperature": 0.9}  # by `calibrate`, to each run
    runs = [replace(run, recipe=run.recipe | fitted) for run in seeds_of("fine", 0.1, range(3))]
    runs[0] = replace(runs[0], recipe=runs[0].recipe | {"temperature": 1.1})
    assert compare_runs(runs).table.loc["fine", "seeds"] == 3


def test_trainings_that_all_agree_leave_what_few_images_leave_open():
    right, wrong = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    row = compare_recipes(right, wrong, margin=0.005)
    assert row["p"] == pytest.approx(0.25)  # McNemar's exact test on three images
    assert row["difference_low"] < row["difference"] == 1.0
    assert compare_recipes(right, right, margin=0.005, paired=True)["difference_low"] < 0


def test_one_test_image_is_compared_without_an_error():
    row = compare_recipes(np.array([[True], [False], [True]]), np.array([[False], [True], [False]]), margin=0.005)
    assert 0 <= row["p"] <= 1


def test_intervals_of_accuracies_stay_between_0_and_1(make_run, seeds_of):
    few = [
        replace(run, test_probabilities=run.test_probabilities[:40], test_labels=run.test_labels[:40])
        for run in seeds_of("fine", 0.1, range(2), wrong=0.1)
    ]
    table = compare_runs(few).table
    assert (table[["accuracy_low", "seed_low"]] >= 0).all(axis=None)
    assert (table[["accuracy_high", "seed_high"]] <= 1).all(axis=None)


def test_runs_without_selection_may_name_different_epochs(seeds_of):
    runs = [
        replace(run, selection="none", selected_epoch=epoch)
        for epoch, run in enumerate(seeds_of("fine", 0.1, range(2)), 1)
    ]
    assert "fine" in compare_runs(runs).to_markdown()


def knn(make_run, name, *, seed=0, neighbours=5, fingerprint="a", **recipe):
    """Return what `train` records of a classifier of scikit-learn."""
    run = make_run(name, 0.1, seed=seed, key=f"{name}-{seed}-{neighbours}")
    parameters = {
        "steps": [
            ["scale", {"class": "MinMaxScaler", "parameters": {}}],
            ["last", {"class": "K", "parameters": {"n": neighbours}}],
        ]
    }
    return replace(
        run,
        recipe={"steps": ["FlattenPixels", "KNeighborsClassifier"], "augment": [], **recipe},
        model_info={"name": name, "estimator": {"class": "Pipeline", "parameters": parameters}},
        dataset=run.dataset | {"train_fingerprint": fingerprint},
    )


def test_classifiers_of_other_settings_are_no_seeds(make_run):
    runs = [knn(make_run, "knn", seed=seed, neighbours=5 + seed) for seed in (0, 1)]
    with pytest.raises(UnfairComparisonError, match=r"estimator\.steps\.1\.1\.n 5 and 6"):
        compare_runs([*runs, make_run("other", 0.2)])


@pytest.mark.parametrize(
    ("recipe", "images", "lacks"),
    [
        ({"steps": ["KNeighborsClassifier"]}, 50_000, True),
        ({"steps": ["LogisticRegression"]}, 50_000, True),
        ({"steps": ["LogisticRegression"], "solver": "saga"}, 50_000, False),
        ({"steps": ["HistGradientBoostingClassifier"]}, 10_000, True),
        ({"steps": ["HistGradientBoostingClassifier"]}, 10_001, False),
        ({"steps": ["HistGradientBoostingClassifier"], "early_stopping": False}, 50_000, True),
        ({"steps": ["HistGradientBoostingClassifier"], "early_stopping": True}, 500, False),
        ({"steps": ["HistGradientBoostingClassifier"], "max_features": 0.5}, 500, False),
    ],
    ids=str,
)
def test_which_classifiers_draw_nothing(make_run, recipe, images, lacks):
    run = knn(make_run, "one", **recipe)
    run = replace(run, dataset=run.dataset | {"train_size": images})
    (model, _) = compare_runs([run, make_run("other", 0.2)]).models
    assert model.has_no_chance is lacks


def test_methods_without_chance_say_nothing_of_other_training_images(make_run):
    same = compare_runs([knn(make_run, "a"), knn(make_run, "b", neighbours=3)])
    assert "There is no chance in these trainings" in same.verdict
    other = compare_runs([knn(make_run, "a"), knn(make_run, "b", neighbours=3, fingerprint="b")])
    assert "There is no chance in these trainings" not in other.verdict


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("label_smoothing", 0.1, "label smoothing"),
        ("schedule", "cosine", "learning-rate schedule"),
        ("class_weight", "balanced", "class weights"),
        ("average_weights", 0.99, "averaging of weights"),
        ("test_time_augment", "flip", "averaging over mirror images"),
    ],
)
def test_settings_in_which_runs_differ_are_pointed_out(make_run, setting, value, words):
    usual = {"batch_size": 32, "label_smoothing": 0.0, "schedule": "constant"}
    one, other = (replace(make_run(name, strength), recipe=usual) for name, strength in (("one", 0.1), ("other", 0.2)))
    notes = compare_runs([one, replace(other, recipe=usual | {setting: value})]).notes
    assert [note for note in notes if note.startswith(f"Their recipes differ in {words} as well")]
    assert not [note for note in compare_runs([one, other]).notes if "recipes" in note]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"batch_size": 32}, ""),  # an older record
        ({}, {"steps": ["HistGradientBoostingClassifier"], "early_stopping": False}, ""),
        ({"temperature": 1.1}, {"temperature": 1.2}, ""),
        ({"temperature": 1.1}, {}, "temperature"),
        ({"early_stopping": 3}, {}, "early stopping"),
        ({"layer_decay": 0.8}, {"layer_decay": 0.7}, "layer-wise decay of the learning rate"),
    ],
    ids=["older", "scikit-learn", "both calibrated", "one calibrated", "stopped", "decay"],
)
def test_settings_that_are_as_usual_differ_from_none(make_run, first, second, words):
    usual = {"batch_size": 32, "label_smoothing": 0.0, "schedule": "constant"}
    second = second if {"batch_size", "steps"} & second.keys() else usual | second
    info = {"estimator": {}} if "steps" in second else {}
    runs = [
        replace(make_run("a", 0.1), recipe=usual | first),
        replace(make_run("b", 0.2), recipe=second, model_info=info),
    ]
    notes = [note for note in compare_runs(runs).notes if "Their recipes differ" in note]
    assert len(notes) == bool(words)
    assert all(f"differ in {words} as well" in note for note in notes)
