"""One sentence on two models: what was found, how surely, and what it is about."""

import re
from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.report.comparison import compare_runs


@pytest.fixture
def made(weak):
    """Return a function that makes a run whose answers are right on the images given."""

    def make(name, right, **options):
        truth = np.arange(1000) % 2
        answers = np.where(right, truth, 1 - truth)
        fields = {
            "name": name,
            "class_names": ("a", "b"),
            "test_probabilities": np.eye(2)[answers],
            "test_labels": truth,
        }
        return replace(
            weak, **(fields | {"key": f"{name} {options.get('seed')}", "history": [], "selected_epoch": None} | options)
        )

    return make


def test_p_stands_beside_the_one_that_counts_all_pairs(made):
    count = np.arange(1000)
    runs = [
        made("A", count < 700),
        made("B", (count < 680) | (count > 995)),
        made("C", count % 2 == 0),
        made("D", count % 3 == 0),
    ]
    comparison = compare_runs(runs)
    row = comparison.tests.query("a == 'B' and b == 'A'").iloc[0]
    assert row["p"] < 0.05 < row["p_holm"] or row["p"] < row["p_holm"] or row["p"] == row["p_holm"]
    english, korean = comparison.sentence("B", "A"), comparison.sentence("B", "A", language="ko")
    p, adjusted = (f"{row[name]:.3f}".replace("0.000", "< 0.001") for name in ("p", "p_holm"))
    assert f"Holm over 6 pairs {adjusted}" in english
    assert f"6쌍에 대한 Holm 보정 p {adjusted}" in korean
    for text in (english, korean):
        assert re.search(rf"p (= )?{p}", text)


def test_a_single_pair_needs_no_adjustment(weak, strong):
    comparison = compare_runs([weak, strong])
    assert "Holm" not in comparison.verdict
    assert "p (Holm)" not in comparison.to_markdown().split("###")[1]


def test_the_better_one_is_named_first(weak, strong):
    comparison = compare_runs([weak, strong])
    english = r"“strong” is better than “weak” by 60\.\d points of test accuracy \(95% interval 5\d\.\d to 6\d\.\d; exact McNemar test, p < 0\.001; smallest detectable difference [\d.]+ points\)\."
    for pair in (("weak", "strong"), ("strong", "weak")):
        assert re.match(english, comparison.sentence(*pair))
    assert comparison.sentence(language="ko").startswith("“strong” 모델이 “weak” 모델보다 테스트 정확도가 60.")


def test_a_difference_that_cannot_be_found_is_said(made):
    truth = np.arange(1000)
    few = [
        replace(run, test_labels=run.test_labels[:6], test_probabilities=run.test_probabilities[:6])
        for run in (made("A", truth < 5), made("B", truth != 3))
    ]
    comparison = compare_runs(few)
    assert "larger than these accuracies leave room for" in comparison.verdict
    assert "none possible" in comparison.to_markdown()
    assert "검출 불가" in comparison.to_markdown("ko")


def test_one_run_against_several_says_what_it_is_about(made, rng):
    several = [made("several", rng.random(1000) < 0.8, seed=seed) for seed in range(3)]
    comparison = compare_runs([made("single", rng.random(1000) < 0.9), *several])
    scope = comparison.verdict.splitlines()[-1]
    assert scope.startswith(
        "“single” was trained once, so this is about that one trained model against the 3 of “several”"
    )
    assert re.search(
        r"the difference is \+\d+\.\d to \+\d+\.\d points \(p [<=] [\d.]+\), against its next training ", scope
    )
    assert "“single” 모델은 한 번만 학습했으므로" in comparison.sentence(language="ko")


@pytest.mark.parametrize("share", [0.9, 0.6], ids=["better", "worse"])
@pytest.mark.parametrize("baseline", ["single", "several"])
def test_one_run_against_several_has_one_sign_in_all_sentences(made, rng, share, baseline):
    several = [made("several", rng.random(1000) < 0.8, seed=seed) for seed in range(3)]
    comparison = compare_runs([made("single", rng.random(1000) < share), *several], baseline=baseline)
    ends = r"\+\d+\.\d to \+\d+\.\d"
    pattern = (
        rf"is better than .* Against the mean of that recipe the difference is {ends} points .*next training {ends} "
    )
    for text in (
        comparison.verdict,
        comparison.sentence("single", "several"),
        comparison.sentence("several", "single"),
    ):
        assert re.search(pattern, text, re.DOTALL)


