"""What can be said of two models, in one sentence from a fixed vocabulary, and what bars it."""

import math
from collections.abc import Mapping
from typing import Any, Final

from transferkit.compare.comparison import ComparisonResults
from transferkit.compare.fairness import selected_on_test, trained_on_test
from transferkit.compare.pair_tests import find_pair, turn_pair
from transferkit.report.cells import format_points
from transferkit.report.number_phrases import write_numbers, write_p
from transferkit.report.transfer_sentences import choose_effects, write_effect
from transferkit.statistics.conventions import LEVEL
from transferkit.statistics.intervals import decimals_for
from transferkit.statistics.verdicts import Method, Scope, Verdict
from transferkit.translation import Translator, mark

_SENTENCES: Final[dict[str, str]] = {
    Verdict.A_BETTER: mark(
        "“{a}” is better than “{b}” by {size} points of test accuracy (95% interval {size_low} to {size_high}; {test}; smallest "
        "detectable difference {detectable})."
    ),
    Verdict.EQUAL: mark(
        "“{a}” and “{b}” are practically equal (within ±{margin} points): {points} points of test accuracy (95% interval "
        "{low} to {high}; smallest detectable difference {detectable})."
    ),
    Verdict.UNDECIDED: mark(
        "Undecided between “{a}” and “{b}”: {points} points of test accuracy (95% interval {low} to {high}; {test}). Smallest "
        "detectable difference: {detectable}."
    ),
}


def list_banners(results: ComparisonResults, say: Translator) -> list[str]:
    """Return what bars a verdict: weights selected by, or trained on, the test images."""
    found = []
    if names := selected_on_test(results.runs):
        found.append(
            say(
                "Selected on test data: {names}. The weights of these runs were chosen by looking at the test images, so "
                "their test accuracy is too high by an unknown amount. There is no verdict.",
                names=", ".join(names),
            )
        )
    if names := trained_on_test(results.runs):
        found.append(say("Trained on the test images: {names}. There is no verdict.", names=", ".join(names)))
    return found


def list_verdicts(results: ComparisonResults, say: Translator) -> list[str]:
    """Return what can be said, and what cannot: whether transfer helped, and of the most accurate model.

    It is set against the baseline; where it is the baseline itself, against the runner-up.
    """
    if banners := list_banners(results, say):
        return [say("No verdict: {reason}", reason=banners[0])]
    completed = [model for model in results.models if model.completed]
    if not completed:
        return [say("No run finished, so nothing is compared.")]
    if len(completed) == 1:
        return [say("Only one model has finished runs, so nothing is compared.")]
    effects = choose_effects(results.transfer_effects)
    rows = [effect.test for effect in effects]
    sentences = [write_effect(effect, results, say) for effect in effects]
    best, other = (model.name for model in results.leading)
    if {best, other} not in [{row["a"], row["b"]} for row in rows]:
        rows.append(find_pair(results.tests, best, other))
        sentences.append(_write_pair(rows[-1], results, say))
    return [*sentences, *dict.fromkeys(_write_scope(row, results, say) for row in rows)]


def write_pair_verdict(results: ComparisonResults, name: str, other: str, say: Translator) -> str:
    """Return what can be said of two models with completed runs, and what the sentence is about."""
    pair = find_pair(results.tests, name, other)
    return f"{_write_pair(pair, results, say)} {_write_scope(pair, results, say)}"


def _write_pair(row: dict[str, Any], results: ComparisonResults, say: Translator) -> str:
    if row["verdict"] == Verdict.B_BETTER:
        row = turn_pair(row)
    return say(_SENTENCES[row["verdict"]], a=row["a"], b=row["b"], **write_numbers(row, results, say))


def _write_scope(row: Mapping[str, Any], results: ComparisonResults, say: Translator) -> str:
    """Return what a verdict is about."""
    if row["method"] == Method.ONE_AGAINST_SEVERAL:
        decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
        pair = [model for model in results.models if model.name in (row["a"], row["b"])]
        single, several = sorted(pair, key=lambda model: len(model.completed))
        row = turn_pair(dict(row)) if row["verdict"] == Verdict.B_BETTER else row  # as in the sentence before
        ends = {name: format_points(row[name], decimals) for name in ("mean_low", "mean_high", "next_low", "next_high")}
        return say(
            "“{single}” was trained once, so this is about that one trained model against the {count} of “{several}”, not about "
            "recipes. Against the mean of that recipe the difference is {mean_low} to {mean_high} points ({p}), against its next "
            "training {next_low} to {next_high} (95% intervals).",
            single=single.name,
            several=several.name,
            count=len(several.completed),
            p=write_p({"p": row["p_mean"], "p_holm": row["p_mean_holm"]}, len(results.tests), say),
            **ends,
        )
    if row["scope"] == Scope.MODELS:
        return say("This compares these trained models, not the recipes that made them.")
    if row["method"] == Method.CORRECTED_T:
        return say(
            "This compares the recipes over the folds of a cross-validation: it counts what other training and test images would "
            "change, as far as one data set can tell (Nadeau & Bengio 2003)."
        )
    if row["method"] == Method.MCNEMAR:
        return say(
            "There is no chance in these trainings, so one says all: this compares the recipes, on these training images."
        )
    scope = say("This compares the recipes: it counts what other seeds and other test images would change.")
    if row["verdict"] == Verdict.UNDECIDED and row.get("p_models_holm", math.nan) < LEVEL:
        at_hand = say("The trained models at hand do differ; whether others would, with other seeds, is open.")
        return f"{scope} {at_hand}"
    return scope
