"""All pairs at once are what each pair is alone."""

import time

import numpy as np
import pytest

from transferkit.compare import pairs
from transferkit.compare.model_runs import ModelRuns


def compare_pairs(runs, **options):
    return pairs.test_pairs([ModelRuns(run.name, (run,)) for run in runs], **options)


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
