"""What can be said of two models, in one sentence from a fixed vocabulary, and what bars it."""

from typing import Any

from transferkit.compare.comparison import ComparisonResults
from transferkit.compare.fairness import selected_on_test, trained_on_test
from transferkit.compare.pair_tests import find_pair, turn_pair
from transferkit.report.cells import format_points, write_p
from transferkit.report.vocabulary import METHODS, SCOPES
from transferkit.statistics.intervals import decimals_for
from transferkit.statistics.verdicts import Verdict
from transferkit.translation import Translator


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


def write_verdict(results: ComparisonResults, say: Translator) -> str:
    """Return what can be said of the most accurate model against the baseline, and what cannot.

    Where the baseline itself is the most accurate, the runner-up takes its place.
    """
    if banners := list_banners(results, say):
        return say("No verdict: {reason}", reason=banners[0])
    completed = [model for model in results.models if model.completed]
    if not completed:
        return say("No run finished, so nothing is compared.")
    if len(completed) == 1:
        return say("Only one model has finished runs, so nothing is compared.")
    best, other = results.leading
    return write_pair_verdict(results, best.name, other.name, say)


def write_pair_verdict(results: ComparisonResults, name: str, other: str, say: Translator) -> str:
    """Return what can be said of two models with completed runs, and what the sentence is about."""
    pair = find_pair(results, name, other)
    return f"{_write_pair(pair, results, say)} {say(SCOPES[pair['method']])}"


def _write_pair(row: dict[str, Any], results: ComparisonResults, say: Translator) -> str:
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    if row["verdict"] == Verdict.B_BETTER:
        row = turn_pair(row)
    facts = {
        "a": row["a"],
        "b": row["b"],
        "points": format_points(row["difference"], decimals),
        "low": format_points(row["difference_low"], decimals),
        "high": format_points(row["difference_high"], decimals),
        "detectable": f"{100 * row['detectable']:.{decimals}f}",
        "margin": f"{100 * results.margin:g}",
    }
    test = {"test": say(METHODS[row["method"]]), "p": write_p(row["p_holm"])}
    if row["verdict"] == Verdict.A_BETTER:
        return say(
            "“{a}” is better than “{b}”: {points} points of test accuracy (95% interval {low} to {high}; {test}, p {p}; "
            "smallest detectable difference {detectable} points).",
            **facts,
            **test,
        )
    if row["verdict"] == Verdict.EQUAL:
        return say(
            "“{a}” and “{b}” are practically equal (within ±{margin} points): {points} points of test accuracy (95% "
            "interval {low} to {high}; smallest detectable difference {detectable} points).",
            **facts,
        )
    return say(
        "Undecided between “{a}” and “{b}”: {points} points of test accuracy (95% interval {low} to {high}; {test}, p {p}). "
        "Smallest detectable difference: {detectable} points.",
        **facts,
        **test,
    )
