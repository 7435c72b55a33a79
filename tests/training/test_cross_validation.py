"""Cross-validation: every image once, by a model that never saw it; and what a comparison makes of it."""

import functools
from dataclasses import replace

import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, RunError, TransferKitWarning, UnknownNameError
from transferkit.training import cross_validation

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def data():
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    images = (digits[:300] * 15).astype("uint8").reshape(-1, 8, 8, 1)
    images[7] = images[4]  # equal images stay together
    labels[7] = labels[4]
    return tk.Dataset.from_arrays((images[:200], labels[:200]), (images[200:], labels[200:300]), allow_overlap=True)


def baseline(name):
    return functools.partial(tk.build_baseline, name)


@pytest.fixture(scope="module")
def runs(data):
    return [
        run
        for name in ("naive_bayes", "logistic_regression")
        for run in tk.cross_validate(baseline(name), data, folds=4, repeats=2, name=name, verbose=False)
    ]


@pytest.fixture(scope="module")
def objects(data):
    """Four pictures of each object, whose groups the training and validation images know; and the object of each picture."""
    images, labels = data.train.images[:160], data.train.labels[:160] % 2
    known = np.arange(120) // 4
    pictures = tk.Dataset.from_arrays(
        (images[:120], labels[:120]), (images[120:], labels[120:]), validation=0.25, groups=known, seed=1
    )
    return pictures, {image.tobytes(): number // 4 for number, image in enumerate(images)}


def test_groups_that_the_dataset_knows_stay_in_one_fold_and_count_once(objects):
    pictures, object_of = objects
    (run,) = tk.cross_validate(baseline("naive_bayes"), pictures, folds=3, verbose=False)
    seen = np.array(
        [object_of[image.tobytes()] for split in (pictures.train, pictures.validation) for image in split.images]
    )
    for values in (run.dataset["folds"], run.dataset["test_clusters"]):
        assert all(len(set(np.array(values)[: len(seen)][seen == number])) == 1 for number in range(30))
    assert len(set(run.dataset["test_clusters"])) == 30 + 40  # each test image stands for itself


def test_validation_inside_of_a_fold_keeps_groups_together(objects, monkeypatch):
    pictures, object_of = objects
    trained = []
    monkeypatch.setattr(
        cross_validation,
        "train",
        lambda model, fold, **options: trained.append(fold) or tk.train(model, fold, **options),
    )
    tk.cross_validate(baseline("naive_bayes"), pictures, folds=3, validation=0.2, verbose=False)
    for fold in trained:
        learned, chosen = (
            {object_of[image.tobytes()] for image in split.images} for split in (fold.train, fold.validation)
        )
        assert chosen
        assert not chosen & learned & set(range(30))
    assert len(trained) == 3


@pytest.mark.long
def test_each_image_is_tested_once_and_equal_ones_in_one_fold(data, runs):
    assert [(run.name, run.seed) for run in runs] == [
        ("naive_bayes", 0),
        ("naive_bayes", 1),
        ("logistic_regression", 0),
        ("logistic_regression", 1),
    ]
    folds = np.array([run.dataset["folds"] for run in runs])
    assert folds.shape == (4, 300)
    assert (folds[0] == folds[2]).all()
    assert (folds[0] != folds[1]).any()
    assert (folds[:, 7] == folds[:, 4]).all()
    labels = np.concatenate([split.labels for split in data])
    for run in runs:
        np.testing.assert_array_equal(run.test_labels, labels)
        assert len(run.test_probabilities) == 300
    sizes = np.array([np.bincount(labels[folds[0] == fold], minlength=10) for fold in range(4)])
    assert sizes.max() - sizes.min() <= 5  # stratified


def test_predictions_are_those_of_a_model_that_was_trained_on_the_other_folds(data, runs):
    run = runs[0]
    folds = np.array(run.dataset["folds"])
    images = np.concatenate([split.images for split in data])
    model = tk.build_baseline("naive_bayes").fit(images[folds != 2], run.test_labels[folds != 2])
    np.testing.assert_allclose(run.test_probabilities[folds == 2], model.predict_proba(images[folds == 2]), atol=1e-4)


def test_a_comparison_goes_fold_by_fold(runs):
    from transferkit.statistics.cross_validation import spread_over_folds

    row = tk.compare_runs(runs).tests.iloc[0]
    differences = []
    for repeat in (0, 1):
        a, b = runs[2 + repeat], runs[repeat]
        folds = np.array(a.dataset["folds"])
        differences += [a.test_correct[folds == f].mean() - b.test_correct[folds == f].mean() for f in range(4)]
    spread = spread_over_folds(differences, test_share=0.25)
    assert (row["method"], row["scope"]) == ("corrected t", "recipes")
    assert row["difference"] == pytest.approx(np.mean(differences))
    assert row["p"] == pytest.approx(spread.p(np.mean(differences)))
    assert np.isfinite([row["loss_low"], row["loss_high"], row["f1_macro_p"]]).all()
    assert tk.compare_runs([runs[0], runs[2]]).tests["method"][0] == "corrected t"
    assert tk.compare_runs(runs).to_markdown()


def test_repetitions_are_seeds_of_one_recipe_although_folds_are_not_quite_equally_large(data):
    runs = tk.cross_validate(
        baseline("naive_bayes"), data, folds=7, repeats=3, groups=np.arange(300) // 4, validation=0.3, verbose=False
    )
    assert tk.compare_runs(runs).table["seeds"].tolist() == [3]


def test_groups_stay_in_one_fold(data):
    groups = np.arange(300) // 3
    (run,) = tk.cross_validate(baseline("naive_bayes"), data, folds=3, groups=groups, verbose=False)
    folds = np.array(run.dataset["folds"])
    assert all(len(set(folds[groups == group])) == 1 for group in range(100))


@pytest.mark.long
def test_a_network_is_built_anew_for_each_fold_and_found_again(data, tmp_path):
    build = functools.partial(tk.build_cnn, (8, 8, 1), filters=(2,))
    call = functools.partial(
        tk.cross_validate, build, data, folds=2, name="net", epochs=1, folder=tmp_path, verbose=False, validation=20
    )
    (first,), (again,) = call(), call()
    np.testing.assert_array_equal(first.test_probabilities, again.test_probabilities)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "net-seed-0-fold-0",
        "net-seed-0-fold-1",
    ]


