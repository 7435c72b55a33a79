"""All pairs at once are what each pair is alone."""

import time
from dataclasses import replace

import numpy as np
import pytest

from transferkit.compare import pair_tests
from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.pair_tests import Family, find_pair, turn_pair
from transferkit.errors import InvalidInputError
from transferkit.report.comparison import compare_runs


def compare_pairs(runs, *, family=Family.ALL, baseline=None, **options):
    models = [ComparedModel(run.name, (run,)) for run in runs]
    return pair_tests.test_pairs(models, baseline=baseline, family=family, **options)


@pytest.fixture(scope="module")
def runs(make_run):
    return [make_run(f"C={strength}", strength) for strength in (1e-4, 1e-3, 1e-2, 0.1)]


@pytest.fixture(scope="module")
def table(runs):
    return compare_pairs(runs, margin=0.005, seed=0)


def test_every_pair_once_the_later_against_the_earlier(table, runs):
    assert len(table) == 6
    assert table.loc[0, ["a", "b"]].tolist() == [runs[1].name, runs[0].name]


@pytest.mark.parametrize("metric", ["loss", "brier", "f1_macro"])
def test_differences_are_those_of_the_metrics_and_lie_in_their_intervals(table, runs, metric):
    metrics = {run.name: run.metrics for run in runs}
    for row in table.to_dict("records"):
        expected = metrics[row["a"]][metric] - metrics[row["b"]][metric]
        assert row[f"{metric}_difference"] == pytest.approx(expected, abs=1e-9)
        assert row[f"{metric}_low"] <= expected <= row[f"{metric}_high"]


def test_counts_are_those_of_the_answers(table, runs):
    by_name = {run.name: run for run in runs}
    for row in table.to_dict("records"):
        a, b = (by_name[row[side]] for side in "ab")
        right_a, right_b = (run.test_probabilities.argmax(axis=1) == run.test_labels for run in (a, b))
        assert row["only_a"] == (right_a & ~right_b).sum()
        assert row["only_b"] == (right_b & ~right_a).sum()
        assert row["difference"] == pytest.approx(a.metrics["accuracy"] - b.metrics["accuracy"])


