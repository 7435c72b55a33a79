"""scikit-learn classifiers go through train into the same records as networks."""

import functools
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import loguniform
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

import transferkit as tk
from transferkit.data.dataset import Dataset, Split
from transferkit.errors import DataError, InvalidInputError, RunError, TransferKitWarning
from transferkit.models.baselines import FlattenPixels

QUIET = {"verbose": False}


def forest(**options):
    return tk.build_baseline("random_forest", **{"n_estimators": 20} | options)


@pytest.fixture(scope="module")
def small(digits):
    return digits.subset(20)


@pytest.fixture(scope="module")
def run(small):
    return tk.train(forest(), small, seed=3, name="forest", **QUIET)


def test_record_says_what_was_fitted_how_long_it_took_and_what_it_predicts(run, small):
    assert (run.name, run.status, run.selection, run.selected_epoch, run.seed) == (
        "forest",
        "completed",
        "none",
        None,
        3,
    )
    assert run.metrics["accuracy"] > 0.8
    assert run.test_probabilities.dtype == np.float32
    np.testing.assert_allclose(run.model.predict_proba(small.test.images), run.test_probabilities, atol=1e-6)
    np.testing.assert_allclose(
        run.model.predict_proba(small.validation.images), run.validation_probabilities, atol=1e-6
    )
    assert run.train_accuracy == 1.0
    assert run.phases[0]["images"] == 200
    assert run.train_seconds > 0
    assert run.test_seconds > 0
    assert run.images_per_second == pytest.approx(200 / run.train_seconds)
    assert run.recipe == {"steps": ["FlattenPixels", "RandomForestClassifier"], "augment": [], "n_estimators": 20}
    described = run.model_info["estimator"]["parameters"]["steps"][1][1]
    assert described["class"] == "sklearn.ensemble.RandomForestClassifier"
    assert described["parameters"]["criterion"] == "gini"
    assert run.environment["scikit-learn"]
    assert run.dataset["test_fingerprint"] == small.fingerprints["test"]


def test_seed_of_the_run_is_the_seed_of_every_step(small, run):
    again = tk.train(forest(seed=99), small, seed=3, **QUIET)
    other = tk.train(forest(), small, seed=4, **QUIET)
    np.testing.assert_array_equal(again.test_probabilities, run.test_probabilities)
    assert again.key == run.key
    assert other.key != run.key
    assert not np.array_equal(other.test_probabilities, run.test_probabilities)
    assert again.name == "random_forest"


def test_saved_run_holds_no_model_and_says_how_to_get_one(small, tmp_path):
    tk.train(forest(), small, name="My forest", folder=tmp_path, **QUIET)
    files = {file.name for file in (tmp_path / "my-forest").iterdir()}
    assert files == {"run.json", "predictions.npz", "manifest.json"}
    loaded = tk.load_run(tmp_path / "my-forest")
    assert json.dumps(loaded.recipe)
    with pytest.raises(RunError, match="scikit-learn classifier, which is never saved.*Fit it again"):
        tk.load_model(tmp_path / "my-forest")


def test_finished_run_is_found_again_and_another_is_not_lost(small, tmp_path):
    options = {"name": "forest", "folder": tmp_path, **QUIET}
    first = tk.train(forest(), small, **options)
    again = tk.train(forest(n_jobs=2), small, **options)
    assert again.created == first.created
    assert again.path == first.path
    np.testing.assert_array_equal(again.test_probabilities, first.test_probabilities)
    with pytest.raises(RunError, match=r"n_estimators 20 \(now 30\)"):
        tk.train(forest(n_estimators=30), small, **options)
    with pytest.raises(RunError, match=r"seed 0 \(now 1\)"):
        tk.train(forest(), small, seed=1, **options)
    with pytest.raises(RunError, match="other data"):
        tk.train(forest(), small.subset(10), **options)
    replaced = tk.train(forest(n_estimators=30), small, overwrite=True, **options)
    assert tk.load_run(tmp_path / "forest").key == replaced.key


def test_seeds_of_one_name_are_kept_apart_and_compared_as_one_model(small, tmp_path):
    for seed in range(3):
        tk.train(forest(), small, seed=seed, name="forest", folder=tmp_path, save_as=f"forest-seed-{seed}", **QUIET)
    tk.train(tk.build_baseline("naive_bayes"), small, name="Bayes", folder=tmp_path, **QUIET)
    comparison = tk.compare_runs(tmp_path)
    assert comparison.table.loc["forest", "seeds"] == 3
    assert comparison.table.loc["Bayes", "accuracy"] < comparison.table.loc["forest", "accuracy"]


def test_evaluation_of_a_fitted_classifier_is_what_its_run_says(small):
    model = forest()
    run = tk.train(model, small, seed=3, name="forest", **QUIET)
    evaluation = tk.evaluate(model, small.test)
    np.testing.assert_array_equal(evaluation.probabilities, run.test_probabilities)
    assert evaluation.metrics["loss"] == run.metrics["loss"]