def test_senseless_calls_are_refused(data):
    build = baseline("naive_bayes")
    with pytest.raises(InvalidInputError, match="folds"):
        tk.cross_validate(build, data, folds=1)
    with pytest.raises(InvalidInputError, match="Take fewer folds"):
        tk.cross_validate(build, data, folds=200)
    with pytest.raises(InvalidInputError, match="groups"):
        tk.cross_validate(build, data, groups=[1, 2])
    with pytest.raises(InvalidInputError, match="Dataset"):
        tk.cross_validate(build, [1, 2])
    with pytest.raises(UnknownNameError):
        tk.cross_validate(build, data, method="fit")


def test_each_fold_has_a_line(data, capsys):
    tk.cross_validate(baseline("naive_bayes"), data, folds=2, name="bayes")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": accuracy")[0] for line in lines] == ["bayes: fold 1 of 2", "bayes: fold 2 of 2"]


@pytest.mark.long
def test_a_fold_that_diverges_does_not_keep_others_from_being_compared(data, runs):
    def build(seed):
        return tk.build_cnn((8, 8, 1), filters=(4,), dense_units=8, seed=seed)

    with pytest.warns(TransferKitWarning, match="diverged"):
        (bad,) = tk.cross_validate(build, data, folds=3, name="bad", epochs=2, learning_rate=1e30, verbose=False)
    assert bad.status == "diverged"
    comparison = tk.compare_runs([bad, *runs])
    assert comparison.table.loc["bad", "status"] == "diverged"
    assert len(comparison.tests) == 1


@pytest.mark.long
def test_what_was_cross_validated_can_be_looked_at(data, runs):
    from transferkit.plots.images import match_images

    everything = np.concatenate([split.images for split in data])
    np.testing.assert_array_equal(match_images(runs[0], data), everything)
    with pytest.raises(RunError, match="cross-validated"):
        tk.calibrate(runs[0])
    names = {name: [f"{name}/{row}.png" for row in range(len(getattr(data, name).labels))] for name in SPLITS}
    from_files = replace(data, **{name: tk.Split(*getattr(data, name), paths=names[name]) for name in SPLITS})
    (run,) = tk.cross_validate(baseline("naive_bayes"), from_files, folds=3, verbose=False)
    assert run.predictions_frame()["file"].tolist() == [path for paths in names.values() for path in paths]
