"""Metrics against oracles that are written differently."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.runs import metrics


@st.composite
def predictions(draw):
    """Draw labels and probabilities, with ties, zeros and ones among them."""
    n, classes = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 6, 13]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 1.0, 20.0]))), size=n)
    if draw(st.booleans()):
        raw = np.eye(classes)[raw.argmax(axis=1)]
    return rng.integers(0, classes, n), raw.astype(draw(st.sampled_from([np.float32, np.float64])))


@settings(deadline=None, max_examples=60)
@given(predictions())
def test_all_metrics_equal_plain_loops(case):
    labels, probabilities = case
    found = metrics.compute_metrics(labels, probabilities)
    n, classes = probabilities.shape
    rows = [[float(p) for p in row] for row in probabilities]
    rows = [[p / sum(row) for p in row] for row in rows]
    guesses = [row.index(max(row)) for row in rows]
    right = [guess == label for guess, label in zip(guesses, labels, strict=True)]
    assert found["accuracy"] == pytest.approx(sum(right) / n, abs=1e-9)

    losses = []
    for row, label in zip(rows, labels, strict=True):
        raised = [max(p, 1e-7) for p in row]
        losses.append(-math.log(raised[label] / sum(raised)))
    assert found["loss"] == pytest.approx(math.fsum(losses) / n, abs=1e-9)

    brier = [sum((p - (c == label)) ** 2 for c, p in enumerate(row)) for row, label in zip(rows, labels, strict=True)]
    assert found["brier"] == pytest.approx(math.fsum(brier) / n, abs=1e-9)

    f1, recalls, absent = [], [], 0
    for c in range(classes):
        hits = sum(g == c == label for g, label in zip(guesses, labels, strict=True))
        wrong = sum((g == c) != (label == c) for g, label in zip(guesses, labels, strict=True))
        f1.append(2 * hits / (2 * hits + wrong) if hits or wrong else 0.0)
        absent += not (hits or wrong)
        if c in labels:
            recalls.append(hits / list(labels).count(c))
    assert found["f1_per_class"] == pytest.approx(f1, abs=1e-9)
    assert found["f1_macro"] == pytest.approx(sum(f1) / (classes - absent), abs=1e-9)
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls), abs=1e-9)
    first_five = [sorted(range(classes), key=lambda c, row=row: (-row[c], c))[:5] for row in rows]
    among = sum(label in five for label, five in zip(labels, first_five, strict=True)) / n
    assert found.get("top_5_accuracy") == (pytest.approx(among, abs=1e-9) if classes > 10 else None)

    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in pairwise(edges):
        inside = [i for i, row in enumerate(rows) if low < max(row) <= high]
        if inside:
            confidence = sum(max(rows[i]) for i in inside) / len(inside)
            total += len(inside) / n * abs(sum(right[i] for i in inside) / len(inside) - confidence)
    assert found["calibration_error"] == pytest.approx(total, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(predictions())
def test_single_functions_equal_compute_metrics(case):
    labels, probabilities = case
    found = metrics.compute_metrics(labels, probabilities)
    guesses = probabilities.argmax(axis=1)
    assert metrics.accuracy(labels, guesses) == found["accuracy"]
    assert metrics.log_loss(labels, probabilities) == found["loss"]
    assert metrics.brier_score(labels, probabilities) == found["brier"]
    assert metrics.calibration_error(labels, probabilities) == found["calibration_error"]
    by_mass = metrics.calibration_error(labels, probabilities, scheme="equal_mass")
    assert by_mass == found["calibration_error_equal_mass"]
    assert metrics.balanced_accuracy(labels, guesses) == found["balanced_accuracy"]
    if "top_5_accuracy" in found:
        assert metrics.top_k_accuracy(labels, probabilities) == found["top_5_accuracy"]
    assert metrics.f1_macro(labels, guesses, num_classes=probabilities.shape[1]) == found["f1_macro"]


@settings(deadline=None, max_examples=60)
@example(15, 2, 7, 190)
@given(st.integers(1, 200), st.integers(2, 6), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_bins_of_equal_mass_hold_equally_many(n, classes, bins, seed):
    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet(np.ones(classes), size=n), rng.integers(0, classes, n)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence)
    # the bin of rank r has the edges r / (n - 1): each holds n / bins examples, give or take one
    last = [math.floor((n - 1) * (i + 1) / bins + 1e-9) for i in range(bins)]
    parts = np.split(order, [rank + 1 for rank in last[:-1]])
    expected = sum(abs((right[part] - confidence[part]).sum()) for part in parts) / n
    found = metrics.calibration_error(labels, probabilities, bins=bins, scheme="equal_mass")
    assert found == pytest.approx(expected, abs=1e-9)
    shuffled = rng.permutation(n)
    again = metrics.calibration_error(labels[shuffled], probabilities[shuffled], bins=bins, scheme="equal_mass")
    assert again == pytest.approx(found, abs=1e-12)


def test_calibration_error_equals_scikit_learns_curve(rng):
    from sklearn.calibration import calibration_curve

    confidence = rng.uniform(0.5, 1, 1500)
    right = rng.random(1500) < confidence**2
    probabilities = np.column_stack([confidence, 1 - confidence])
    true, predicted = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
    found = metrics.calibration_error(np.where(right, 0, 1), probabilities, scheme="equal_mass")
    assert found == pytest.approx(np.abs(true - predicted).mean(), abs=1e-9)


def test_metrics_equal_scikit_learns(rng):
    from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss

    probabilities = rng.dirichlet(np.ones(4), size=200)
    labels, guesses, classes = rng.integers(0, 4, 200), probabilities.argmax(axis=1), [0, 1, 2, 3]
    found = metrics.compute_metrics(labels, probabilities)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, guesses), abs=1e-9)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, probabilities, labels=classes), abs=1e-9)
    assert found["f1_macro"] == pytest.approx(f1_score(labels, guesses, average="macro"), abs=1e-9)
    raised = np.maximum(probabilities, metrics.LOG_LOSS_CLIP)
    expected = log_loss(labels, raised / raised.sum(axis=1, keepdims=True), labels=classes)
    assert found["loss"] == pytest.approx(expected, abs=1e-9)


def test_confusion_matrix_has_the_truth_on_the_rows():
    matrix = metrics.confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], num_classes=4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert matrix.dtype == np.int64


def test_log_loss_of_a_confident_error_is_finite_and_capped():
    assert metrics.log_loss([1], [[1.0, 0.0]]) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_perfect_and_hopeless_predictions():
    perfect = metrics.compute_metrics([0, 1, 2], np.eye(3))
    assert (perfect["accuracy"], perfect["brier"], perfect["calibration_error"]) == (1, 0, 0)
    assert perfect["calibration_error_equal_mass"] == 0
    assert metrics.compute_metrics([1, 2, 0], np.eye(3))["brier"] == 2


def test_classes_that_neither_occur_nor_are_predicted_do_not_count_in_macro_f1():
    assert metrics.f1_macro([0, 0], [0, 0], num_classes=2) == 1.0
    assert metrics.f1_macro([0, 0], [0, 1], num_classes=3) == pytest.approx((2 / 3 + 0) / 2)
    assert metrics.compute_metrics([0, 0], [[0.9, 0.1, 0.0]] * 2)["f1_per_class"] == [1.0, 0.0, 0.0]


def test_float16_softmax_is_accepted(rng):
    probabilities = rng.dirichlet(np.ones(10), size=50).astype(np.float16)
    assert 0 <= metrics.compute_metrics(np.zeros(50, int), probabilities)["accuracy"] <= 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([0], [[0.5, np.nan]], "finite"),
        ([0], [[np.inf, 0.0]], "finite"),
        ([0], [[1.5, -0.5]], "softmax"),
        ([0], [[0.5, 0.4]], "sum 1"),
        ([0], [[0.0, 0.0]], "sum 1"),
        ([0], [0.5, 0.5], r"shape \(n, classes\)"),
        ([0], np.empty((1, 0)), r"shape \(n, classes\)"),
        ([0], [["a", "b"]], "numbers"),
        ([0, 1], [[0.5, 0.5]], "equally many"),
        ([], np.empty((0, 2)), "0 examples"),
        ([2], [[0.5, 0.5]], "from 0 to 1"),
        ([-1], [[0.5, 0.5]], "from 0 to 1"),
        ([0.0], [[0.5, 0.5]], "integers"),
        (["cat"], [[0.5, 0.5]], "integers"),
        ([[1, 0]], [[0.5, 0.5]], "argmax"),
    ],
)
def test_what_is_no_label_or_probability_is_refused(labels, probabilities, says):
    with pytest.raises(InvalidInputError, match=says):
        metrics.compute_metrics(np.asarray(labels), probabilities)


@pytest.mark.parametrize("bins", [0, -1, 1.5])
def test_calibration_refuses_odd_numbers_of_bins(bins):
    with pytest.raises(InvalidInputError, match="bins"):
        metrics.calibration_error([0], [[1.0, 0.0]], bins=bins)


def test_calibration_refuses_an_unknown_scheme():
    with pytest.raises(UnknownNameError, match="equal_mass"):
        metrics.calibration_error([0], [[1.0, 0.0]], scheme="quantile")


def test_f1_and_balanced_accuracy_are_those_of_scikit_learn_where_classes_are_absent(rng):
    from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score

    for _ in range(20):
        labels, guesses = rng.choice([0, 3, 7], 30), rng.choice([0, 3, 7, 9], 30)
        labels[:3] = [0, 3, 7]
        assert metrics.f1_macro(labels, guesses, num_classes=12) == f1_score(
            labels, guesses, average="macro", zero_division=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of classes that are predicted and do not occur
            assert metrics.balanced_accuracy(labels, guesses) == pytest.approx(balanced_accuracy_score(labels, guesses))
        scores = rng.dirichlet(np.ones(12), 30)
        for k in (1, 2, 5, 12):
            expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(12)) if k < 12 else 1.0
            assert metrics.top_k_accuracy(labels, scores, k=k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_a_number_of_guesses_that_is_none_is_refused(k):
    with pytest.raises(InvalidInputError, match="k must be a whole number"):
        metrics.top_k_accuracy([0], [[1.0, 0.0]], k=k)


@pytest.mark.parametrize("check", [metrics.check_labels, metrics.check_probabilities])
def test_values_that_are_no_array_or_masked_are_refused(check):
    class Odd:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("call detach() first")

    for values in (Odd(), [[0.5, 0.5], [1.0]]):
        with pytest.raises(InvalidInputError, match="must be an array of numbers"):
            check(values)
    with pytest.raises(InvalidInputError, match="must not be masked"):
        check(np.ma.array([[0.5, 0.5]], mask=[[True, False]]))


def test_bfloat16_probabilities_are_probabilities():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([[0.25, 0.75]], ml_dtypes.bfloat16)
    assert metrics.check_probabilities(values).tolist() == [[0.25, 0.75]]


def test_labels_as_keras_datasets_have_them_are_labels():
    np.testing.assert_array_equal(metrics.check_labels([[0], [2], [1]]), [0, 2, 1])
