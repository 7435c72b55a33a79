"""The corrected t test over folds: by its formula, and under the null where the plain test fails."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError
from transferkit.statistics.cross_validation import compare_folds, spread_over_folds

DIFFERENCES = st.lists(st.floats(-1, 1), min_size=2, max_size=20)


@given(DIFFERENCES, st.floats(0.05, 0.5))
def test_p_and_interval_are_those_of_the_formula(differences, share):
    from scipy.stats import t

    values = np.array(differences)
    found = compare_folds(values, test_share=share, margin=0.005)
    error = np.sqrt(values.var(ddof=1) * (1 / len(values) + share / (1 - share)))
    if error > 1e-10:
        assert found["p"] == pytest.approx(2 * t.sf(abs(values.mean()) / error, len(values) - 1), abs=1e-9)
        reach = t.ppf(0.975, len(values) - 1) * error
        assert found["difference_low"] == pytest.approx(max(values.mean() - reach, -1), abs=1e-9)
        assert found["difference_high"] == pytest.approx(min(values.mean() + reach, 1), abs=1e-9)


def test_false_alarms_of_two_equal_classifiers_are_at_most_as_frequent_as_stated(rng):
    """Two classifiers that use one feature each, equally good, by five folds repeated twice; a plain t test fails."""
    from scipy.stats import ttest_1samp

    corrected = plain = 0
    trials, count, folds = 200, 120, 5
    for _ in range(trials):
        labels = rng.integers(0, 2, count)
        features = labels[:, None] + rng.normal(0, 1.2, (count, 2))
        differences = []
        for _ in range(2):
            parts = np.array_split(rng.permutation(count), folds)
            for held in parts:
                train = np.setdiff1d(np.arange(count), held)
                cuts = (features[train][labels[train] == 0].mean(0) + features[train][labels[train] == 1].mean(0)) / 2
                right = (features[held] > cuts) == labels[held, None].astype(bool)
                differences.append(np.subtract(*right.mean(axis=0)))
        corrected += compare_folds(differences, test_share=1 / folds, margin=0.005)["p"] < 0.05
        plain += ttest_1samp(differences, 0).pvalue < 0.05
    assert corrected / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert plain / trials > 0.1


@pytest.mark.parametrize(
    ("differences", "share"), [([0.1], 0.2), ([0.1, np.nan], 0.2), ([0.1, 0.2], 1.0), ([[1], [2]], 0.2)]
)
def test_what_is_no_list_of_folds_is_refused(differences, share):
    with pytest.raises(InvalidInputError):
        spread_over_folds(differences, test_share=share)
