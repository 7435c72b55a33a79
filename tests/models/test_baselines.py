"""The classical models take raw images, give probabilities, and say what is wrong with their options."""

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import clone
from sklearn.svm import SVC

from transferkit import build_baseline
from transferkit.errors import DataError, InvalidInputError, MissingDependencyError, UnknownNameError
from transferkit.models.baselines import FlattenPixels

FAST = {
    "svm": {},
    "naive_bayes": {},
    "random_forest": {"n_estimators": 30},
    "logistic_regression": {"max_iter": 200},
    "gradient_boosting": {"max_iter": 5, "max_leaf_nodes": 8},
    "xgboost": {"n_estimators": 8},
    "k_nearest_neighbors": {},
    "mlp": {"hidden_layer_sizes": (32,)},
}
ABOVE_CHANCE = {"naive_bayes": 0.6, "gradient_boosting": 0.6, "xgboost": 0.6, "mlp": 0.7}


@pytest.mark.parametrize("name", FAST)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_baseline_learns_from_raw_images(name, digits):
    if name == "xgboost":
        pytest.importorskip("xgboost", reason="needs the extra 'baselines'")
    images, labels = digits.train
    pipeline = build_baseline(name, **FAST[name]).fit(images[:400], labels[:400])
    probabilities = pipeline.predict_proba(digits.test.images)
    assert probabilities.shape == (len(digits.test.labels), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    accuracy = np.mean(probabilities.argmax(axis=1) == digits.test.labels)
    assert accuracy > ABOVE_CHANCE.get(name, 0.8)
    assert [step for step, _ in pipeline.steps] == ["pixels", name]


def test_svm_takes_the_options_of_svc_and_is_as_good_with_probabilities(digits):
    pipeline = build_baseline("svm", C=3.0, gamma=0.02)
    svc = pipeline[-1].estimator
    assert isinstance(svc, SVC)
    assert (svc.C, svc.gamma, svc.kernel) == (3.0, 0.02, "rbf")
    images, labels = digits.train
    rows = FlattenPixels().fit_transform(images[:400])
    plain = SVC(C=3.0, gamma=0.02).fit(rows, labels[:400])
    tests = digits.test.images
    expected = np.mean(plain.predict(FlattenPixels().fit(images).transform(tests)) == digits.test.labels)
    pipeline.fit(images[:400], labels[:400])
    assert np.mean(pipeline.predict(tests) == digits.test.labels) == pytest.approx(expected, abs=0.02)


def test_seed_reaches_the_classifier_and_decides_its_result(digits):
    images, labels = digits.train
    predict = [
        build_baseline("random_forest", n_estimators=5, seed=seed).fit(images, labels).predict_proba(images[:50])
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(predict[0], predict[1])
    assert not np.array_equal(predict[0], predict[2])


def test_pipeline_can_be_cloned_and_pickled(digits):
    pipeline = build_baseline("naive_bayes")
    fitted = clone(pipeline).fit(*digits.train)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict(digits.test.images), fitted.predict(digits.test.images))


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(2, 6), st.sampled_from([1, 3])))
)
def test_pixels_become_rows_from_zero_to_one_in_order(images):
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        return
    rows = FlattenPixels().fit_transform(images)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(np.rint(rows * 255).astype(np.uint8).reshape(images.shape), images)
    assert rows.min() >= 0
    assert rows.max() <= 1


def test_images_of_another_kind_or_size_are_refused(digits):
    pipeline = build_baseline("naive_bayes").fit(*digits.train)
    with pytest.raises(DataError, match="uint8"):
        pipeline.predict(digits.test.images / 255.0)
    with pytest.raises(DataError, match="4 axes"):
        pipeline.predict(digits.test.images.reshape(-1, 256))
    with pytest.raises(DataError, match="shape"):
        pipeline.predict(digits.test.images[:, :8])


@pytest.mark.parametrize(
    ("name", "options", "error", "match"),
    [
        ("swm", {}, UnknownNameError, "unknown baseline 'swm'. Did you mean 'svm'"),
        ("random_forest", {"n_estimator": 5}, UnknownNameError, "'n_estimator'. Did you mean 'n_estimators'"),
        ("svm", {"gama": 5}, UnknownNameError, "option of the baseline 'svm' 'gama'. Did you mean 'gamma'"),
        ("svm", {"probability": True}, UnknownNameError, "option"),
        ("mlp", {"random_state": 5}, InvalidInputError, "set by seed="),
        ("mlp", {"seed": -1}, InvalidInputError, "seed must be"),
        ("naive_bayes", {"seed": None}, InvalidInputError, "seed must be"),
    ],
)
def test_bad_argument_is_named(name, options, error, match):
    with pytest.raises(error, match=match):
        build_baseline(name, **options)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'transferkit\[baselines\]'"):
        build_baseline("xgboost")
