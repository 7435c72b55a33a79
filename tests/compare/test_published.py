"""The table of published results: complete, plausible, and honest about what is not known."""

import pytest

from transferkit.compare.published import published_results
from transferkit.errors import UnknownNameError

COURSE = {
    "SVM": 0.444,
    "Naive Bayes": 0.564,
    "Random forest": 0.834,
    "Logistic regression": 0.838,
    "Gradient boosting": 0.864,
    "XGBoost": 0.898,
    "CNN": 0.919,
    "GoogLeNet": 0.937,
    "MobileNet": 0.950,
}


@pytest.fixture(scope="module")
def table():
    return published_results("fashion_mnist")


def test_the_nine_models_of_the_course_are_there(table):
    course = table[table["source"] == "course"]
    assert dict(zip(course["method"], course["accuracy"], strict=True)) == COURSE


def test_every_row_is_complete(table):
    assert table.columns.tolist() == [
        "method", "accuracy", "source", "reference", "preprocessing", "author", "credibility", "note",
    ]  # fmt: skip
    assert not table.isna().to_numpy().any()
    assert (table.drop(columns=["accuracy", "note"]) != "").to_numpy().all()
    assert table["accuracy"].between(0.4, 1, inclusive="neither").all()
    assert set(table["source"]) == {"course", "README", "paper"}
    assert set(table["credibility"]) == {"reported", "unverified", "not credible"}
    assert not table.duplicated(["method", "source"]).any()


def test_reservations_are_stated(table):
    readme = table[table["source"] == "README"]
    assert (readme["credibility"] == "unverified").all()
    assert readme.loc[readme["method"] != "Human", "note"].str.contains("haven't yet tested").all()
    assert readme.loc[readme["method"] == "Human", "accuracy"].item() == 0.835
    doubtful = table[table["accuracy"] > 0.97]
    assert (doubtful["credibility"] == "not credible").all()
    assert doubtful["note"].str.len().gt(40).all()
    assert 0.9965 in doubtful["accuracy"].tolist()
    assert table.loc[table["reference"].str.contains("1708.07747"), "note"].str.contains("Not re-checked").all()


def test_a_dataset_is_known_by_its_own_name_and_others_are_refused(table, fashion_mnist):
    assert published_results(fashion_mnist.name).equals(table)
    with pytest.raises(UnknownNameError, match="unknown dataset 'mnist'.*Known: fashion_mnist"):
        published_results("mnist")
