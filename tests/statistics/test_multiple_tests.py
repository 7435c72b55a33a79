"""Holm's adjustment against its oracle."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.statistics.multiple_tests import adjust_holm


@pytest.mark.slow
@settings(max_examples=20)  # the oracle takes long
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(adjust_holm(p_values), expected, atol=1e-9)


def test_adjusted_values_keep_their_order():
    p = np.array([0.2, 0.001, 0.04, 0.04])
    adjusted = adjust_holm(p)
    ordered = adjusted[np.argsort(p, kind="stable")]
    assert all(a <= b for a, b in pairwise(ordered))
    assert (adjusted >= p).all()
