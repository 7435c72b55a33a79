"""Resamples, and the metrics on them, against the metrics computed image by image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics import bootstrap
from transferkit.statistics.bootstrap import METRICS, draw_resamples, score_resamples
from transferkit.statistics.image_scores import score_images


@given(st.integers(1, 50), st.integers(1, 40), st.integers(0, 5))
def test_resamples_draw_as_many_as_there_are(count, resamples, seed):
    blocks = list(draw_resamples(count, resamples, np.random.default_rng(seed)))
    assert sum(len(block) for block in blocks) == resamples
    assert all((block.sum(axis=1) == count).all() for block in blocks)


def test_equal_images_are_drawn_together():
    clusters = np.array([0, 1, 2, 0, 1, 1])
    for block in draw_resamples(6, 50, np.random.default_rng(0), clusters):
        assert (block[:, 0] == block[:, 3]).all()
        assert (block[:, [4, 5]] == block[:, [1]]).all()


def test_metrics_on_a_resample_are_those_of_the_images_drawn(rng, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 5)
    labels = rng.integers(0, 3, 40)
    trainings = [rng.dirichlet(np.ones(3), 40) for _ in range(3)]
    found = score_resamples([trainings[:2], trainings[2:]], labels, np.random.default_rng(1), clip=1e-7)
    weights = np.concatenate(list(draw_resamples(40, 5, np.random.default_rng(1)))).astype(int)
    for place, times in enumerate(weights):
        drawn = np.repeat(np.arange(40), times)
        for name in METRICS:
            each = [score_images(name, labels[drawn], p[drawn], clip=1e-7).mean() for p in trainings]
            expected = (each[0] + each[1]) / 2, each[2]
            assert found[name][:, place] == pytest.approx(expected, abs=1e-5)
