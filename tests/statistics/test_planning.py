"""The planner: consistent with the tests that it plans for, whichever number is asked for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError
from transferkit.statistics.accuracy_tests import compare_recipes
from transferkit.statistics.mcnemar import smallest_detectable
from transferkit.statistics.planning import complete_plan, detectable_around, detectable_difference

BASE = {
    "difference": None,
    "test_images": 10_000,
    "seeds": 5,
    "power": 0.8,
    "disagreement": 0.06,
    "seed_disagreement": 0.04,
    "seed_sd": 0.003,
    "pairs": 1,
    "paired": False,
}


def test_one_run_each_is_what_mcnemars_test_detects():
    plan = complete_plan(**BASE | {"seeds": 1, "pairs": 3})
    assert plan.difference == pytest.approx(float(smallest_detectable(600, 10_000, level=0.05 / 3)))


def test_seeds_alone_are_what_statsmodels_finds():
    from statsmodels.stats.power import TTestIndPower

    plan = complete_plan(**BASE | {"disagreement": 0.04, "difference": 0.006, "seeds": None})
    expected = TTestIndPower().solve_power(0.006 / 0.003, alpha=0.05, power=0.8)
    assert plan.seeds == int(np.ceil(expected))


@pytest.mark.long
@pytest.mark.parametrize("paired", [False, True])
def test_the_planned_difference_is_found_as_often_as_planned(rng, paired):
    images, seeds = 800, 4
    found, trials = 0, 150

    def answer(ease, skill, fate):
        return fate < 1 / (1 + np.exp(-(ease + skill)))

    right, accuracy, differ, within = [], [], [], []
    for _ in range(40):  # what a pilot would measure
        ease, taste = rng.normal(2, 1.5, images), rng.normal(0, 1, images)
        a, b = (
            answer(ease + way * taste, rng.normal(0, 0.15, (2, 1)) + skill, rng.random((2, images)))
            for way, skill in ((1, 0.45), (-1, 0.0))
        )
        right.append(a.mean() - b.mean())
        differ.append((a[0] != b[0]).mean())
        within.append(((a[0] != a[1]).mean() + (b[0] != b[1]).mean()) / 2)
        accuracy.append((a[0].mean() - a[1].mean(), b[0].mean() - b[1].mean()))
    sd = float(np.sqrt(np.mean(np.square(accuracy)) / 2))
    planned = {"disagreement": np.mean(differ).item(), "seed_disagreement": np.mean(within).item(), "seed_sd": sd}
    plan = complete_plan(
        **BASE
        | planned
        | {"difference": np.mean(right).item(), "power": None, "test_images": images, "seeds": seeds, "paired": paired}
    )
    for _ in range(trials):
        ease, taste = rng.normal(2, 1.5, images), rng.normal(0, 1, images)
        a, b = (
            answer(ease + way * taste, rng.normal(0, 0.15, (seeds, 1)) + skill, rng.random((seeds, images)))
            for way, skill in ((1, 0.45), (-1, 0.0))
        )
        found += compare_recipes(a, b, margin=0.005, paired=paired)["p"] < 0.05
    assert found / trials == pytest.approx(plan.power, abs=0.13)


@settings(max_examples=40)
@given(
    st.sampled_from(["test_images", "seeds", "power", "pairs", "seed_sd", "disagreement"]),
    st.integers(200, 20_000),
    st.integers(2, 12),
    st.sampled_from([0.02, 0.05]),
)
def test_whatever_is_asked_for_the_plan_holds_and_a_little_less_would_not_do(asked, images, seeds, difference):
    options = BASE | {"test_images": images, "seeds": seeds, "difference": difference} | {asked: None}
    try:
        plan = complete_plan(**options)
    except InvalidInputError:
        reject()
    assert detectable_difference(plan) <= difference + 1e-9
    value = getattr(plan, asked)
    if asked in ("test_images", "seeds") and value > 2:
        assert detectable_difference(replace(plan, **{asked: value - 1})) > difference
    if asked == "pairs" and value < 900_000:
        assert detectable_difference(replace(plan, pairs=value + 1)) > difference


def test_more_seeds_do_not_help_where_the_images_are_too_few():
    with pytest.raises(InvalidInputError, match="take more of them"):
        complete_plan(**BASE | {"test_images": 300, "difference": 0.005, "seeds": None})


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"seeds": None}, "exactly one"),
        ({"difference": 0.01}, "exactly one"),
        ({"seeds": 0}, "seeds must be"),
        ({"test_images": 10.5}, "test_images must be"),
        ({"power": 1.0}, "power must be"),
        ({"disagreement": 6}, "disagreement must be"),
        ({"pairs": True}, "pairs must be"),
        ({"seed_sd": "0.1"}, "seed_sd must be"),
    ],
)
def test_senseless_plans_are_refused(wrong, match):
    with pytest.raises(InvalidInputError, match=match):
        complete_plan(**BASE | wrong)


def test_the_table_around_a_plan_falls_with_images_and_from_two_seeds_on_with_seeds():
    rows = detectable_around(complete_plan(**BASE))
    assert (10_000, 5) in {row[:2] for row in rows}
    by = {row[:2]: row[2] for row in rows}
    assert by[10_000, 2] > by[10_000, 3] > by[10_000, 10]
    assert by[100, 5] > by[1_000, 5] > by[10_000, 5]


@given(st.integers(20, 2_000), st.integers(2, 10))
def test_few_test_images_leave_seeds_apart_by_chance_alone(images, seeds):
    """Two trainings that disagree on a share q of n images have accuracies that differ with a variance of q / n, whatever is stated."""
    stated = complete_plan(**BASE | {"difference": None, "test_images": images, "seeds": seeds, "seed_sd": 0.0})
    implied = (stated.seed_disagreement / (2 * images)) ** 0.5
    same = complete_plan(**vars(stated) | {"difference": None, "seed_sd": implied})
    assert stated.difference == pytest.approx(same.difference)
    more = complete_plan(**vars(stated) | {"difference": None, "seed_sd": 2 * implied})
    assert more.difference > stated.difference or stated.difference == 1


def test_numbers_of_numpy_are_numbers():
    plain = complete_plan(**BASE | {"difference": None, "test_images": 1_000, "seeds": 3})
    numbers = {
        "difference": None,
        "test_images": np.int64(1_000),
        "seeds": np.int32(3),
        "pairs": np.uint8(BASE["pairs"]),
    }
    assert complete_plan(**BASE | numbers) == plain
