"""The statistics of several seeds against oracles, under the null, and at the power that they promise."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transferkit.compare.seeds import (
    detectable_by_t,
    permutation_p,
    probability_of_better,
    spread_of_difference,
    t_test_p,
)
from transferkit.runs.spread import interval, spread_of_mean

EIGHTHS = st.integers(0, 8).map(lambda eighths: eighths / 8)  # sums of these are exact, so ties are ties
SCORES = st.lists(EIGHTHS, min_size=4, max_size=6)
TRIALS, IMAGES = 300, 300


def answers(rng, seeds, *, images, shift=0.0, between_seeds=0.2):
    """Return right and wrong answers of trainings whose skill varies on images whose ease varies."""
    ease = images + shift + rng.normal(0, between_seeds, (seeds, 1))
    return rng.random(ease.shape) < 1 / (1 + np.exp(-ease))


def draw_images(rng, count=IMAGES):
    return rng.normal(2, 2, count)


@pytest.fixture(scope="module")
def true_accuracy():
    rng = np.random.default_rng(0)
    return np.mean([answers(rng, 1, images=draw_images(rng, 2_000)).mean() for _ in range(500)])


def test_welch_is_scipys_where_the_images_do_not_vary(rng):
    from scipy.stats import ttest_ind

    first, second = rng.random((4, 1)), rng.random((6, 1)) + 0.2
    spread = spread_of_difference(first, second)
    expected = ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    p = t_test_p(first.mean() - second.mean(), spread.total, spread.freedom(with_images=False))
    assert p == pytest.approx(expected.pvalue, abs=1e-9)
    low, high = interval(first.mean() - second.mean(), spread.seeds, spread.freedom(with_images=False))
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)


def test_paired_test_is_scipys(rng):
    from scipy.stats import ttest_rel

    first, second = rng.random((5, 1)), rng.random((5, 1))
    spread = spread_of_difference(first, second, paired=True)
    p = t_test_p(first.mean() - second.mean(), spread.total, spread.freedom(with_images=False))
    assert p == pytest.approx(ttest_rel(first[:, 0], second[:, 0]).pvalue, abs=1e-9)


def test_parts_are_those_of_a_two_way_analysis_of_variance(rng):
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    scores = rng.random((4, 12)) + rng.random((4, 1)) + rng.random(12)
    seed, image = np.indices(scores.shape)
    long = pd.DataFrame({"score": scores.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    squares = anova_lm(ols("score ~ C(seed) + C(image)", long).fit())
    mean_square = squares["sum_sq"] / squares["df"]
    spread = spread_of_mean(scores)
    assert spread.seeds == pytest.approx(mean_square["C(seed)"] / 48, abs=1e-9)
    assert spread.images == pytest.approx((mean_square["C(image)"] - mean_square["Residual"]) / 48, abs=1e-9)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_covers_the_truth_of_other_seeds_and_other_images(rng, seeds, true_accuracy):
    covered = 0
    for _ in range(TRIALS):
        right = answers(rng, seeds, images=draw_images(rng))
        spread = spread_of_mean(right)
        low, high = interval(right.mean(), spread.total, spread.freedom(with_images=True))
        covered += low <= true_accuracy <= high
    assert 0.92 <= covered / TRIALS <= 0.985  # 93 to 97%, and the error of 300 trials


@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (10, 10), (3, 10), (1, 5)])
@pytest.mark.parametrize("between_seeds", [0.0, 0.4])
def test_false_alarms_are_at_most_as_frequent_as_stated(rng, seeds, between_seeds):
    alarms = 0
    for _ in range(TRIALS):
        images = draw_images(rng)
        first, second = (answers(rng, count, images=images, between_seeds=between_seeds) for count in seeds)
        spread = spread_of_difference(first, second)
        p = t_test_p(first.mean() - second.mean(), spread.total, spread.freedom(with_images=True))
        alarms += p < 0.05
    assert alarms / TRIALS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


@pytest.mark.parametrize("freedom", [1, 2, 4, 8])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_power_is_exact_also_with_few_seeds(freedom, level):
    from statsmodels.stats.power import TTestPower

    detectable = detectable_by_t(1 / (freedom + 1), freedom, level=level)
    power = TTestPower().power(detectable, freedom + 1, level / 2, alternative="larger")
    assert power == pytest.approx(0.8, abs=1e-4)  # the other side adds next to nothing


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_power_at_the_smallest_detectable_difference_is_80_percent(rng, seeds):
    detectable = detectable_by_t(2 / seeds, 2 * seeds - 2)
    first, second = rng.normal(detectable, 1, (2_000, seeds)), rng.normal(0, 1, (2_000, seeds))
    spread = first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)
    found = np.abs(first.mean(axis=1) - second.mean(axis=1)) / np.sqrt(spread / seeds)
    p = np.array([t_test_p(value, 1.0, 2 * seeds - 2) for value in found])
    assert 0.75 <= np.mean(p < 0.05) <= 0.85


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_of_a_difference_covers_the_truth(rng, seeds):
    many = np.random.default_rng(1)
    pairs = [
        (answers(many, 1, images=images, shift=0.5).mean(), answers(many, 1, images=images).mean())
        for images in (draw_images(many, 2_000) for _ in range(500))
    ]
    true = np.mean([first - second for first, second in pairs])
    covered = 0
    for _ in range(TRIALS):
        images = draw_images(rng)
        first, second = answers(rng, seeds, images=images, shift=0.5), answers(rng, seeds, images=images)
        spread = spread_of_difference(first, second)
        low, high = interval(first.mean() - second.mean(), spread.total, spread.freedom(with_images=True))
        covered += low <= true <= high
    assert 0.92 <= covered / TRIALS <= 0.99  # 93 to 97%, and the error of 300 trials


@pytest.mark.parametrize("pairs", [3, 10])
def test_power_holds_at_the_level_that_the_adjustment_asks_for(rng, pairs):
    level, seeds = 0.05 / pairs, 5
    detectable = detectable_by_t(2 / seeds, 2 * seeds - 2, level=level)
    first, second = rng.normal(detectable, 1, (2_000, seeds)), rng.normal(0, 1, (2_000, seeds))
    spread = first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)
    found = np.abs(first.mean(axis=1) - second.mean(axis=1)) / np.sqrt(spread / seeds)
    p = np.array([t_test_p(value, 1.0, 2 * seeds - 2) for value in found])
    assert 0.74 <= np.mean(p < level) <= 0.86


@given(SCORES, SCORES)
def test_permutation_p_is_the_share_of_memberships_with_as_large_a_difference(first, second):
    values, half = np.array([*first, *second]), len(first)
    chosen = np.array(list(combinations(range(len(values)), half)))
    means = values[chosen].mean(axis=1)
    differences = means - (values.sum() - half * means) / (len(values) - half)
    observed = np.mean(first) - np.mean(second)
    above, below = (np.mean(sign * differences >= sign * observed - 1e-12) for sign in (1, -1))
    assert permutation_p(first, second) == pytest.approx(min(1.0, 2 * min(above, below)), abs=1e-9)


@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=6, max_size=9))
def test_paired_permutation_p_is_the_share_of_signs_with_as_large_a_difference(pairs):
    first, second = np.array(pairs).T
    signs = np.array(list(product((1, -1), repeat=len(pairs))))
    differences, observed = (signs * (first - second)).mean(axis=1), (first - second).mean()
    above, below = (np.mean(sign * differences >= sign * observed - 1e-12) for sign in (1, -1))
    p = permutation_p(first, second, paired=True)
    assert p == pytest.approx(min(1.0, 2 * min(above, below)), abs=1e-9)


def test_permutation_test_raises_no_more_false_alarms_than_stated(rng):
    alarms = [permutation_p(rng.normal(0, 1, 4), rng.normal(0, 1, 4)) < 0.05 for _ in range(400)]
    assert np.mean(alarms) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("paired", [False, True])
def test_too_few_seeds_have_no_permutation_p(paired):
    assert np.isnan(permutation_p([3.0, 2.0, 1.0], [0.3, 0.2, 0.1], paired=paired))
    assert not np.isnan(permutation_p(np.arange(6) + 1.0, np.arange(6) / 10, paired=paired))


@given(SCORES, SCORES)
def test_probability_of_better_is_mann_whitneys_and_turns_with_the_pair(first, second):
    from scipy.stats import mannwhitneyu

    better, low, high = probability_of_better(first, second)
    assert better == pytest.approx(mannwhitneyu(first, second).statistic / len(first) / len(second))
    assert 0 <= low <= better <= high <= 1
    assert high > low
    turned = probability_of_better(second, first)
    assert turned == pytest.approx((1 - better, 1 - high, 1 - low), abs=1e-6)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_probability_of_better_is_covered(rng, seeds):
    from scipy.stats import norm

    true = norm.cdf(0.8 / np.sqrt(2))
    ends = [probability_of_better(rng.normal(0.8, 1, seeds), rng.normal(0, 1, seeds))[1:] for _ in range(400)]
    assert 0.91 <= np.mean([low <= true <= high for low, high in ends]) <= 0.99


@given(arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 30))))
def test_parts_are_never_negative_and_seeds_alike_have_no_spread(right):
    spread = spread_of_mean(right)
    assert spread.seeds >= 0
    assert spread.images >= 0
    assert spread_of_mean(right[[0, 0, 0]]).seeds == pytest.approx(0, abs=1e-12)
