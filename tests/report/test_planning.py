"""The plan in words."""

import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, UnknownNameError


def test_the_sentence_names_what_was_asked_for_and_what_is_assumed():
    sentence = tk.plan_comparison(difference=0.005, test_images=10_000).sentence()
    assert "17 seeds each" in sentence
    assert "0.50 points" in sentence
    assert "6.0% of the images" in sentence
    assert "17" in tk.plan_comparison(difference=0.005, test_images=10_000).sentence(language="ko")
    with pytest.raises(UnknownNameError):
        tk.plan_comparison(seeds=5, test_images=100).sentence(language="de")


def test_one_run_each_speaks_of_trained_models():
    assert "two trained models" in str(tk.plan_comparison(seeds=1, test_images=1_000))


def test_where_nothing_can_be_found_that_is_said():
    assert "no difference can be found" in str(tk.plan_comparison(seeds=2, test_images=20, seed_sd=0.2))


def test_any_other_number_may_be_asked_for():
    assert tk.plan_comparison(difference=0.01, test_images=5_000, seeds=5, power=None).power > 0.8
    assert tk.plan_comparison(difference=0.02, test_images=5_000, seeds=5, pairs=None).pairs > 10
    assert tk.plan_comparison(difference=0.02, test_images=5_000, seeds=5, seed_sd=None).seed_sd > 0.003
    with pytest.raises(InvalidInputError, match="exactly one"):
        tk.plan_comparison(seeds=5)
    with pytest.raises(InvalidInputError, match="at most disagreement"):
        tk.plan_comparison(seeds=5, test_images=100, disagreement=0.01)
