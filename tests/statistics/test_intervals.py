"""Intervals of an accuracy: against oracles, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transferkit.errors import InvalidInputError
from transferkit.statistics.intervals import accuracy_interval, wilson_interval
from transferkit.statistics.seeds_and_images import spread_of_mean

TRIALS = 300


@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.97])
def test_wilson_interval_covers_the_truth_in_95_percent(accuracy):
    from scipy.stats import binom

    covered = []
    for count in range(900, 1000, 10):  # coverage of a discrete number swings with the number of images
        correct = np.arange(*binom.interval(1 - 1e-9, count, accuracy)).astype(int)
        inside = [low <= accuracy <= high for low, high in (wilson_interval(k, count) for k in correct)]
        covered.append(binom.pmf(correct, count, accuracy)[inside].sum())
    assert 0.945 <= np.mean(covered) <= 0.955


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 10_000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_interval_equals_statsmodels(total, part, confidence):
    from statsmodels.stats.proportion import proportion_confint

    correct = int(part * total)
    low, high = wilson_interval(correct, total, confidence=confidence)
    assert (low, high) == pytest.approx(proportion_confint(correct, total, 1 - confidence, method="wilson"), abs=1e-9)
    assert 0 <= low <= correct / total <= high <= 1


@pytest.mark.parametrize(("correct", "total", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_wilson_interval_refuses_impossible_counts(correct, total, confidence):
    with pytest.raises(InvalidInputError):
        wilson_interval(correct, total, confidence=confidence)


@pytest.mark.parametrize(("seeds", "ease"), [(2, 2.0), (3, 2.0), (5, 2.0), (10, 2.0), (3, 6.0), (10, 6.0)])
def test_interval_of_a_mean_covers_the_truth_of_other_seeds_and_other_images(rng, make_answers, seeds, ease):
    many = np.random.default_rng(0)
    true = np.mean([make_answers(many, 1, images=many.normal(ease, 2, 2_000)).mean() for _ in range(1_000)])
    covered = 0
    for _ in range(TRIALS):
        low, high = accuracy_interval(make_answers(rng, seeds, images=rng.normal(ease, 2, 300)))
        covered += low <= true <= high
    assert covered / TRIALS >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / TRIALS)


@given(arrays(bool, st.tuples(st.integers(2, 6), st.integers(2, 60))))
def test_the_whole_interval_never_lies_inside_that_of_the_seeds_alone(right):
    mean = right.mean()
    low, high = accuracy_interval(right)
    seed_low, seed_high = spread_of_mean(right).seed_interval(mean)
    assert low <= max(seed_low, 0.0) + 1e-12
    assert high >= min(seed_high, 1.0) - 1e-12
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    assert high > low


@given(arrays(bool, st.tuples(st.integers(1, 3), st.integers(2, 30))), st.integers(2, 5))
def test_images_that_come_several_times_make_no_interval_narrower(right, times):
    count = right.shape[1]
    clusters = np.arange(count * times) % count
    once, repeated = accuracy_interval(right), accuracy_interval(np.tile(right, times), clusters)
    # A variance divides by one less than the number of clusters, Wilson's by their number.
    assert repeated == pytest.approx(once, abs=0.6 / count if len(right) == 1 else 1e-9)
