"""Tango's interval and the test of equality: against oracles, under the null, at the margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.tango import difference_interval, equality_p

COUNTS = st.integers(0, 400)
TRIALS, IMAGES = 4_000, 2_000


@given(COUNTS, COUNTS, st.integers(800, 10_000))
def test_interval_has_width_lies_around_the_difference_and_turns_with_the_pair(only_first, only_second, count):
    low, high = difference_interval(only_first, only_second, count)
    assert -1 <= low < high <= 1
    assert low < (only_first - only_second) / count + 2 / count
    assert high > (only_first - only_second) / count - 2 / count
    turned = difference_interval(only_second, only_first, count)
    assert (float(-turned[1]), float(-turned[0])) == pytest.approx((float(low), float(high)))


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.01), (0.03, 0.02), (0.06, 0.03)])
def test_interval_covers_the_truth_in_95_percent(rng, first, second):
    drawn = rng.multinomial(IMAGES, [first, second, 1 - first - second], size=TRIALS)
    low, high = difference_interval(drawn[:, 0], drawn[:, 1], IMAGES)
    covered = np.mean((low <= first - second) & (first - second <= high))
    assert 0.93 <= covered <= 0.97


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


@given(COUNTS, COUNTS, st.integers(800, 10_000), st.sampled_from([0.005, 0.02, 0.1]))
def test_equality_is_claimed_exactly_where_the_90_percent_interval_lies_within_the_margin(first, second, count, margin):
    low, high = difference_interval(first, second, count, confidence=0.9)
    p = float(equality_p(first, second, count, margin=margin))
    assert (p < 0.05) == (-margin < low and high < margin) or p == pytest.approx(0.05, abs=1e-9)
    assert p == pytest.approx(float(equality_p(second, first, count, margin=margin)))
