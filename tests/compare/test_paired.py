"""The paired statistics against oracles, under the null, and at the power that they promise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.compare.paired import (
    adjust_holm,
    difference_interval,
    draw_resamples,
    mcnemar_p,
    smallest_detectable,
)

COUNTS = st.integers(0, 400)
TRIALS, IMAGES = 4_000, 2_000


def simulate(rng, *, only_first, only_second, trials=TRIALS, images=IMAGES):
    """Return counts of one-sided disagreements in many test sets."""
    rest = 1 - only_first - only_second
    drawn = rng.multinomial(images, [only_first, only_second, rest], size=trials)
    return drawn[:, 0], drawn[:, 1]


@given(COUNTS, COUNTS)
def test_mcnemar_is_statsmodels(only_first, only_second):
    from statsmodels.stats.contingency_tables import mcnemar

    expected = mcnemar([[50, only_first], [only_second, 50]], exact=True).pvalue
    assert float(mcnemar_p(only_first, only_second)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20)  # the oracle takes long
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(adjust_holm(p_values), expected, atol=1e-9)


@given(COUNTS, COUNTS, st.integers(800, 10_000))
def test_interval_has_width_lies_around_the_difference_and_turns_with_the_pair(only_first, only_second, count):
    low, high = difference_interval(only_first, only_second, count)
    assert -1 <= low < high <= 1
    assert low < (only_first - only_second) / count + 2 / count
    assert high > (only_first - only_second) / count - 2 / count
    turned = difference_interval(only_second, only_first, count)
    assert (float(-turned[1]), float(-turned[0])) == pytest.approx((float(low), float(high)))


@pytest.mark.parametrize("disagreement", [0.004, 0.02, 0.1])
def test_false_alarms_are_at_most_as_rare_as_stated(rng, disagreement):
    counts = simulate(rng, only_first=disagreement / 2, only_second=disagreement / 2)
    assert np.mean(mcnemar_p(*counts) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.01), (0.03, 0.02), (0.06, 0.03)])
def test_interval_covers_the_truth_in_95_percent(rng, first, second):
    low, high = difference_interval(*simulate(rng, only_first=first, only_second=second), IMAGES)
    covered = np.mean((low <= first - second) & (first - second <= high))
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("disagreement", [0.03, 0.1])
def test_power_at_the_smallest_detectable_difference_is_80_percent(rng, disagreement):
    detectable = float(smallest_detectable(disagreement * IMAGES, IMAGES))
    first, second = (disagreement + detectable) / 2, (disagreement - detectable) / 2
    power = np.mean(mcnemar_p(*simulate(rng, only_first=first, only_second=second)) < 0.05)
    assert 0.72 <= power <= 0.85  # the exact test is a little conservative


def exact_power(disagreement, difference, images, level):
    """Return how often the exact test finds a difference, by adding up all tables."""
    from scipy.stats import binom

    disagreement, power = max(disagreement, difference), 0.0
    for count in range(int(binom.ppf(1 - 1e-9, images, disagreement)) + 1):
        first = np.arange(count + 1)
        found = mcnemar_p(first, count - first) < level
        split = binom.pmf(first, count, (1 + difference / disagreement) / 2)
        power += binom.pmf(count, images, disagreement) * split[found].sum()
    return power


@pytest.mark.parametrize("images", [50, 100, 1000])
@pytest.mark.parametrize("disagreements", [0, 2, 5, 10, 20])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_power_is_no_illusion_where_models_hardly_disagree(images, disagreements, level):
    detectable = float(smallest_detectable(disagreements, images, level=level))
    assert exact_power(max(disagreements, 1) / images, detectable, images, level) >= 0.74


def test_a_test_set_too_small_for_any_verdict_can_detect_nothing_less_than_everything():
    assert float(smallest_detectable(3, 5)) == 1


@pytest.mark.parametrize("images", [100, 330, 500, 1000, 5000])
@pytest.mark.parametrize(("only_first", "only_second"), [(0.005, 0.0), (0.0075, 0.0025), (0.0275, 0.0225)])
def test_equality_is_rarely_claimed_where_the_difference_is_the_margin(images, only_first, only_second):
    from scipy.stats import binom

    most = int(binom.ppf(1 - 1e-9, images, only_first + only_second)) + 1
    first, second = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    share = only_first / (only_first + only_second)
    likely = binom.pmf(first + second, images, only_first + only_second) * binom.pmf(first, first + second, share)
    low, high = difference_interval(first, second, images, confidence=0.9)
    claimed = (likely * ((low > -0.005) & (high < 0.005))).sum()
    assert claimed <= 0.07  # 5%, and what whole numbers of images add


def test_interval_is_that_of_the_score_test():
    """The p of Tango's score test at both ends is 0.05, by his constrained likelihood maximised numerically."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import norm

    first, second, count = 12, 5, 200
    for end in map(float, difference_interval(first, second, count)):

        def unlikely(share, end=end):
            cells = (share + end, share, 1 - 2 * share - end)
            return -np.dot((first, second, count - first - second), np.log(cells))

        bounds = (max(0.0, -end) + 1e-9, (1 - end) / 2 - 1e-9)
        share = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        score = (first - second - count * end) / np.sqrt(count * (2 * share + end - end**2))
        assert abs(score) == pytest.approx(norm.ppf(0.975), abs=1e-4)


@pytest.mark.parametrize("pairs", [3, 10])
def test_power_holds_at_the_level_that_the_adjustment_asks_for(rng, pairs):
    level, disagreement = 0.05 / pairs, 0.1
    detectable = float(smallest_detectable(disagreement * IMAGES, IMAGES, level=level))
    first, second = (disagreement + detectable) / 2, (disagreement - detectable) / 2
    power = np.mean(mcnemar_p(*simulate(rng, only_first=first, only_second=second)) < level)
    assert 0.72 <= power <= 0.85


@given(st.integers(1, 50), st.integers(1, 40), st.integers(0, 5))
def test_resamples_draw_as_many_as_there_are(count, resamples, seed):
    blocks = list(draw_resamples(count, resamples, np.random.default_rng(seed)))
    assert sum(len(block) for block in blocks) == resamples
    assert all((block.sum(axis=1) == count).all() for block in blocks)


def test_adjusted_values_keep_their_order():
    p = np.array([0.2, 0.001, 0.04, 0.04])
    adjusted = adjust_holm(p)
    ordered = adjusted[np.argsort(p, kind="stable")]
    assert all(a <= b for a, b in pairwise(ordered))
    assert (adjusted >= p).all()
