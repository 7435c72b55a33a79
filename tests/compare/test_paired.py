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