def test_evaluation_of_a_classifier_that_is_not_fitted_is_refused(small):
    with pytest.raises(InvalidInputError, match="not fitted"):
        tk.evaluate(forest(), small.test)


def test_passes_of_a_perceptron_are_its_history(small):
    run = tk.train(tk.build_baseline("mlp", hidden_layer_sizes=(16,), max_iter=4), small, **QUIET)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert run.phases[0]["images"] == 800
    assert run.notes == []  # a fixed number of passes is meant


def test_fit_that_did_not_converge_is_noted(small):
    with pytest.warns(Warning, match="converge"):
        run = tk.train(tk.build_baseline("logistic_regression", max_iter=3), small, **QUIET)
    assert "converge" in run.notes[0]


@settings(max_examples=6)
@example(kept={0, 5})  # GaussianNB calls two classes certain at once here
@given(kept=st.sets(st.integers(0, 9), min_size=2, max_size=9))
def test_class_without_training_images_gets_probability_zero(digits, kept):
    images, labels = digits.train
    chosen = np.isin(labels, list(kept))
    train = Split(images[chosen], labels[chosen])
    data = Dataset("part", digits.class_names, train, digits.validation, digits.test)
    run = tk.train(tk.build_baseline("naive_bayes"), data, **QUIET)
    absent = sorted(set(range(10)) - kept)
    assert run.test_probabilities.shape == (len(digits.test.labels), 10)
    assert not run.test_probabilities[:, absent].any()
    np.testing.assert_allclose(run.test_probabilities.sum(axis=1), 1, atol=1e-5)
    known = np.isin(digits.test.labels, list(kept))
    guessed = run.test_probabilities[known].argmax(axis=1)
    assert np.mean(guessed == digits.test.labels[known]) > 1 / len(kept)


def test_classifier_of_ones_own_is_recorded_with_its_settings(small):
    classifier = make_pipeline(FlattenPixels(), SGDClassifier(loss="log_loss", alpha=0.01))
    run = tk.train(classifier, small, seed=5, **QUIET)
    assert run.metrics["accuracy"] > 0.7
    assert classifier[-1].random_state == 5
    assert run.recipe["alpha"] == 0.01
    assert run.name == "sgdclassifier"


def test_search_inside_the_classifier_counts_its_trials(small):
    search = GridSearchCV(RandomForestClassifier(5), {"max_depth": [2, 4, 8]}, cv=2)
    run = tk.train(make_pipeline(FlattenPixels(), search), small, **QUIET)
    assert run.tuning_trials == 3
    assert run.recipe["estimator__n_estimators"] == 5


def test_two_functions_written_in_place_are_never_taken_for_one(small, tmp_path):
    def build(function):
        return make_pipeline(FlattenPixels(), FunctionTransformer(function), GaussianNB())

    tk.train(build(lambda rows: rows), small, name="net", folder=tmp_path, **QUIET)
    with pytest.raises(RunError, match="another model"):
        tk.train(build(lambda rows: -rows), small, name="net", folder=tmp_path, **QUIET)


class Broken(GaussianNB):
    def predict_proba(self, X):  # noqa: N803 - scikit-learn's name
        return np.full((len(X), len(self.classes_)), np.nan)


def test_values_that_are_no_numbers_are_no_result(small):
    with pytest.warns(TransferKitWarning, match="diverged"):
        run = tk.train(make_pipeline(FlattenPixels(), Broken()), small, name="wild", **QUIET)
    assert run.status == "diverged"
    assert run.test_probabilities.shape == (0, 10)


@pytest.mark.parametrize(
    "option",
    [
        {"epochs": 3},
        {"batch_size": 32},
        {"learning_rate": 0.1},
        {"schedule": "cosine"},
        {"augment": "flip"},
        {"label_smoothing": 0.1},
        {"head": "logistic"},
        {"engine": "keras"},
        {"callbacks": [object()]},
    ],
)
def test_option_of_stepwise_training_is_refused(small, option):
    with pytest.raises(InvalidInputError, match=f"{next(iter(option))}: only for training in steps"):
        tk.train(forest(), small, **option, **QUIET)


