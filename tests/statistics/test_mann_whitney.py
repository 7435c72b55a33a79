"""The probability that one training beats another: against its oracle, and how often its interval holds the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.mann_whitney import probability_of_better

EIGHTHS = st.integers(0, 8).map(lambda eighths: eighths / 8)
SCORES = st.lists(EIGHTHS, min_size=4, max_size=6)


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
