"""class_weight: Keras's and scikit-learn's meaning, on networks, kept features, the logistic head and classifiers."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.class_weight import compute_class_weight

import transferkit as tk
from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.models.baselines import FlattenPixels
from transferkit.training.class_weights import weights_of_classes

FAST = {"epochs": 2, "batch_size": 32, "verbose": False}


def imbalanced(data, few=4):
    """Return data in which the classes from 5 on have few training images."""
    labels = data.train.labels
    kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[: few if c >= 5 else None] for c in range(10)]))
    train = data.train.images[kept], labels[kept]
    return Dataset.from_arrays(
        train=train, validation=data.validation, test=data.test, class_names=data.class_names, allow_overlap=True
    )


@pytest.fixture(scope="module")
def uneven(digits):
    return imbalanced(digits)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=0, max_size=60))
def test_balanced_is_what_scikit_learn_calls_so(labels):
    labels = [*range(5), *labels]
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    test = np.arange(200, 205, dtype=np.uint8)[:, None, None, None], np.arange(5)
    data = Dataset.from_arrays(train=(images, np.array(labels)), test=test, class_names=list("abcde"))
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights_of_classes("balanced", data)[present], expected, rtol=1e-6)


def test_names_and_indices_mean_the_same_and_classes_left_out_count_1(uneven):
    name = uneven.class_names[3]
    expected = [1, 1, 1, 2.5, 1, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(weights_of_classes({name: 2.5, 9: 0}, uneven), np.float32(expected))
    np.testing.assert_array_equal(
        weights_of_classes({np.int64(3): 2.5, 9: np.float32(0)}, uneven), np.float32(expected)
    )


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ("balance", InvalidInputError, "'balanced'"),
        ([1, 2], InvalidInputError, "dict"),
        ({"0": -1}, InvalidInputError, "at least 0"),
        ({"0": float("nan")}, InvalidInputError, "finite"),
        ({"0": True}, InvalidInputError, "number"),
        ({"zero": 1.0}, UnknownNameError, "unknown class 'zero'"),
        ({10: 1.0}, InvalidInputError, "10 classes"),
        ({0: 1.0, "0": 2.0}, InvalidInputError, "twice"),
        (dict.fromkeys(range(10), 0), InvalidInputError, "nothing could be learned"),
    ],
)
def test_weights_that_are_none_are_refused_before_the_training(uneven, transfer, weights, error, match):
    assert uneven.class_names[0] == "0"
    for options in ({"head": "logistic"}, {"epochs": 1}):
        with pytest.raises(error, match=match):
            tk.train(transfer(True), uneven, class_weight=weights, verbose=False, **options)


def linear():
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(10, "softmax", kernel_initializer="zeros"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 1)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_steps_are_those_of_keras_fit_with_class_weight(uneven):
    weights = {0: 3.0, 7: 0.5}
    model, reference = linear(), linear()
    options = {"epochs": 1, "batch_size": 1000, "verbose": False}  # one step: the order does not matter
    tk.train(model, uneven, class_weight=weights, engine="plain", **options)
    full = dict.fromkeys(range(10), 1.0) | weights
    reference.fit(uneven.train.images, uneven.train.labels, class_weight=full, epochs=1, batch_size=1000, verbose=0)
    for ours, keras_own in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_own, atol=1e-5)


@pytest.mark.slow
def test_kept_features_train_as_the_whole_model_does(uneven, transfer):
    found = []
    for engine in ("auto", "plain"):
        run = tk.train(transfer(True), uneven, class_weight="balanced", label_smoothing=0.1, engine=engine, **FAST)
        found.append(run.test_probabilities)
    plain = tk.train(transfer(True), uneven, label_smoothing=0.1, engine="plain", **FAST).test_probabilities
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)
    assert np.abs(found[1] - plain).max() > 0.01


def test_rare_classes_are_answered_more_often(uneven, transfer):
    plain = tk.train(transfer(True), uneven, head="logistic", verbose=False)
    balanced = tk.train(transfer(True), uneven, head="logistic", class_weight="balanced", verbose=False)
    rare = [run.test_probabilities.argmax(axis=1) >= 5 for run in (plain, balanced)]
    assert rare[1].sum() > rare[0].sum()
    assert balanced.recipe["class_weight"] == "balanced"
    assert "class_weight" not in plain.recipe


@pytest.mark.long
def test_weights_are_recorded_and_part_of_the_identity(uneven, transfer, tmp_path):
    options = {"folder": tmp_path, "name": "run"} | FAST
    run = tk.train(transfer(True), uneven, class_weight={"8": 4}, **options)
    assert run.recipe["class_weight"] == dict.fromkeys(uneven.class_names, 1.0) | {"8": 4.0}
    again = tk.train(transfer(True), uneven, class_weight={8: 4.0}, **options)
    assert again.created == run.created
    for other in (None, "balanced"):
        with pytest.raises(RunError, match="class_weight|recipe"):
            tk.train(transfer(True), uneven, class_weight=other, **options)


def test_classifiers_get_them_as_sample_weights(uneven, tmp_path):
    labels = uneven.train.labels
    options = {"class_weight": "balanced", "verbose": False, "folder": tmp_path}
    run = tk.train(make_pipeline(FlattenPixels(), LogisticRegression(max_iter=50)), uneven, name="a", **options)
    weights = weights_of_classes("balanced", uneven)[labels]
    expected = make_pipeline(FlattenPixels(), LogisticRegression(max_iter=50)).fit(
        uneven.train.images, labels, logisticregression__sample_weight=weights
    )
    np.testing.assert_allclose(run.test_probabilities, expected.predict_proba(uneven.test.images), atol=1e-5)
    assert run.recipe["class_weight"] == "balanced"
    with pytest.raises(RunError, match="other settings"):
        tk.train(make_pipeline(FlattenPixels(), LogisticRegression(max_iter=50)), uneven, name="a", folder=tmp_path)
    forest = tk.train(
        make_pipeline(FlattenPixels(), RandomForestClassifier(5)), uneven, class_weight={0: 9}, verbose=False
    )
    assert forest.status == "completed"


def test_classifier_without_sample_weights_is_refused_with_the_cure(uneven):
    with pytest.raises(InvalidInputError, match=r"KNeighborsClassifier takes no sample_weight.*Leave class_weight out"):
        tk.train(make_pipeline(FlattenPixels(), KNeighborsClassifier()), uneven, class_weight="balanced", verbose=False)
