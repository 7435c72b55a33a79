"""What a label-efficiency curve says, as a document: a sentence an arm from a fixed vocabulary, and a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from transferkit.compare.label_curve import LabelCurve
from transferkit.report.cells import MISSING, format_difference, format_p, format_percent, format_points
from transferkit.report.comparison_tables import write_seeds
from transferkit.report.document import Document, Section, Table
from transferkit.report.vocabulary import SHORT_VERDICTS
from transferkit.statistics.intervals import decimals_for
from transferkit.statistics.verdicts import Verdict
from transferkit.translation import Translator, mark

_ROW = Mapping[str, Any]

_SENTENCES: Final[dict[str, str]] = {
    Verdict.BETTER: mark("“{arm}” is better than “{baseline}” at {budgets} ({details})."),
    Verdict.WORSE: mark("“{baseline}” is better than “{arm}” at {budgets} ({details})."),
    Verdict.EQUAL: mark(
        "“{arm}” and “{baseline}” are practically equal (within ±{margin} points) at {budgets} ({details})."
    ),
    Verdict.UNDECIDED: mark(
        "Undecided between “{arm}” and “{baseline}” at {budgets} (smallest detectable difference: {details})."
    ),
    Verdict.TOO_FEW_SEEDS: mark(
        "No verdict on “{arm}” and “{baseline}” at {budgets}: fewer than two seeds, so no interval ({details})."
    ),
}
"""In the order in which they are told."""

_COLUMNS: Final = (
    mark("Arm"),
    mark("Labels per class"),
    mark("Seeds"),
    mark("Test accuracy (95% interval)"),
    mark("SD over seeds (points)"),
    mark("Minus baseline (points, 95% interval)"),
    mark("p (Holm)"),
    mark("Verdict"),
)


def write_document(curve: LabelCurve, say: Translator) -> Document:
    """Return the verdicts, the table, the areas and how to read them."""
    decimals = decimals_for(curve.test_size)
    areas = [
        say(
            "“{arm}”: mean accuracy along its curve {area} (area over the logarithm of the number of labels).",
            arm=row["arm"],
            area=format_percent(row["area"], row["low"], row["high"], decimals),
        )
        for row in curve.areas.to_dict(orient="records")
        if not math.isnan(row["area"])
    ]
    margin = f"{100 * curve.margin:g}"
    note = say(
        "The 95% intervals count what other seeds, with their other subsets of labels, and other test images would change "
        "(two-way random model, Student's t; paired where the arms share each seed's subset). “Better” needs p below 0.05, "
        "adjusted for all differences in the table (Holm 1979); “practically equal” needs the 90% interval of the difference "
        "within ±{margin} points; all else is undecided. A verdict speaks of the numbers of labels tried, and of no others.",
        margin=margin,
    )
    sections = (Section("", (*areas, note)),)
    return Document(say.language, "", (), tuple(list_verdicts(curve, say)), (_write_table(curve, say),), sections)


def list_verdicts(curve: LabelCurve, say: Translator) -> list[str]:
    """Return one line an arm: where it beats the baseline, where the baseline beats it, and what is open."""
    lines = [_write_arm(arm, rows, curve, say) for arm, rows in _by_arm(curve).items()]
    nothing = say("Nothing to compare: no arm shares a number of labels with “{baseline}”.", baseline=curve.baseline)
    return lines or [nothing]


def _by_arm(curve: LabelCurve) -> dict[str, list[_ROW]]:
    found: dict[str, list[_ROW]] = {}
    for row in curve.differences.to_dict(orient="records"):
        found.setdefault(str(row["arm"]), []).append({str(key): value for key, value in row.items()})
    return found


def _write_arm(arm: str, rows: Sequence[_ROW], curve: LabelCurve, say: Translator) -> str:
    tested = [int(row["labels_per_class"]) for row in rows]
    sentences = []
    for verdict, sentence in _SENTENCES.items():
        found = [row for row in rows if row["verdict"] == verdict]
        if found:
            budgets = _name_budgets([int(row["labels_per_class"]) for row in found], tested, say)
            details = "; ".join(_write_detail(row, say, decimals_for(curve.test_size)) for row in found)
            facts = {"arm": arm, "baseline": curve.baseline, "margin": f"{100 * curve.margin:g}"}
            sentences.append(say(sentence, budgets=budgets, details=details, **facts))
    return " ".join(sentences)


def _name_budgets(budgets: Sequence[int], tested: Sequence[int], say: Translator) -> str:
    if len(tested) > 1 and len(budgets) == len(tested):
        return say("every number of labels per class tried, {low:,} to {high:,}", low=min(tested), high=max(tested))
    if len(budgets) > 1 and list(budgets) == list(tested[: len(budgets)]):
        return say("{count:,} labels per class and below", count=max(budgets))
    if len(budgets) > 1 and list(budgets) == list(tested[-len(budgets) :]):
        return say("{count:,} labels per class and above", count=min(budgets))
    return say("{budgets} labels per class", budgets=", ".join(f"{budget:,}" for budget in budgets))


def _write_detail(row: _ROW, say: Translator, decimals: int) -> str:
    count, detectable = int(row["labels_per_class"]), f"{100 * row['detectable']:.{decimals}f}"
    if row["verdict"] == Verdict.UNDECIDED:
        return say("{count:,}: {detectable} points", count=count, detectable=detectable)
    sign = -1 if row["verdict"] == Verdict.WORSE else 1
    points = format_points(sign * row["difference"], decimals)
    if row["verdict"] == Verdict.TOO_FEW_SEEDS:
        return say("{count:,}: {points} points", count=count, points=points)
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return say(
        "{count:,}: {points} points, {low} to {high}, detectable {detectable} points",
        count=count,
        points=points,
        low=format_points(low, decimals),
        high=format_points(high, decimals),
        detectable=detectable,
    )


def _write_table(curve: LabelCurve, say: Translator) -> Table:
    decimals = decimals_for(curve.test_size)
    tests = {(arm, int(row["labels_per_class"])): row for arm, rows in _by_arm(curve).items() for row in rows}
    rows = [tuple(map(say, _COLUMNS))]
    for row in curve.table.to_dict(orient="records"):
        test = tests.get((str(row["arm"]), int(row["labels_per_class"])))
        rows.append(
            (
                str(row["arm"]),
                f"{row['labels_per_class']:,}",
                write_seeds(row["seeds"], row["runs"], say),
                format_percent(row["accuracy"], row["low"], row["high"], decimals),
                MISSING if math.isnan(row["sd"]) else f"{100 * row['sd']:.{decimals}f}",
                *_format_test(test, row["arm"] == curve.baseline, say, decimals),
            )
        )
    return Table(tuple(rows))


def _format_test(test: _ROW | None, is_baseline: bool, say: Translator, decimals: int) -> tuple[str, str, str]:
    if test is None:
        return say("baseline") if is_baseline else MISSING, MISSING, MISSING
    difference = format_difference(test["difference"], test["low"], test["high"], decimals)
    return difference, format_p(test["p_holm"]), say(SHORT_VERDICTS[test["verdict"]], a=test["arm"], b="")
