"""What each image adds to a metric, against scikit-learn and against leaving images out one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.statistics.image_scores import Metric, score_images


def oracle(metric, labels, probabilities):
    from sklearn import metrics

    called = probabilities.argmax(axis=1)
    exact = probabilities / probabilities.sum(axis=1, keepdims=True)
    if metric == "loss":
        return metrics.log_loss(labels, np.clip(exact, 1e-7, None), labels=range(exact.shape[1]))
    if metric == "brier":
        return np.square(exact - np.eye(exact.shape[1])[labels]).sum(axis=1).mean()
    return {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": lambda y, p: metrics.recall_score(y, p, labels=np.unique(y), average="macro"),
        "f1_macro": lambda y, p: metrics.f1_score(y, p, average="macro"),
    }[metric](labels, called)


def draw(seed, count=60, classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count, p=[0.6, 0.2, 0.15, 0.05])
    return labels, rng.dirichlet(np.ones(classes), count) * 0.5 + 0.5 * np.eye(classes)[labels]


@pytest.mark.parametrize("metric", list(Metric))
@given(st.integers(0, 10_000))
def test_the_mean_is_the_metric(metric, seed):
    labels, probabilities = draw(seed)
    found = score_images(metric, labels, probabilities, clip=1e-7).mean()
    assert found == pytest.approx(oracle(metric, labels, probabilities), abs=1e-6)


@pytest.mark.parametrize("metric", list(Metric))
def test_the_scatter_is_that_of_the_jackknife(metric):
    labels, probabilities = draw(0, 400)
    left_out = [oracle(metric, np.delete(labels, i), np.delete(probabilities, i, axis=0)) for i in range(len(labels))]
    jackknife = (len(labels) - 1) * np.var(left_out)
    scores = score_images(metric, labels, probabilities, clip=1e-7)
    assert scores.var() / len(scores) == pytest.approx(jackknife, rel=0.05)
