"""Label-efficiency curves: numbers against scipy, coverage and false alarms, verdicts, refusals, both languages, the plot."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.report.label_curve import efficiency_curve
from transferkit.runs.run import Run

IMAGES = 400
LABELS = np.arange(IMAGES) % 2


def make_run(arm, budget, seed, right, *, subset="shared", **options):
    """Return a run that answers the images in the mask `right` correctly."""
    right = np.asarray(right, bool)
    probabilities = np.eye(2)[np.where(right, LABELS, 1 - LABELS)]
    dataset = {"name": "coins", "test_fingerprint": "t" * 64, "labels_per_class": budget}
    dataset["train_fingerprint"] = f"{subset}-{budget}-{seed}"
    fields = {"name": arm, "class_names": ("heads", "tails"), "test_labels": LABELS, "seed": seed, "dataset": dataset}
    return Run(**fields | {"test_probabilities": probabilities, "key": f"{arm}-{budget}-{seed}"} | options)


def exactly(accuracy):
    """Return a mask with this share of right answers, the same images for each share, so that only seeds move it."""
    return np.arange(IMAGES) < round(accuracy * IMAGES)


def runs_of(accuracies, **options):
    """Return runs from a dict of arm to a dict of budget to one accuracy a seed."""
    return [
        make_run(arm, budget, seed, exactly(accuracy), **options)
        for arm, budgets in accuracies.items()
        for budget, values in budgets.items()
        for seed, accuracy in enumerate(values)
    ]


TRANSFER = {
    "frozen": {10: [0.70, 0.71, 0.72], 100: [0.80, 0.81, 0.80], 1000: [0.85, 0.84, 0.86]},
    "scratch": {10: [0.40, 0.42, 0.41], 100: [0.60, 0.61, 0.60], 1000: [0.85, 0.85, 0.85]},
}
ACCURACIES = st.lists(st.integers(0, IMAGES), min_size=3, max_size=6, unique=True)


@settings(max_examples=15)
@given(ACCURACIES)
def test_means_and_intervals_over_seeds_are_scipys(counts):
    from scipy.stats import sem, t

    values = np.array(counts) / IMAGES
    row = efficiency_curve(runs_of({"a": {10: values}}), baseline="a").table.iloc[0]
    assert row["accuracy"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std(ddof=1))
    expected = t.interval(0.95, len(values) - 1, values.mean(), sem(values))
    assert (row["seed_low"], row["seed_high"]) == pytest.approx(tuple(np.clip(expected, 0, 1)), abs=1e-9)
    assert row["low"] <= row["accuracy"] <= row["high"]


@settings(max_examples=15)
@given(st.lists(st.tuples(*[st.integers(0, IMAGES)] * 2), min_size=3, max_size=6))
def test_differences_are_paired_where_seeds_share_subsets_and_welch_elsewhere(pairs):
    from scipy.stats import ttest_ind, ttest_rel

    first, second = np.array(pairs).T / IMAGES
    for subset, method, test in (("shared", "paired t", ttest_rel), ("own", "welch", ttest_ind)):
        runs = runs_of({"b": {10: second}}) + runs_of({"a": {10: first}}, subset=subset)
        row = efficiency_curve(runs, baseline="b").differences.iloc[0]
        assert row["method"] == method
        assert row["difference"] == pytest.approx(first.mean() - second.mean())
        if np.ptp(first - second) > 0 and np.ptp(first) > 0 and np.ptp(second) > 0:
            options = {} if test is ttest_rel else {"equal_var": False}
            expected = test(first, second, **options).confidence_interval(0.95)
            clipped = np.clip(tuple(expected), -1, 1)  # a difference of accuracies lies between -1 and 1
            assert (row["seed_low"], row["seed_high"]) == pytest.approx(tuple(clipped), abs=1e-9)


def test_holm_goes_over_all_differences_and_a_verdict_excludes_zero():
    from statsmodels.stats.multitest import multipletests

    tests = efficiency_curve(runs_of(TRANSFER), baseline="scratch").differences
    np.testing.assert_allclose(tests["p_holm"], multipletests(tests["p"], method="holm")[1])
    assert list(tests["verdict"]) == ["better", "better", "undecided"]
    assert (tests["low"][:2] > 0).all()
    assert tests["low"][2] < 0 < tests["high"][2]
    assert (tests["detectable"] > 0).all()


def test_verdict_says_up_to_where_transfer_helps():
    curve = efficiency_curve(runs_of(TRANSFER), baseline="scratch")
    assert curve.verdict.startswith(
        "“frozen” is better than “scratch” at 100 labels per class and below (10: +30.0 points, "
    )
    assert "Undecided between “frozen” and “scratch” at 1,000 labels per class (" in curve.verdict
    assert f"detectable {100 * curve.differences['detectable'].iloc[-1]:.1f} points" in curve.verdict
    assert curve.sentence(language="ko").startswith(
        "클래스당 레이블 100개 이하에서 “frozen” 방법이 “scratch” 방법보다 낫습니다 (10개: +30.0%p, "
    )
    turned = efficiency_curve(runs_of(TRANSFER), baseline="frozen").verdict
    assert turned.startswith("“frozen” is better than “scratch” at 100 labels per class and below (10: +30.0 points, ")
    assert curve.verdict in repr(curve).replace("-", "−") or curve.verdict.replace("−", "-") in repr(curve)


def test_verdict_where_it_always_helps_and_where_only_in_between():
    always = {"a": {10: [0.7, 0.71, 0.7], 30: [0.8, 0.81, 0.8]}, "b": {10: [0.4, 0.41, 0.42], 30: [0.5, 0.5, 0.51]}}
    assert (
        "at every number of labels per class tried, 10 to 30 ("
        in efficiency_curve(runs_of(always), baseline="b").verdict
    )
    between = {
        "a": {10: [0.5, 0.6, 0.4], 30: [0.8, 0.81, 0.8], 100: [0.7, 0.8, 0.9]},
        "b": {10: [0.5, 0.4, 0.6], 30: [0.5, 0.5, 0.51], 100: [0.9, 0.8, 0.7]},
    }
    verdict = efficiency_curve(runs_of(between), baseline="b").verdict
    assert "better than “b” at 30 labels per class (" in verdict
    assert "at 10, 100 labels per class (" in verdict


def scattered(arm, *, wrong, seeds=3, images=40, budget=10):
    """Return runs that are wrong on `wrong` images each, different ones for every seed: all chance cancels in the means."""
    labels = LABELS[:images]
    runs = []
    for seed in range(seeds):
        places = (np.arange(images) - seed * wrong) % images < wrong
        run = make_run(arm, budget, seed, np.ones(IMAGES, bool))
        answers = np.where(places, 1 - labels, labels)
        runs.append(replace(run, test_labels=labels, test_probabilities=np.eye(2)[answers]))
    return runs


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_chance_leaves_no_trace_the_curve_claims_no_more_than_a_comparison(seeds):
    runs = scattered("a", wrong=0, seeds=seeds) + scattered("b", wrong=1, seeds=seeds)
    curve = efficiency_curve(runs, baseline="b")
    row, compared = curve.differences.iloc[0], tk.compare_runs(runs, baseline="b").tests.iloc[0]
    assert (row["verdict"], compared["verdict"]) == ("undecided", "undecided")
    assert row["low"] < 0 < row["high"]
    assert row["detectable"] > 0
    assert (curve.table["low"] < curve.table["high"]).all()
    assert curve.table["high"][0] == 1


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(2, 5), st.integers(21, 199))
def test_equal_seeds_never_have_an_interval_without_width(wrong, seeds, images):
    table = efficiency_curve(scattered("a", wrong=wrong, seeds=seeds, images=images), baseline="a").table
    assert table["high"][0] - table["low"][0] > 0.01


def test_opposed_seeds_detect_nothing_rather_than_more_than_everything():
    runs = runs_of({"a": {10: [1.0, 0.0]}, "b": {10: [0.0, 1.0]}})
    assert np.isinf(efficiency_curve(runs, baseline="b").differences["detectable"][0])


def test_practically_equal_is_said_where_a_comparison_says_it(rng):
    count, runs = 20_000, []
    labels = np.arange(count) % 2
    for arm in "ab":
        for seed in range(5):
            answers = np.where(np.isin(np.arange(count), rng.choice(count, 20, replace=False)), 1 - labels, labels)
            run = make_run(arm, np.int64(1000), seed, exactly(1))
            runs.append(replace(run, test_labels=labels, test_probabilities=np.eye(2)[answers]))
    curve = efficiency_curve(runs, baseline="b")
    assert curve.differences["verdict"][0] == tk.compare_runs(runs).tests["verdict"][0] == "practically equal"
    assert "“a” and “b” are practically equal (within ±0.5 points) at 1,000 labels per class" in curve.verdict
    assert "사실상 같습니다(±0.5%p 이내" in curve.sentence("ko")
    assert efficiency_curve(runs, baseline="b", margin=1e-5).differences["verdict"][0] == "undecided"


def test_one_seed_has_no_interval_and_no_verdict():
    curve = efficiency_curve(runs_of({"a": {10: [0.9]}, "b": {10: [0.5]}}), baseline="b")
    row = curve.differences.iloc[0]
    assert (row["method"], row["verdict"]) == ("too few seeds", "too few seeds")
    assert row["difference"] == pytest.approx(0.4)
    assert np.isnan([row["low"], row["high"], row["p"], row["p_holm"], row["detectable"]]).all()
    assert "fewer than two seeds" in curve.verdict
    assert "better" not in curve.verdict
    assert "nan" not in curve.to_markdown()


def test_diverged_seeds_are_counted_but_not_averaged():
    runs = runs_of(TRANSFER)
    empty = np.empty((0, 2))
    runs[0] = make_run("frozen", 10, 0, exactly(0), status="diverged", test_probabilities=empty)
    curve = efficiency_curve(runs, baseline="scratch")
    first = curve.table.iloc[0]
    assert (first["runs"], first["seeds"]) == (3, 2)
    assert curve.differences.iloc[0]["method"] == "welch"
    assert "2 of 3" in repr(curve)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_an_arm_without_a_result_does_not_hide_the_others(first, metric):
    empty = {"status": "diverged", "test_probabilities": np.empty((0, 2))}
    runs = runs_of({"scratch": TRANSFER["scratch"]})
    dead = runs_of({"dead": TRANSFER["frozen"]}, **empty)
    alone = efficiency_curve(runs, baseline="scratch", metric=metric).plot()
    ax = efficiency_curve(dead + runs if first else runs + dead, baseline="scratch", metric=metric).plot()
    assert ax.get_ylim() == alone.get_ylim()


@settings(max_examples=15)
@given(st.lists(st.integers(1, 5000), min_size=2, max_size=6, unique=True), st.data())
def test_area_is_the_mean_over_the_logarithm_of_the_budget(budgets, data):
    counts = {n: data.draw(st.lists(st.integers(0, IMAGES), min_size=2, max_size=2)) for n in sorted(budgets)}
    curve = efficiency_curve(runs_of({"a": {n: np.array(c) / IMAGES for n, c in counts.items()}}), baseline="a")
    places = np.log(sorted(budgets))
    expected = np.trapezoid([np.mean(c) / IMAGES for c in counts.values()], places) / np.ptp(places)
    row = curve.areas.iloc[0]
    assert row["area"] == pytest.approx(expected)
    assert row["low"] <= row["area"] + 1e-9
    assert row["high"] >= row["area"] - 1e-9


def test_arm_without_a_budget_has_no_area():
    runs = [run for run in runs_of(TRANSFER) if (run.name, run.dataset["labels_per_class"]) != ("frozen", 1000)]
    areas = efficiency_curve(runs, baseline="scratch").areas.set_index("arm")["area"]
    assert np.isnan(areas["frozen"])
    assert areas["scratch"] == pytest.approx((0.41 / 2 + 0.6033333 + 0.85 / 2) / 2, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_false_alarms_and_coverage_under_the_null(rng, seeds):
    """Two arms of equal skill, on subsets that move both, at two budgets: few alarms, and the truth, 0, inside."""
    alarms = covered = 0
    trials = 60
    for _ in range(trials):
        ease = rng.normal(1, 1.5, IMAGES)
        runs = []
        for budget in (10, 100):
            for seed in range(seeds):
                subset = rng.normal(0, 0.5)  # a lucky subset is lucky for both arms
                for arm in ("a", "b"):
                    skill = ease + subset + rng.normal(0, 0.2)
                    runs.append(make_run(arm, budget, seed, rng.random(IMAGES) < 1 / (1 + np.exp(-skill))))
        tests = efficiency_curve(runs, baseline="b").differences
        assert set(tests["method"]) == {"paired t"}
        alarms += (tests["verdict"] != "undecided").any()
        covered += ((tests["low"] <= 0) & (tests["high"] >= 0)).sum()
    assert alarms / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert covered / (2 * trials) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / (2 * trials))


def test_refusals_name_the_reason():
    runs = runs_of(TRANSFER)
    with pytest.raises(UnknownNameError, match="scratch"):
        efficiency_curve(runs, baseline="from scratch")
    for margin in (0, 5, "0.005"):
        with pytest.raises(InvalidInputError, match="margin"):
            efficiency_curve(runs, baseline="scratch", margin=margin)
    with pytest.raises(InvalidInputError, match="labels per class"):
        efficiency_curve([*runs, make_run("frozen", None, 0, exactly(0.9))], baseline="scratch")
    with pytest.raises(UnfairComparisonError, match="same seed"):
        efficiency_curve([*runs, make_run("frozen", 10, 0, exactly(0.9), key="other")], baseline="scratch")
    with pytest.raises(UnfairComparisonError, match="given twice"):
        efficiency_curve([*runs, runs[0]], baseline="scratch")
    with pytest.raises(UnfairComparisonError, match="'peeked'.*test images"):
        efficiency_curve([*runs, make_run("peeked", 10, 0, exactly(0.9), selection="test")], baseline="scratch")
    other = make_run("other", 10, 0, exactly(0.9))
    other.dataset["test_fingerprint"] = "u" * 64
    with pytest.raises(UnfairComparisonError, match="other images"):
        efficiency_curve([*runs, other], baseline="scratch")


def test_no_shared_budget_is_said():
    curve = efficiency_curve(runs_of({"a": {10: [0.5, 0.6]}, "b": {30: [0.5, 0.6]}}), baseline="b")
    assert len(curve.differences) == 0
    assert "no arm shares" in curve.verdict


def test_report_in_both_languages():
    curve = efficiency_curve(runs_of(TRANSFER), baseline="scratch")
    english, korean = curve.to_markdown(), curve.to_markdown("ko")
    assert english.count("\n| ") == korean.count("\n| ") == 7
    assert "| frozen | 10 | 3 | 71.0% " in english
    assert "클래스당 레이블 100개 이하" in korean
    with pytest.raises(UnknownNameError):
        curve.to_markdown("de")


def test_plot_has_every_dot_and_a_logarithmic_axis():
    curve = efficiency_curve(runs_of(TRANSFER), baseline="scratch")
    ax = curve.plot()
    assert ax.get_xscale() == "log"
    line, dots = ax.lines[:2]
    assert line.get_label() == "frozen"
    np.testing.assert_allclose(line.get_ydata(), [0.71, 0.80333, 0.85], atol=0.01)
    assert len(dots.get_xdata()) == 9
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "100", "1,000"]
    assert tk.plot_label_efficiency(curve, ax=ax) is ax


def test_saved_runs_are_read_from_their_folder(tmp_path):
    for i, run in enumerate(runs_of(TRANSFER)):
        run.save(tmp_path / str(i))
    expected = efficiency_curve(runs_of(TRANSFER), baseline="scratch")
    assert efficiency_curve(tmp_path, baseline="scratch").verdict == expected.verdict


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1_macro", "loss", "brier"])
def test_other_metrics_have_a_curve_of_their_own(metric):
    runs = runs_of(TRANSFER)
    curve = efficiency_curve(runs, baseline="scratch", metric=metric)
    expected = {(run.name, run.dataset["labels_per_class"], run.seed): run.metrics.get(metric) for run in runs}
    for row in curve.points.to_dict("records"):
        value = expected[row["arm"], row["labels_per_class"], row["seed"]]
        assert value is None or row[metric] == pytest.approx(value, abs=1e-6)
    table = curve.table
    assert ((table["low"] <= table[metric]) & (table[metric] <= table["high"])).all()
    assert curve.differences["verdict"].tolist() == ["better", "better", "undecided"]
    assert (curve.differences["difference"][0] < 0) == (metric in ("loss", "brier"))
    assert curve.to_markdown("ko")


def test_an_unknown_metric_is_refused():
    with pytest.raises(UnknownNameError, match="f1"):
        efficiency_curve(runs_of(TRANSFER), baseline="scratch", metric="f1")


def test_the_curve_of_the_accuracy_is_not_that_of_another_metric():
    accuracy = efficiency_curve(runs_of(TRANSFER), baseline="scratch").table["accuracy"]
    balanced = efficiency_curve(runs_of(TRANSFER), baseline="scratch", metric="balanced_accuracy").table
    np.testing.assert_allclose(accuracy, balanced["balanced_accuracy"], atol=0.01)
    assert "accuracy" not in balanced


def test_each_budget_says_whether_transfer_helped():
    def about(arm, source, trainable):
        info = {"source": source, "backbone": "mobilenet", "width": 1.0}
        return {"model_info": {"parameters": 1000, "trainable_parameters": trainable, "provenance": info}}

    runs = [
        replace(
            run,
            **about(
                run.name, "keras-cache" if run.name == "frozen" else "random", 10 if run.name == "frozen" else 1000
            ),
        )
        for run in runs_of(TRANSFER)
    ]
    for baseline in ("scratch", "frozen"):
        effects = efficiency_curve(runs, baseline=baseline).transfer_effects
        assert [effect.labels_per_class for effect in effects] == [10, 100, 1000]
        assert {(effect.a, effect.b, effect.kind) for effect in effects} == {("frozen", "scratch", "pretraining")}
        assert [effect.test["verdict"] for effect in effects] == ["better", "better", "undecided"]
        assert effects[0].test["difference"] == pytest.approx(0.3)
        assert effects[0].test["low"] > 0
    assert efficiency_curve(runs_of(TRANSFER), baseline="scratch").transfer_effects == ()
