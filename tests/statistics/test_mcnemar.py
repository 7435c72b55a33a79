"""McNemar's test against its oracle, under the null, and at the power that it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.mcnemar import mcnemar_p, smallest_detectable

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


@pytest.mark.parametrize("disagreement", [0.004, 0.02, 0.1])
def test_false_alarms_are_at_most_as_rare_as_stated(rng, disagreement):
    counts = simulate(rng, only_first=disagreement / 2, only_second=disagreement / 2)
    assert np.mean(mcnemar_p(*counts) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / TRIALS)


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


@pytest.mark.parametrize("pairs", [3, 10])
def test_power_holds_at_the_level_that_the_adjustment_asks_for(rng, pairs):
    level, disagreement = 0.05 / pairs, 0.1
    detectable = float(smallest_detectable(disagreement * IMAGES, IMAGES, level=level))
    first, second = (disagreement + detectable) / 2, (disagreement - detectable) / 2
    power = np.mean(mcnemar_p(*simulate(rng, only_first=first, only_second=second)) < level)
    assert 0.72 <= power <= 0.85
