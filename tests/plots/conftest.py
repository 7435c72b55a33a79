"""Honest runs: nearest class means on scikit-learn's digits, seen at two resolutions."""

import numpy as np
import pytest

from transferkit.runs.run import Run


@pytest.fixture(scope="session")
def make_run(digits):
    """Return a function that makes the run of a nearest-mean classifier; options replace fields."""
    (x, y), _, (x_test, y_test) = digits

    def make(name="means", step=1, **options):
        train, test = (images[:, ::step, ::step].reshape(len(images), -1) / 255 for images in (x, x_test))
        means = np.stack([train[y == label].mean(axis=0) for label in range(10)])
        scores = -np.square(test[:, None] - means).sum(axis=2)
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        history = [
            {"epoch": i, "phase": "head" if i < 3 else "all", "loss": 2 / i, "accuracy": 1 - 0.5 / i}
            | {"val_loss": 2.1 / i, "val_accuracy": 1 - 0.6 / i}
            for i in range(1, 6)
        ]
        fields = {
            "name": name,
            "class_names": tuple(str(digit) for digit in range(10)),
            "test_probabilities": raised / raised.sum(axis=1, keepdims=True),
            "test_labels": y_test,
            "history": history,
            "seed": 0,
        }
        return Run(**(fields | options))

    return make


@pytest.fixture(scope="session")
def fine(make_run):
    return make_run("fine")


@pytest.fixture(scope="session")
def coarse(make_run):
    return make_run("coarse", step=4)


@pytest.fixture(scope="session")
def diverged(make_run):
    history = [
        {"epoch": 1, "phase": "train", "loss": 2.0, "accuracy": 0.1},
        {"epoch": 2, "phase": "train", "loss": None},
    ]
    return make_run("broken", status="diverged", test_probabilities=np.empty((0, 10)), history=history)
