"""The permutation test against all arrangements counted, and under the null."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.permutation_test import permutation_p

EIGHTHS = st.integers(0, 8).map(lambda eighths: eighths / 8)  # sums of these are exact, so ties are ties
SCORES = st.lists(EIGHTHS, min_size=4, max_size=6)


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
