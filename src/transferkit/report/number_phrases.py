"""The numbers of a test, as parts of a sentence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transferkit.compare.comparison import ComparisonResults
from transferkit.report.cells import format_p, format_points, format_size
from transferkit.report.vocabulary import METHODS
from transferkit.statistics.intervals import decimals_for
from transferkit.translation import Translator


def write_numbers(row: Mapping[str, Any], results: ComparisonResults, say: Translator) -> dict[str, str]:
    """Return what a sentence on a pair may quote: difference, interval, test with p, smallest detectable difference, margin."""
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    return {
        "points": format_points(row["difference"], decimals),
        "low": format_points(row["difference_low"], decimals),
        "high": format_points(row["difference_high"], decimals),
        "size": format_size(row["difference"], decimals),
        "size_low": format_size(row["difference_low"], decimals),
        "size_high": format_size(row["difference_high"], decimals),
        "test": f"{say(METHODS[row['method']])}, {write_p(row, len(results.tests), say)}",
        "detectable": write_detectable(row["detectable"], decimals, say),
        "margin": f"{100 * results.margin:g}",
    }


def write_p(row: Mapping[str, Any], tests: int, say: Translator) -> str:
    """Return the p value of a test, and beside it the one that counts all tests that were made.

    Examples
    --------
    >>> write_p({"p": 0.0156, "p_holm": 0.141}, 78, Translator("en"))
    'p = 0.016, Holm over 78 pairs 0.141'
    """
    p = format_p(row["p"])
    p = p if p.startswith("<") else f"= {p}"
    if tests < 2:
        return f"p {p}"
    return say("p {p}, Holm over {count} pairs {adjusted}", p=p, count=tests, adjusted=format_p(row["p_holm"]))


def join_words(words: Sequence[str], say: Translator) -> str:
    """Return a list within a sentence.

    Examples
    --------
    >>> join_words(["epochs", "batch size", "learning rate"], Translator("en"))
    'epochs, batch size and learning rate'
    """
    if len(words) < 2:
        return "".join(words)
    return say("{words} and {last}", words=", ".join(words[:-1]), last=words[-1])


def write_detectable(detectable: float, decimals: int, say: Translator) -> str:
    """Return the smallest detectable difference, or that none could be so large."""
    if math.isinf(detectable):
        return say("larger than these accuracies leave room for")
    return say("{points} points", points=f"{100 * detectable:.{decimals}f}")
