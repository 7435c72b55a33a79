"""Temperature scaling: scikit-learn finds the same temperature, and no answer ever changes."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError, RunError, TransferKitWarning
from transferkit.report.comparison import compare_runs
from transferkit.runs.calibration import TEMPERATURE_RANGE, apply_temperature, calibrate, fit_temperature
from transferkit.runs.loading import load_run
from transferkit.runs.metrics import LOG_LOSS_CLIP, log_loss
from transferkit.runs.run import Run


def predictions(seed, *, n=400, classes=4, sharpness=2.0, floor=True):
    """Return labels, and probabilities that are too sure (sharpness above 1) or too unsure (below)."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.ones(classes), size=n)
    labels = np.array([rng.choice(classes, p=row) for row in honest])
    sharp = honest**sharpness
    if floor:
        sharp = np.maximum(sharp, 1e-4)
    return labels, sharp / sharp.sum(axis=1, keepdims=True)


def make_run(seed=0, **options):
    labels, probabilities = predictions(seed, n=3000, sharpness=3.0)
    fields = {
        "name": "net",
        "class_names": tuple("abcd"),
        "test_probabilities": probabilities[:1500],
        "test_labels": labels[:1500],
        "validation_probabilities": probabilities[1500:],
        "validation_labels": labels[1500:],
        "dataset": {"test_fingerprint": "3fa9"},
        "recipe": {"epochs": 3},
        "key": "0" * 64,
        "seed": 1,
        "model": object(),
    }
    return Run(**(fields | options))


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.4, 4.0))
def test_temperature_is_that_of_scikit_learn(seed, classes, sharpness):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    labels, probabilities = predictions(seed, classes=classes, sharpness=sharpness)
    # A classifier whose scores are given: softmax regression with the identity as its kernel.
    given_scores = LogisticRegression().fit(np.eye(classes), np.arange(classes))
    scores = np.log(probabilities)
    if classes == 2:
        given_scores.coef_, given_scores.intercept_ = np.array([[-1.0, 1.0]]), np.zeros(1)
    else:
        given_scores.coef_, given_scores.intercept_ = np.eye(classes), np.zeros(classes)
    fitted = CalibratedClassifierCV(FrozenEstimator(given_scores), method="temperature").fit(scores, labels)
    temperature = fit_temperature(labels, probabilities)
    halved = 2.0 if classes == 2 else 1.0  # scikit-learn turns a score s of two classes into (-s, s)
    beta = fitted.calibrated_classifiers_[0].calibrators[0].beta_
    assert temperature * halved * beta == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(apply_temperature(probabilities, temperature), fitted.predict_proba(scores), atol=1e-5)