def test_seeds_say_that_recipes_are_compared(made, rng):
    runs = [
        made(name, rng.random(1000) < share, seed=seed) for name, share in (("A", 0.7), ("B", 0.9)) for seed in range(3)
    ]
    assert compare_runs(runs).verdict.endswith("it counts what other seeds and other test images would change.")


def test_what_bars_a_verdict_is_said_instead(weak, strong):
    barred = compare_runs([weak, replace(strong, selection="test")])
    assert barred.verdict.startswith("No verdict: Selected on test data: strong")
    assert barred.sentence(language="ko").startswith("결론 없음: 테스트 데이터로 고른 모델: strong")


def test_an_unknown_language_is_refused(comparison):
    for write in (comparison.to_markdown, comparison.to_latex, lambda code: comparison.sentence(language=code)):
        with pytest.raises(UnknownNameError, match="Known: en, ko"):
            write("de")
    with pytest.raises(UnknownNameError):
        comparison.to_html(language="de")
    with pytest.raises(UnknownNameError):
        comparison.plot(language="de")


def test_unknown_model_is_named_also_where_nothing_is_compared(weak):
    comparison = compare_runs([weak])
    assert "Only one model" in comparison.sentence("weak")
    with pytest.raises(UnknownNameError, match="nobody"):
        comparison.sentence("nobody")


def test_verdict_is_a_sentence_to_quote_whatever_the_order(weak, strong):
    for runs in ([weak, strong], [strong, weak]):
        verdict = compare_runs(runs).verdict
        assert verdict.startswith("“strong” is better than “weak” by 60.")
        assert "exact McNemar test, p < 0.001" in verdict
        assert "compares these trained models, not the recipes that made them" in verdict


def test_any_pair_can_be_quoted_in_both_languages_with_the_smallest_detectable_difference(weak, strong, make_run):
    third = make_run("third", 0.1)
    comparison = compare_runs([weak, strong, third], baseline="third")
    assert comparison.verdict == comparison.sentence()
    for pair in (("weak", "strong"), ("strong", "weak")):
        english, korean = (comparison.sentence(*pair, language=language) for language in ("en", "ko"))
        assert english.startswith("“strong” is better than “weak” by 60.")
        assert korean.startswith("“strong” 모델이 “weak” 모델보다 테스트 정확도가 60.")
        row = comparison.tests.set_index(["a", "b"]).loc[("strong", "weak")]
        assert f"smallest detectable difference {100 * row['detectable']:.1f} points)" in english
        assert f"검출 가능한 최소 차이 {100 * row['detectable']:.1f}%p)" in korean
    assert comparison.sentence("weak") == comparison.sentence("weak", "third")
    assert "결론 없음" in compare_runs([weak, replace(strong, selection="test")]).sentence(
        "weak", "strong", language="ko"
    )


def test_a_sentence_on_unknown_models_or_one_alone_is_refused(weak, strong):
    comparison = compare_runs([weak, strong])
    with pytest.raises(UnknownNameError, match="weka"):
        comparison.sentence("weka")
    with pytest.raises(UnknownNameError, match="language"):
        comparison.sentence(language="fr")
    with pytest.raises(InvalidInputError, match="'weak' is the baseline itself"):
        comparison.sentence("weak")
    with pytest.raises(InvalidInputError, match="two models"):
        comparison.sentence("strong", "strong")
    with pytest.raises(UnknownNameError, match="stong"):  # also where there is no verdict
        compare_runs([weak, replace(strong, selection="test")]).sentence("stong")
    assert compare_runs([weak]).sentence("weak") == compare_runs([weak]).verdict
    with pytest.raises(InvalidInputError, match="needs a name"):
        comparison.sentence(other="weak")


def test_equal_answers_are_practically_equal(strong):
    twin = replace(strong, name="twin", seed=1)
    comparison = compare_runs([strong, twin])
    assert comparison.tests["verdict"].tolist() == ["practically equal"]
    assert "practically equal (within ±0.5 points)" in comparison.verdict
    assert f"smallest detectable difference {100 * comparison.tests['detectable'][0]:.1f} points)" in comparison.verdict
    assert "Undecided" in compare_runs([strong, twin], margin=0.0001).verdict


def test_one_flipped_answer_is_undecided_with_the_detectable_difference(strong):
    probabilities = strong.test_probabilities.copy()
    probabilities[:5] = np.roll(probabilities[:5], 1, axis=1)
    other = replace(strong, name="other", key="other", test_probabilities=probabilities)
    comparison = compare_runs([strong, other])
    assert comparison.verdict.startswith("Undecided between “strong” and “other”")
    assert f"{100 * comparison.tests['detectable'][0]:.1f} points." in comparison.verdict
