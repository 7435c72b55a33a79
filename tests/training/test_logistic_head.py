"""head="logistic": the exact optimum, written into the model's own softmax layer."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, UnknownNameError


def test_is_scikit_learns_optimum_in_the_models_softmax_layer(transfer, digits):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = transfer(True)
    run = tk.train(model, digits, head="logistic", verbose=False)
    strength = run.history[run.selected_epoch - 1]["strength"]
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    reference.fit(tk.extract_features(model, digits.train.images), digits.train.labels)
    expected = reference.predict_proba(tk.extract_features(model, digits.test.images))
    np.testing.assert_allclose(model.predict(digits.test.images, verbose=0), expected, atol=2e-3)
    np.testing.assert_allclose(run.test_probabilities, model.predict(digits.test.images, verbose=0), atol=1e-4)


@pytest.mark.long
def test_validation_chooses_the_penalty(transfer, digits):
    run = tk.train(transfer(True), digits, head="logistic", verbose=False)
    best = min(run.history, key=lambda row: row["val_loss"])
    assert (run.selection, run.selected_epoch, run.tuning_trials) == ("validation", best["epoch"], len(run.history))
    assert run.recipe["optimizer"] == "L-BFGS"
    assert (
        "penalty=L2 (C chosen on validation among 0.0001, 0.001, 0.01, 0.1, 1)" in tk.compare_runs([run]).to_markdown()
    )


def test_found_again_and_saved(transfer, digits, tmp_path):
    first = tk.train(transfer(True), digits, head="logistic", folder=tmp_path, name="probe", verbose=False)
    again = tk.train(transfer(True), digits, head="logistic", folder=tmp_path, name="probe", verbose=False)
    assert again.created == first.created
    np.testing.assert_array_equal(again.test_probabilities, first.test_probabilities)


def test_two_classes(transfer, digits):
    def two(split):
        chosen = split.labels < 2
        return split.images[chosen], split.labels[chosen]

    data = tk.Dataset.from_arrays(
        train=two(digits.train),
        validation=two(digits.validation),
        test=two(digits.test),
        name="0 or 1",
        allow_overlap=True,
    )
    inputs = keras.Input((16, 16, 1))
    start = keras.initializers.HeNormal(seed=1)
    x = keras.layers.Conv2D(8, 3, kernel_initializer=start, trainable=False)(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert tk.train(model, data, head="logistic", verbose=False).metrics["accuracy"] > 0.65


def test_models_that_train_more_are_refused(transfer, digits):
    for freeze in (False, "relu"):
        with pytest.raises(InvalidInputError, match="a logistic head needs"):
            tk.train(transfer(freeze), digits, head="logistic", verbose=False)


@pytest.mark.parametrize(
    "option", [{"learning_rate": 0.1}, {"augment": "flip"}, {"label_smoothing": 0.1}, {"schedule": "cosine"}]
)
def test_options_of_stepwise_training_are_refused(transfer, digits, option):
    with pytest.raises(InvalidInputError, match=f"{next(iter(option))}: only for training in steps"):
        tk.train(transfer(True), digits, head="logistic", verbose=False, **option)


def test_unknown_head_is_refused(transfer, digits):
    with pytest.raises(UnknownNameError, match="logistic"):
        tk.train(transfer(True), digits, head="logistc")