@settings(max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.integers(1, 6),
    st.floats(0.05, 8.0),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_fitted_temperature_is_never_worse_than_none(seed, n, classes, sharpness, dtype):
    labels, probabilities = predictions(seed, n=n, classes=classes, sharpness=sharpness, floor=False)
    probabilities = probabilities.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferKitWarning)  # few images: the end of the range may be the best
        temperature = fit_temperature(labels, probabilities)
    assert TEMPERATURE_RANGE[0] <= temperature <= TEMPERATURE_RANGE[1]
    assert log_loss(labels, apply_temperature(probabilities, temperature)) <= log_loss(labels, probabilities) + 1e-5


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.001, 1000.0), st.booleans(), st.booleans())
def test_no_temperature_changes_an_answer(seed, classes, temperature, hard, near):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=50).astype(np.float32)
    if near:  # two classes apart by one unit in the last place
        probabilities[:, 0] = probabilities.max(axis=1)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        probabilities[:, -1] = np.nextafter(probabilities.max(axis=1), np.float32(1))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    if hard:
        probabilities = np.eye(classes, dtype=np.float32)[probabilities.argmax(axis=1)]
    tempered = apply_temperature(probabilities, temperature)
    assert tempered.dtype == np.float32
    assert np.isfinite(tempered).all()
    np.testing.assert_allclose(tempered.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(tempered.argmax(axis=1), probabilities.argmax(axis=1))


def test_temperature_one_leaves_probabilities_as_they_are():
    _, probabilities = predictions(3, floor=False)
    np.testing.assert_allclose(apply_temperature(probabilities, 1.0), probabilities, atol=2 * LOG_LOSS_CLIP)


def test_known_overconfidence_is_found():
    labels, probabilities = predictions(5, n=20_000, sharpness=2.5, floor=False)
    assert fit_temperature(labels, probabilities) == pytest.approx(2.5, rel=0.05)


def test_zeros_are_clipped():
    surely = np.eye(2)[[0] * 10]
    temperature = fit_temperature([0] * 9 + [1], surely)
    np.testing.assert_allclose(apply_temperature(surely[:1], temperature), [[0.9, 0.1]], atol=1e-4)


def test_where_no_temperature_helps_it_is_one():
    assert fit_temperature([0, 1], np.full((2, 2), 0.5)) == 1.0
    assert fit_temperature([0, 0], np.ones((2, 1))) == 1.0


@pytest.mark.parametrize("sure", [0.97, 0.999, 0.99999])
def test_validation_without_errors_warns_however_sure_the_answers_are(sure):
    rows = np.linspace(sure - 0.02, sure, 40)
    with pytest.warns(TransferKitWarning, match="lowest temperature allowed, 0.05, suits the 40 validation images"):
        fit_temperature([0] * 40, np.column_stack([rows, 1 - rows]))


def test_validation_without_errors_warns():
    with pytest.warns(TransferKitWarning, match="lowest temperature allowed, 0.05, suits the 3 validation images"):
        fit_temperature([0, 0, 1], [[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])


def test_probabilities_without_meaning_warn():
    rng = np.random.default_rng(0)
    with pytest.warns(TransferKitWarning, match="highest temperature allowed, 20"):
        fit_temperature(rng.integers(0, 4, 2000), rng.dirichlet(np.ones(4), size=2000))


def test_calibrated_run_has_the_accuracy_of_the_run_and_a_better_loss():
    run = make_run()
    calibrated = calibrate(run)
    assert calibrated.name == "net, calibrated"
    assert calibrated.metrics["accuracy"] == run.metrics["accuracy"]
    assert calibrated.metrics["f1_per_class"] == run.metrics["f1_per_class"]
    assert calibrated.metrics["loss"] < run.metrics["loss"] - 0.1
    for scheme in ("calibration_error", "calibration_error_equal_mass"):
        assert calibrated.metrics[scheme] < run.metrics[scheme] / 2
    assert calibrated.recipe == {
        "epochs": 3,
        "temperature": fit_temperature(run.validation_labels, run.validation_probabilities),
    }
    assert run.recipe == {"epochs": 3}
    assert calibrated.model is None


def test_calibrating_twice_changes_nothing_more():
    once = calibrate(make_run())
    twice = calibrate(once, name="net")
    assert twice.name == "net"
    assert twice.recipe["temperature"] == pytest.approx(once.recipe["temperature"], rel=1e-4)
    np.testing.assert_allclose(twice.test_probabilities, once.test_probabilities, atol=1e-4)


def test_test_images_have_no_part_in_the_temperature():
    run = make_run()
    other = make_run(test_labels=(run.test_labels + 1) % 4)
    assert calibrate(run).recipe == calibrate(other).recipe


def test_calibrated_run_is_saved_and_compared_with_the_run(tmp_path):
    run = make_run(model=None)
    calibrated = load_run(calibrate(run).save(tmp_path / "calibrated"))
    comparison = compare_runs([run, calibrated])
    assert comparison.table["difference"].tolist() == [0, 0]
    assert f"temperature {calibrated.recipe['temperature']:g}" in comparison.to_markdown()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"validation_probabilities": np.empty((0, 4)), "validation_labels": np.empty(0, int)}, "no validation"),
        ({"validation_probabilities": np.empty((0, 4))}, "no validation"),
        ({"status": "diverged", "test_probabilities": np.empty((0, 4))}, "'diverged'"),
    ],
)
def test_runs_without_predictions_are_refused(options, says):
    with pytest.raises(RunError, match=says):
        calibrate(make_run(**options))


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(InvalidInputError, match="above 0"):
        apply_temperature([[0.5, 0.5]], temperature)


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([0, 1], [[0.5, 0.5]], "equally many"),
        ([2], [[0.5, 0.5]], "from 0 to 1"),
        ([0], [[2.0, -1.0]], "softmax"),
        ([], np.empty((0, 2)), "0 examples"),
    ],
)
def test_what_is_no_label_or_probability_is_refused(labels, probabilities, says):
    with pytest.raises(InvalidInputError, match=says):
        fit_temperature(np.asarray(labels, int), probabilities)