def test_bootstrap_of_the_loss_agrees_with_scipys(runs, table):
    from scipy.stats import bootstrap

    rows = np.arange(len(runs[0].test_labels))
    a, b = (-np.log(run.test_probabilities[rows, run.test_labels].astype(float)) for run in (runs[3], runs[2]))
    expected = bootstrap((a - b,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    row = table[(table["a"] == runs[3].name) & (table["b"] == runs[2].name)].iloc[0]
    width = expected.high - expected.low
    assert row["loss_low"] == pytest.approx(expected.low, abs=0.1 * width)
    assert row["loss_high"] == pytest.approx(expected.high, abs=0.1 * width)


@pytest.mark.slow
def test_bootstrap_covers_the_truth_in_95_percent(make_run, rng):
    """Two models on 300 images drawn from a population of which the true difference of loss is known."""
    first, second = (rng.beta(a, 1, 100_000) for a in (4, 3))  # probability of the right class
    true = np.mean(np.log(second) - np.log(first))
    covered, trials = 0, 150
    for trial in range(trials):
        drawn = rng.integers(0, len(first), 300)
        pair = [
            make_run(
                name,
                class_names=("no", "yes"),
                test_labels=np.ones(300, np.int64),
                test_probabilities=np.column_stack([1 - right[drawn], right[drawn]]),
            )
            for name, right in (("second", second), ("first", first))
        ]
        row = compare_pairs(pair, margin=0.005, seed=trial).iloc[0]
        covered += row["loss_low"] <= true <= row["loss_high"]
    assert 0.89 <= covered / trials <= 0.99  # 93 to 97%, and the error of 150 trials


def test_unfinished_runs_are_left_out(runs, diverged):
    assert len(compare_pairs([*runs[:2], diverged], margin=0.005, seed=0)) == 1
    assert compare_pairs([runs[0], diverged], margin=0.005, seed=0).empty


def test_many_runs_do_not_take_long(make_run):
    many = [make_run(f"run {i}", 0.1, key=str(i)) for i in range(60)]
    start = time.process_time()
    assert len(compare_pairs(many, margin=0.005, seed=0)) == 60 * 59 // 2
    assert time.process_time() - start < 60  # a guard against a loop over pairs, not a benchmark


def test_p_of_a_loss_is_scipys_paired_t(runs, table):
    from scipy.stats import ttest_rel

    rows = np.arange(len(runs[0].test_labels))
    a, b = (-np.log(run.test_probabilities[rows, run.test_labels].astype(float)) for run in (runs[3], runs[2]))
    row = table[(table["a"] == runs[3].name) & (table["b"] == runs[2].name)].iloc[0]
    assert row["loss_p"] == pytest.approx(ttest_rel(a, b).pvalue, rel=1e-3)
    assert row["loss_verdict"] == "a better"
    assert row["loss_difference"] < 0


@pytest.mark.slow
def test_equal_models_are_seldom_told_apart_by_any_metric(make_run, rng):
    alarms = dict.fromkeys(("loss", "brier", "f1_macro"), 0)
    for trial in range(60):
        labels, skill = rng.integers(0, 3, 200), rng.normal(1, 1, (200, 1))
        logits = [rng.normal(0, 1, (200, 3)) + skill * np.eye(3)[labels] for _ in range(2)]
        pair = [
            make_run(
                name,
                class_names=("a", "b", "c"),
                test_labels=labels,
                test_probabilities=np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
                key=f"{name}-{trial}",
            )
            for name, z in zip(("first", "second"), logits, strict=True)
        ]
        row = compare_pairs(pair, margin=0.005, seed=0).iloc[0]
        for name in alarms:
            alarms[name] += row[f"{name}_p"] < 0.05
    assert all(count / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60) for count in alarms.values()), alarms


def test_a_family_of_the_baseline_pays_only_for_its_pairs(runs):
    whole = compare_runs(runs, family="all").tests
    part = compare_runs(runs, family="baseline", baseline=runs[1].name).tests
    assert len(whole) == 6
    assert len(part) == 3
    assert all(runs[1].name in pair for pair in zip(part["a"], part["b"], strict=True))
    same = whole.merge(part, on=["a", "b"])
    assert (same["p_x"] == same["p_y"]).all()
    assert (same["p_holm_y"] <= same["p_holm_x"]).all()


def test_more_than_five_models_are_tested_against_the_baseline_unless_all_are_asked_for(make_run):
    many = [make_run(f"run {i}", 10.0 ** -(i % 4), key=str(i)) for i in range(6)]
    comparison = compare_runs(many, baseline="run 3")
    assert (comparison.family, len(comparison.tests)) == ("baseline", 5)
    assert len(compare_runs(many, family="all").tests) == 15
    assert len(compare_runs(many[:5]).tests) == 10
    with pytest.raises(InvalidInputError, match="family='all'"):
        comparison.sentence("run 0", "run 1")
    with pytest.raises(InvalidInputError, match="family"):
        compare_runs(many, family="some")


def test_a_pair_turned_twice_is_itself(table, make_run, runs):
    seeds = [replace(runs[0], seed=seed, key=f"s{seed}") for seed in range(3)]
    mixed = compare_runs([*seeds, *runs[1:]]).tests
    for tests in (table, mixed):
        for row in tests.to_dict("records"):
            there = turn_pair(row)
            assert there["difference"] == -row["difference"]
            again = turn_pair(there)
            assert {k: v for k, v in again.items() if v == v} == {k: v for k, v in row.items() if v == v}
            assert find_pair(tests, row["b"], row["a"])["difference_low"] == -row["difference_high"]


def test_simultaneous_intervals_hold_the_single_ones_and_touch_zero_where_bonferroni_does(table):
    assert (table["simultaneous_low"] < table["difference_low"]).all()
    assert (table["simultaneous_high"] > table["difference_high"]).all()


def test_equality_is_adjusted_for_the_number_of_pairs(table):
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(table["p_equal_holm"], multipletests(table["p_equal"], method="holm")[1])
    assert ((table["verdict"] == "practically equal") <= (table["p_equal_holm"] < 0.05)).all()


def test_a_difference_that_no_model_could_have_is_not_called_detectable(make_run, strong):
    few = [
        replace(run, test_probabilities=run.test_probabilities[:5], test_labels=run.test_labels[:5])
        for run in (strong, replace(strong, name="other", key="other"))
    ]
    assert np.isinf(compare_runs(few).tests["detectable"][0])


def test_one_image_has_no_interval_of_a_loss(strong, weak):
    one = [
        replace(run, test_probabilities=run.test_probabilities[:1], test_labels=run.test_labels[:1])
        for run in (strong, weak)
    ]
    row = compare_runs(one).tests.iloc[0]
    assert np.isnan([row["loss_low"], row["loss_high"], row["loss_p"]]).all()
    assert row["loss_verdict"] == "undecided"


@pytest.mark.parametrize("seeds", [1, 3])
def test_images_that_come_ten_times_count_once(make_run, rng, seeds):
    labels = rng.integers(0, 10, 60)
    runs, repeated = [], []
    for name in ("a", "b"):
        for seed in range(seeds):
            probabilities = rng.dirichlet(np.ones(10), 60) * 0.6 + 0.4 * np.eye(10)[labels]
            plain = make_run(name, seed=seed, key=f"{name}{seed}", test_labels=labels, test_probabilities=probabilities)
            runs.append(plain)
            told = plain.dataset | {"test_clusters": list(range(60)) * 10}
            ten = {"test_labels": np.tile(labels, 10), "test_probabilities": np.tile(probabilities, (10, 1))}
            repeated.append(replace(plain, dataset=told, **ten))
    once, often = compare_runs(runs), compare_runs(repeated)
    assert often.repeated_images == 600
    assert once.repeated_images == 0
    for name in ("p", "difference_low", "difference_high", "p_equal", "loss_p", "f1_macro_p"):
        assert often.tests[name][0] == pytest.approx(once.tests[name][0], rel=0.05), name
    width = once.tests["loss_high"][0] - once.tests["loss_low"][0]
    assert often.tests["loss_high"][0] - often.tests["loss_low"][0] == pytest.approx(width, rel=0.2)
    tests = often.class_tests("a", "b"), once.class_tests("a", "b")
    np.testing.assert_allclose(tests[0]["p"], tests[1]["p"], rtol=0.05)