@pytest.mark.parametrize(
    ("classifier", "match"),
    [
        (make_pipeline(FlattenPixels(), LinearSVC()), "CalibratedClassifierCV"),
        (RandomForestClassifier(5), r"make_pipeline\(transferkit\.models\.baselines\.FlattenPixels\(\)"),
        (make_pipeline(FlattenPixels(), RandomForestClassifier(5, warm_start=True)), "warm_start=True"),
        (RandomForestClassifier, "must be a keras.Model"),
        ("random_forest", "must be a keras.Model"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_the_cure(small, classifier, match):
    with pytest.raises(InvalidInputError, match=match):
        tk.train(classifier, small, **QUIET)


def test_data_and_seed_are_checked(small):
    with pytest.raises(InvalidInputError, match="from_arrays"):
        tk.train(forest(), (small.train, small.test), **QUIET)
    with pytest.raises(InvalidInputError, match="seed"):
        tk.train(forest(), small, seed=-1, **QUIET)


def test_network_still_needs_images_of_its_own_size(small):
    with pytest.raises(DataError, match="input_shape"):
        tk.train(tk.build_cnn(filters=(4,), dense_units=8), small, epochs=1, **QUIET)


class Sharp(GaussianNB):
    def predict_proba(self, X):  # noqa: N803 - scikit-learn's name
        found = super().predict_proba(X) ** getattr(self, "power", 1.0)
        return found / found.sum(axis=1, keepdims=True)


def test_attributes_that_are_no_parameters_count(small, tmp_path):
    def build(power):
        classifier = make_pipeline(FlattenPixels(), Sharp())
        classifier[-1].power = power
        return classifier

    first = tk.train(build(1.0), small, name="net", folder=tmp_path, **QUIET)
    used = build(1.0).fit(*small.train)
    assert tk.train(used, small, name="net", folder=tmp_path, **QUIET).created == first.created
    with pytest.raises(RunError, match="another model"):
        tk.train(build(0.5), small, name="net", folder=tmp_path, **QUIET)


def test_a_stack_has_probabilities_once_it_is_fitted(small):
    stack = StackingClassifier([("bayes", GaussianNB())], cv=2)
    assert tk.train(make_pipeline(FlattenPixels(), stack), small, **QUIET).status == "completed"


def test_a_random_search_over_distributions_is_found_again(small, tmp_path):
    def search(low):
        found = RandomizedSearchCV(GaussianNB(), {"var_smoothing": loguniform(low, 1e-3)}, n_iter=2, cv=2)
        return tk.train(make_pipeline(FlattenPixels(), found), small, name="net", folder=tmp_path, **QUIET)

    first = search(1e-9)
    assert search(1e-9).created == first.created
    with pytest.raises(RunError, match="param_distributions"):
        search(1e-8)


@pytest.mark.long
def test_seeds_of_a_random_search_are_one_recipe(small):
    def build(seed):
        search = RandomizedSearchCV(
            SGDClassifier(loss="log_loss"), {"alpha": loguniform(1e-6, 1e-3), "penalty": ["l2", None]}, n_iter=2, cv=2
        )
        step = FunctionTransformer(functools.partial(np.multiply, 1.0))
        return make_pipeline(FlattenPixels(), step, search)

    runs = tk.repeat(build, small, seeds=(0, 1), name="search", **QUIET)
    assert tk.compare_runs(runs).table["seeds"].tolist() == [2]
    assert " at 0x" not in str(runs[0].recipe)


@pytest.mark.long
def test_repeat_takes_what_train_takes(small):
    def build(seed):
        members = [("forest", RandomForestClassifier(5)), ("bayes", GaussianNB())]
        return make_pipeline(FlattenPixels(), StackingClassifier(members, cv=2))

    assert len(tk.repeat(build, small, seeds=(0, 1), **QUIET)) == 2
    with pytest.raises(InvalidInputError, match="gives no probabilities"):
        tk.repeat(LinearSVC, small, seeds=(0, 1), **QUIET)


def test_class_weights_reach_the_classifier_inside_a_search(small):
    pipe = make_pipeline(FlattenPixels(), RandomForestClassifier(5, random_state=0))
    for search in (
        GridSearchCV(pipe, {"randomforestclassifier__max_depth": [2]}, cv=2),
        make_pipeline(
            FlattenPixels(), GridSearchCV(RandomForestClassifier(5, random_state=0), {"max_depth": [2]}, cv=2)
        ),
    ):
        plain = tk.train(search, small, **QUIET)
        weighted = tk.train(search, small, class_weight={0: 100.0}, **QUIET)
        assert (weighted.test_predictions == 0).sum() > (plain.test_predictions == 0).sum()


def test_classifier_of_named_classes_predicts_names(small):
    names = np.array([f"digit {number}" for number in range(10)])
    classifier = make_pipeline(FlattenPixels(), GaussianNB()).fit(small.train.images, names[small.train.labels])
    frame = tk.predict(classifier, small.test.images[:20])
    assert frame["predicted"].tolist() == classifier.predict(small.test.images[:20]).tolist()
    with pytest.raises(InvalidInputError, match="instead of class indices"):
        tk.evaluate(classifier, small.test)


def test_what_is_not_fitted_says_so(small):
    with pytest.raises(NotFittedError):
        FlattenPixels().transform(small.test.images)
