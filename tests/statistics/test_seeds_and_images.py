"""Seeds and images counted together: against oracles, under the null, and at the power that is promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transferkit.statistics.multiple_tests import adjust_holm
from transferkit.statistics.seeds_and_images import Spread, spread_of_difference, spread_of_mean

TRIALS, IMAGES = 300, 300
VARIANCES = st.sampled_from([0.0, 1e-6, 1e-4, 0.01])


def at_most(rate, trials, *, stated=0.05):
    """Whether a simulated rate is no larger than stated, up to the error of the simulation."""
    return rate <= stated + 3 * np.sqrt(stated * (1 - stated) / trials)


def p_of(first, second, **options):
    spread = spread_of_difference(first, second, **options)
    return spread.p(first.mean() - second.mean()) if spread.total else 1.0


def test_welch_is_scipys_where_the_images_do_not_vary(rng):
    from scipy.stats import ttest_ind

    first, second = rng.random((5, 1)), rng.random((6, 1)) + 0.2
    spread, difference = spread_of_difference(first, second), first.mean() - second.mean()
    expected = ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert spread.p(difference) == pytest.approx(expected.pvalue, abs=1e-9)
    assert spread.seed_interval(difference) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    assert spread.interval(difference) == pytest.approx(spread.seed_interval(difference), abs=1e-9)


def test_paired_test_is_scipys(rng):
    from scipy.stats import ttest_rel

    first, second = rng.random((5, 1)), rng.random((5, 1))
    expected = ttest_rel(first[:, 0], second[:, 0]).pvalue
    assert p_of(first, second, paired=True) == pytest.approx(expected, abs=1e-9)


def test_one_side_without_chance_is_scipys_test_of_one_sample(rng):
    from scipy.stats import ttest_1samp

    fixed, several = np.array([[0.7]]), rng.random((4, 1))
    assert p_of(fixed, several) == pytest.approx(ttest_1samp(several[:, 0], 0.7).pvalue, abs=1e-9)


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


@given(VARIANCES, st.sampled_from([1, 1.3, 2, 8]), VARIANCES, st.floats(0, 0.5))
def test_p_is_the_level_at_which_the_interval_reaches_zero_and_is_never_inside_that_of_the_seeds(
    seeds, freedom, images, size
):
    spread = Spread(((seeds, freedom),), images, 9_999)
    p = spread.p(size)
    if 1e-12 < p < 1 and spread.total:
        low, high = spread.interval(size, confidence=1 - p)
        assert low == pytest.approx(0, abs=1e-5 * (high + 1))
    low, high = spread.interval(size)
    seed_low, seed_high = spread.seed_interval(size)
    assert low <= seed_low
    assert high >= seed_high
    if spread.total:
        inner_low, inner_high = spread.interval(size, confidence=0.9)
        equal = spread.equality_p(size, margin=0.1)
        assert (equal < 0.05) == (inner_low > -0.1 and inner_high < 0.1) or equal == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_false_alarms_over_six_paired_differences_are_at_most_as_frequent_as_stated(rng, make_answers, seeds):
    alarms = 0
    for _ in range(TRIALS):
        p = []
        for _ in range(6):
            images, subset = rng.normal(2, 2, IMAGES), rng.normal(0, 0.2, (seeds, 1))
            pair = [make_answers(rng, seeds, images=images + subset) for _ in range(2)]
            p.append(p_of(*pair, paired=True))
        alarms += adjust_holm(p).min() < 0.05
    assert at_most(alarms / TRIALS, TRIALS)


@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (5, 5), (10, 10), (3, 10), (2, 10)])
@pytest.mark.parametrize("between_seeds", [0.0, 0.4])
def test_false_alarms_are_at_most_as_frequent_as_stated(rng, make_answers, seeds, between_seeds):
    alarms = 0
    for _ in range(TRIALS):
        images = rng.normal(2, 2, IMAGES)
        pair = [make_answers(rng, count, images=images, between_seeds=between_seeds) for count in seeds]
        alarms += p_of(*pair) < 0.05
    assert at_most(alarms / TRIALS, TRIALS)


@pytest.mark.long
@pytest.mark.parametrize(("seeds", "sd"), [((2, 10), 1), ((3, 10), 2), ((3, 3), 1), ((2, 2), 3), ((5, 10), 1)])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_seeds_alone_raise_no_more_false_alarms_than_stated_also_where_their_numbers_differ(rng, seeds, sd, level):
    alarms = 0
    for _ in range(2_000):
        first, second = rng.normal(0, sd, (seeds[0], 1)), rng.normal(0, 1, (seeds[1], 1))
        alarms += p_of(first, second) < level
    assert at_most(alarms / 2_000, 2_000, stated=level * 1.2)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_one_model_is_not_called_better_than_a_mean_that_it_equals(rng, make_answers, seeds):
    """The fixed model stands at the other recipe's mean, however much that recipe's seeds vary."""
    alarms = 0
    for _ in range(TRIALS):
        images = rng.normal(2, 2, IMAGES)
        fixed = make_answers(rng, 1, images=images, between_seeds=0.0)
        several = make_answers(rng, seeds, images=images, between_seeds=0.4)
        alarms += p_of(fixed, several) < 0.05
    assert at_most(alarms / TRIALS, TRIALS)


@pytest.mark.parametrize("freedom", [1, 2, 4, 8])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_power_is_exact_also_with_few_seeds(freedom, level):
    from statsmodels.stats.power import TTestPower

    detectable = Spread(((1 / (freedom + 1), freedom),), 0.0, 1.0).detectable(level=level)
    power = TTestPower().power(detectable, freedom + 1, level / 2, alternative="larger")
    assert power == pytest.approx(0.8, abs=1e-4)  # the other side adds next to nothing


@pytest.mark.parametrize("level", [0.05, 0.005])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("images", [0.0, 0.3, 3.0])
def test_power_at_the_smallest_detectable_difference_is_80_percent(rng, seeds, images, level):
    freedom = 2 * seeds - 2
    detectable = Spread(((2 / seeds, freedom),), images, 9_999).detectable(level=level)
    estimates = rng.normal(detectable, np.sqrt(2 / seeds + images), 600)
    variances = 2 / seeds * rng.chisquare(freedom, 600) / freedom
    p = [Spread(((v, freedom),), images, 9_999).p(d) for d, v in zip(estimates, variances, strict=True)]
    assert 0.72 <= np.mean(np.array(p) < level) <= 0.92  # Howe's interval is on the safe side where both parts count


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_interval_of_a_difference_covers_the_truth(rng, make_answers, seeds):
    many = np.random.default_rng(1)
    true = np.mean(
        [
            make_answers(many, 1, images=images, shift=0.5).mean() - make_answers(many, 1, images=images).mean()
            for images in (many.normal(2, 2, 2_000) for _ in range(500))
        ]
    )
    covered = 0
    for _ in range(TRIALS):
        images = rng.normal(2, 2, IMAGES)
        first, second = make_answers(rng, seeds, images=images, shift=0.5), make_answers(rng, seeds, images=images)
        low, high = spread_of_difference(first, second).interval(first.mean() - second.mean())
        covered += low <= true <= high
    assert covered / TRIALS >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / TRIALS)


def test_images_that_come_ten_times_count_once(rng, make_answers):
    alarms = 0
    clusters = np.arange(1_000) % 100
    for _ in range(TRIALS):
        images = rng.normal(2, 2, 100)
        pair = [np.tile(make_answers(rng, 3, images=images), 10) for _ in range(2)]
        alarms += p_of(*pair, clusters=clusters) < 0.05
    assert at_most(alarms / TRIALS, TRIALS)


@given(arrays(bool, st.tuples(st.integers(2, 5), st.integers(1, 30))))
def test_parts_are_never_negative_and_seeds_alike_have_no_spread(right):
    spread = spread_of_mean(right)
    assert spread.seeds >= 0
    assert spread.images >= 0
    assert spread_of_mean(right[[0, 0, 0]]).seeds == pytest.approx(0, abs=1e-12)


@given(arrays(bool, st.tuples(st.integers(2, 4), st.integers(2, 20))), st.integers(2, 4))
def test_repeated_images_in_clusters_change_nothing(right, times):
    count = right.shape[1]
    clusters = np.arange(count * times) % count
    once, repeated = spread_of_mean(right), spread_of_mean(np.tile(right, times), clusters)
    assert (repeated.seeds, repeated.images) == pytest.approx((once.seeds, once.images), abs=1e-12)
