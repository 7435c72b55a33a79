"""In which classes two models differ."""

from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.report.comparison import compare_runs


def test_recalls_are_scikit_learns_and_p_is_adjusted_for_the_classes(weak, strong):
    from sklearn.metrics import recall_score

    table = compare_runs([weak, strong]).class_tests("strong")
    for side, run in (("a", strong), ("b", weak)):
        expected = recall_score(run.test_labels, run.test_probabilities.argmax(axis=1), average=None)
        np.testing.assert_allclose(table[f"recall_{side}"], expected)
    np.testing.assert_allclose(table["difference"], table["recall_a"] - table["recall_b"])
    assert table["images"].sum() == len(weak.test_labels)
    assert (table["p_holm"] >= table["p"]).all()
    assert table.index.tolist() == list(weak.class_names)


def test_a_class_that_only_one_model_knows_is_found(strong):
    blind = strong.test_probabilities.copy()
    blind[strong.test_labels == 3] = np.eye(10)[4]
    table = compare_runs([strong, replace(strong, name="blind", key="b", test_probabilities=blind)]).class_tests(
        "blind"
    )
    assert table.loc["3", "verdict"] == "b better"
    assert set(table.drop(index="3")["verdict"]) <= {"undecided", "practically equal"}


def test_classes_without_test_images_are_left_out(weak, strong):
    keep = weak.test_labels != 9
    fewer = [
        replace(run, test_labels=run.test_labels[keep], test_probabilities=run.test_probabilities[keep])
        for run in (weak, strong)
    ]
    assert "9" not in compare_runs(fewer).class_tests("strong").index


def test_seeds_are_compared_class_by_class(weak, strong):
    seeds = [replace(strong, seed=seed, key=str(seed)) for seed in range(3)]
    table = compare_runs([weak, *seeds]).class_tests("strong", "weak")
    assert set(table["method"]) == {"one run against seeds"}


def test_wrong_names_are_refused(weak, strong):
    comparison = compare_runs([weak, strong])
    with pytest.raises(UnknownNameError, match="Did you mean 'strong'"):
        comparison.class_tests("strng")
    with pytest.raises(InvalidInputError, match="is the baseline itself"):
        comparison.class_tests("weak")
    with pytest.raises(InvalidInputError, match="two models"):
        comparison.class_tests("strong", "strong")
    with pytest.raises(UnfairComparisonError, match="selected or trained on the test images"):
        compare_runs([weak, replace(strong, selection="test")]).class_tests("strong")
