"""Averaging over mirror images: Keras's own predictions, averaged by hand, are what comes out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import DataError, InvalidInputError, RunError


@pytest.fixture(scope="module")
def data():
    return tk.load_fashion_mnist(labels_per_class=6, validation=40)


@pytest.fixture(scope="module")
def run(data):
    return tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=1, augment="flip", verbose=False)


def by_hand(model, images):
    straight, mirrored = (model.predict(given, verbose=0) for given in (images, images[:, :, ::-1]))
    return (straight + mirrored) / 2


def test_both_splits_are_averaged_and_the_run_stays(run, data):
    before = run.test_probabilities.copy()
    averaged = tk.average_flips(run, data)
    np.testing.assert_allclose(averaged.test_probabilities, by_hand(run.model, data.test.images), atol=1e-5)
    np.testing.assert_allclose(averaged.validation_probabilities, by_hand(run.model, data.validation.images), atol=1e-5)
    np.testing.assert_array_equal(run.test_probabilities, before)
    assert averaged.recipe == run.recipe | {"test_time_augment": "flip"}
    assert averaged.test_seconds == 2 * run.test_seconds
    assert (averaged.key, averaged.train_accuracy) != (run.key, run.train_accuracy)
    assert averaged.name == "course_cnn, flips averaged"
    assert tk.average_flips(run, data, name="both").name == "both"


def test_the_model_averages_by_itself(run, data, tmp_path):
    averaged = tk.average_flips(run, data)
    images, labels = data.test
    np.testing.assert_allclose(averaged.model.predict(images, verbose=0), averaged.test_probabilities, atol=1e-5)
    assert averaged.model.evaluate(images, labels, verbose=0)[1] == pytest.approx(averaged.metrics["accuracy"])
    found = tk.evaluate(averaged.model, data.test)
    np.testing.assert_allclose(found.probabilities, averaged.test_probabilities, atol=1e-5)
    averaged.save(tmp_path / "averaged")
    loaded = tk.load_model(tmp_path / "averaged")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), averaged.test_probabilities, atol=1e-5)
    assert tk.export(averaged, tmp_path / "averaged.tflite", images=images[:20]).difference < 1e-4


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_mirrored_images_are_answered_alike(run, data, seed, count):
    model = tk.average_flips(run, data).model
    images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), np.uint8)
    straight, mirrored = (model.predict(given, verbose=0) for given in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(straight, mirrored, atol=1e-6)


@pytest.fixture(scope="module")
def small():
    """Random images of the size of `make_transfer`, without validation."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 16, 16, 1), np.uint8) for count in (40, 30))
    return tk.Dataset.from_arrays(train=(train, np.arange(40) % 10), test=(test, np.arange(30) % 10))


@pytest.mark.parametrize("freeze", [True, "norm", False])
def test_a_partly_frozen_network_is_averaged_alike(transfer, small, freeze):
    run = tk.train(transfer(freeze), small, epochs=1, verbose=False)
    averaged = tk.average_flips(run, small)
    np.testing.assert_allclose(averaged.test_probabilities, by_hand(run.model, small.test.images), atol=1e-4)
    assert not len(averaged.validation_probabilities)


def test_a_saved_run_is_averaged_too(data, tmp_path):
    options = {"epochs": 1, "folder": tmp_path, "name": "kept", "verbose": False}
    run = tk.train(tk.build_cnn(filters=(4, 8)), data, **options)
    loaded = tk.load_run(tmp_path / "kept")
    assert loaded.model is None
    averaged = tk.average_flips(loaded, data)
    np.testing.assert_allclose(averaged.test_probabilities, by_hand(run.model, data.test.images), atol=1e-5)


def test_a_classifier_is_averaged_too(data):
    run = tk.train(tk.build_baseline("logistic_regression"), data, verbose=False)
    averaged = tk.average_flips(run, data)
    mirrored = run.model.predict_proba(data.test.images[:, :, ::-1])
    np.testing.assert_allclose(averaged.test_probabilities, (run.test_probabilities + mirrored) / 2, atol=1e-5)
    assert averaged.model is None


def test_a_comparison_tells_them_apart(run, data):
    comparison = tk.compare_runs([run, tk.average_flips(run, data)])
    assert "course_cnn, flips averaged" in str(comparison)


def test_what_cannot_be_averaged_is_refused(run, data):
    with pytest.raises(RunError, match="averaged over flips already"):
        tk.average_flips(tk.average_flips(run, data), data)
    with pytest.raises(RunError, match="has no model"):
        tk.average_flips(replace(run, model=None), data)
    with pytest.raises(InvalidInputError, match="must be a Dataset"):
        tk.average_flips(run, data.test)
    other = tk.load_fashion_mnist(labels_per_class=6, validation=50)
    with pytest.raises(DataError, match="validation images are not those of run 'course_cnn'"):
        tk.average_flips(run, other)
    images = 255 - data.test.images
    mirrored = tk.Dataset.from_arrays(train=data.train, validation=data.validation, test=(images, data.test.labels))
    with pytest.raises(DataError, match="test images are not those of run 'course_cnn'"):
        tk.average_flips(run, mirrored)


def test_a_model_that_was_trained_further_is_refused(data):
    model = tk.build_cnn(filters=(4, 8))
    run = tk.train(model, data, epochs=1, verbose=False)
    tk.train(model, data, epochs=1, seed=1, verbose=False)
    with pytest.raises(RunError, match="trained or changed since"):
        tk.average_flips(run, data)
