"""The tests of right and wrong answers: what they reduce to, and how often they raise a false alarm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transferkit.statistics.accuracy_tests import compare_recipes, compare_trained_models, count_disagreements
from transferkit.statistics.mcnemar import mcnemar_p

TRIALS = 300
RIGHT = arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 40)))


@given(arrays(bool, st.integers(1, 60)), st.randoms(use_true_random=False))
def test_one_run_each_is_counted_plainly(a, random):
    b = np.array([random.random() < 0.5 for _ in a])
    first, second, count = count_disagreements(a.astype(float) - b)
    assert (first, second, count) == pytest.approx(((a & ~b).sum(), (b & ~a).sum(), len(a)))


@given(arrays(bool, st.tuples(st.just(2), st.integers(1, 30))), st.integers(2, 6))
def test_images_that_come_several_times_count_once(right, times):
    count = right.shape[1]
    difference = right[0].astype(float) - right[1]
    clusters = np.arange(count * times) % count
    once, repeated = count_disagreements(difference), count_disagreements(np.tile(difference, times), clusters)
    assert repeated == pytest.approx(once)


def test_duplicated_images_raise_no_false_alarms(rng):
    clusters = np.arange(2_000) % 200
    alarms, unguarded = 0, 0
    for _ in range(TRIALS):
        difference = np.tile(rng.choice([-1.0, 0.0, 1.0], 200, p=[0.1, 0.8, 0.1]), 10)
        alarms += mcnemar_p(*count_disagreements(difference, clusters)[:2]) < 0.05
        unguarded += mcnemar_p(*count_disagreements(difference)[:2]) < 0.05
    assert alarms / TRIALS <= 0.05
    assert unguarded / TRIALS > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images"), [(2, 60), (3, 60), (3, 1000), (10, 300)])
def test_trained_models_are_not_told_apart_by_luck(rng, make_answers, seeds, images):
    """One fixed model and several fixed ones with the same mean accuracy, on new images each time."""
    alarms = 0
    for _ in range(TRIALS):
        ease = rng.normal(2, 2, images)
        one = make_answers(rng, 1, images=ease, between_seeds=0.0)
        several = make_answers(rng, seeds, images=ease, between_seeds=0.0)
        alarms += compare_recipes(one, several, margin=0.005)["p"] < 0.05
    assert alarms / TRIALS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


def test_more_runs_of_the_other_recipe_give_no_weaker_answer(rng):
    ease = rng.normal(2, 2, 2_000)
    one = rng.random((1, 2_000)) < 1 / (1 + np.exp(-ease - 0.6))
    several = rng.random((5, 2_000)) < 1 / (1 + np.exp(-ease))
    only = [((x & ~y).sum(), (y & ~x).sum()) for x, y in ((one[0], row) for row in several)]
    singles = [float(compare_trained_models(a, b, 2_000, margin=0.005)["p"]) for a, b in only]
    row = compare_recipes(one, several, margin=0.005)
    assert row["p"] < max(singles)
    assert row["scope"] == "models"
    assert row["next_low"] <= row["mean_low"] <= row["difference_low"] + 1e-3
    assert row["next_high"] >= row["mean_high"] >= row["difference_high"] - 1e-3


def test_the_mean_of_the_other_recipe_is_not_lent_to_the_single_run(rng):
    """Student's t of one sample: the single run's own recipe has no part in it."""
    from scipy.stats import ttest_1samp

    one, several = np.ones((1, 50), bool), np.repeat([[True], [False], [True], [True]], 50, axis=1)
    several[0, 0] = False
    row = compare_recipes(one, several, margin=0.005)
    assert row["p_mean"] == pytest.approx(ttest_1samp(several.mean(axis=1), 1.0).pvalue, abs=1e-9)


def test_a_method_without_chance_is_compared_as_a_recipe(rng, make_answers):
    ease = rng.normal(2, 2, 500)
    one, several = make_answers(rng, 1, images=ease), make_answers(rng, 4, images=ease)
    row = compare_recipes(one, several, margin=0.005, no_chance=(True, False))
    assert (row["scope"], row["method"]) == ("recipes", "welch")
    assert row["p"] == pytest.approx(compare_recipes(one, several, margin=0.005)["p_mean"])


@given(RIGHT, RIGHT)
def test_rows_turn_with_the_pair_and_the_seeds_interval_never_holds_the_whole_one(a, b):
    b = np.resize(b, (len(b), a.shape[1]))
    row, turned = compare_recipes(a, b, margin=0.01), compare_recipes(b, a, margin=0.01)
    assert turned["difference"] == pytest.approx(-row["difference"])
    assert turned["p"] == pytest.approx(row["p"], abs=1e-9)
    assert turned["difference_low"] == pytest.approx(-row["difference_high"], abs=1e-9)
    assert row["difference_low"] <= row["seed_low"] + 1e-9
    assert row["difference_high"] >= row["seed_high"] - 1e-9
    assert row["simultaneous_low"] == pytest.approx(row["difference_low"])  # a family of one pair


@pytest.mark.parametrize("pairs", [1, 4, 9])
def test_equality_is_rarely_claimed_of_any_pair_at_the_margin(rng, pairs):
    from transferkit.statistics.multiple_tests import adjust_holm

    margin, images, trials = 0.01, 3_000, 2_000
    drawn = rng.multinomial(images, [0.03, 0.02, 0.95], size=(trials, pairs))
    p = compare_trained_models(drawn[..., 0], drawn[..., 1], images, margin=margin)["p_equal"]
    claimed = np.mean([adjust_holm(row).min() < 0.05 for row in p])
    assert claimed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
