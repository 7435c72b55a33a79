"""Equal images as clusters, against statsmodels' cluster-robust errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.clusters import add_by_cluster, count_independent, number_clusters, score_clusters


@st.composite
def clustered(draw):
    count = draw(st.integers(2, 40))
    ids = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    clusters = np.unique(ids, return_inverse=True)[1]
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.random((draw(st.integers(1, 3)), count)), clusters


@given(clustered())
def test_means_stay_what_they_are_and_sums_are_those_of_each_cluster(case):
    values, clusters = case
    np.testing.assert_allclose(score_clusters(values, clusters).mean(axis=1), values.mean(axis=1), atol=1e-12)
    expected = [[row[clusters == c].sum() for c in range(clusters.max() + 1)] for row in values]
    np.testing.assert_allclose(add_by_cluster(values, clusters), expected)


def test_the_variance_is_the_cluster_robust_one_of_statsmodels(rng):
    import statsmodels.api as sm

    values, clusters = rng.random(200), np.unique(rng.integers(0, 40, 200), return_inverse=True)[1]
    fit = sm.OLS(values, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    found = score_clusters(values[None], clusters)[0]
    assert found.var() / len(found) == pytest.approx(fit.bse[0] ** 2, rel=1e-9)


def test_without_equals_all_images_count():
    assert number_clusters([4, 5, 9]).tolist() == [0, 1, 2]
    assert count_independent(5, None) == 5
    assert count_independent(4, np.zeros(4, int)) == 1
    assert count_independent(4, np.array([0, 0, 1, 1])) == 2
