"""What a label-efficiency curve says, as a document: a sentence an arm from a fixed vocabulary, and a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from transferkit.compare.label_curve import LabelCurve
from transferkit.compare.transfer import TransferQuestion
from transferkit.plots.efficiency import METRIC_NAMES
from transferkit.report.cells import MISSING, format_p, format_points
from transferkit.report.comparison_tables import write_seeds
from transferkit.report.document import Document, Section, Table
from transferkit.report.number_phrases import write_detectable, write_p
from transferkit.report.vocabulary import SHORT_VERDICTS
from transferkit.statistics.image_scores import Metric
from transferkit.statistics.intervals import decimals_for
from transferkit.statistics.verdicts import Verdict
from transferkit.translation import Translator, mark

_Row = Mapping[str, Any]

_TRANSFER: Final[dict[str, str]] = {
    Verdict.BETTER: mark(
        "Transfer helped at {budgets}: “{arm}” is better than the same network from scratch, “{baseline}” ({details})."
    ),
    Verdict.WORSE: mark(
        "Transfer did not help at {budgets}: “{arm}” is worse than the same network from scratch, “{baseline}” ({details})."
    ),
    Verdict.EQUAL: mark(
        "Transfer made practically no difference (within ±{margin} points) at {budgets}: “{arm}” against the same network from "
        "scratch, “{baseline}” ({details})."
    ),
    Verdict.UNDECIDED: mark(
        "Whether transfer helped is undecided at {budgets}: “{arm}” against the same network from scratch, “{baseline}” "
        "({details})."
    ),
    Verdict.TOO_FEW_SEEDS: mark(
        "Whether transfer helped cannot be said at {budgets}: “{arm}” against the same network from scratch, “{baseline}”, has "
        "fewer than two seeds, so no interval ({details})."
    ),
}
"""Where an arm and the baseline are one architecture, pretrained and from scratch."""

_SENTENCES: Final[dict[str, str]] = {
    Verdict.BETTER: mark("“{arm}” is better than “{baseline}” at {budgets} ({details})."),
    Verdict.WORSE: mark("“{baseline}” is better than “{arm}” at {budgets} ({details})."),
    Verdict.EQUAL: mark(
        "“{arm}” and “{baseline}” are practically equal (within ±{margin} points) at {budgets} ({details})."
    ),
    Verdict.UNDECIDED: mark("Undecided between “{arm}” and “{baseline}” at {budgets} ({details})."),
    Verdict.TOO_FEW_SEEDS: mark(
        "No verdict on “{arm}” and “{baseline}” at {budgets}: fewer than two seeds, so no interval ({details})."
    ),
}
"""In the order in which they are told."""


class _Numbers:
    """Writes the values of a curve: accuracies in percent and points, all else as it is."""

    def __init__(self, curve: LabelCurve, say: Translator) -> None:
        self._say = say
        self._percent = curve.metric == Metric.ACCURACY
        self._decimals = decimals_for(curve.test_size) if self._percent else 4

    def value(self, value: float) -> str:
        return f"{value:.{self._decimals}%}" if self._percent else f"{value:.{self._decimals}f}"

    def estimate(self, row: _Row, name: str) -> str:
        """Return a value with its interval, if it has one."""
        if math.isnan(row[name]):
            return MISSING
        ends = [(100 if self._percent else 1) * row[end] for end in ("low", "high")]
        return self.value(row[name]) + (
            "" if math.isnan(ends[0]) else " [{:.{n}f}, {:.{n}f}]".format(*ends, n=self._decimals)
        )

    def deviation(self, value: float) -> str:
        return MISSING if math.isnan(value) else f"{(100 if self._percent else 1) * value:.{self._decimals}f}"

    def signed(self, value: float) -> str:
        return format_points(value if self._percent else value / 100, self._decimals)

    def difference(self, value: float) -> str:
        """Return a difference with its unit."""
        return self._say("{points} points", points=self.signed(value)) if self._percent else self.signed(value)

    def detectable(self, value: float) -> str:
        if self._percent or not math.isfinite(value):
            return write_detectable(value, self._decimals, self._say)
        return self.deviation(value)


def write_document(curve: LabelCurve, say: Translator) -> Document:
    """Return the verdicts, the table, the areas and how to read them."""
    numbers = _Numbers(curve, say)
    areas = [
        say(
            "“{arm}”: mean along its curve {area} (area over the logarithm of the number of labels).",
            arm=row["arm"],
            area=numbers.estimate({str(key): value for key, value in row.items()}, "area"),
        )
        for row in curve.areas.to_dict(orient="records")
        if not math.isnan(row["area"])
    ]
    notes = [
        say(
            "The 95% intervals count what other seeds, with their other subsets of labels, would change (Student's t; paired where "
            "the arms share each seed's subset) and what other test images would (Howe 1974). A 95% interval is that of its "
            "difference alone."
        ),
        say(
            "“Better” needs p below 0.05, adjusted for all {tests} differences in the table (Holm 1979); “practically equal” needs "
            "an adjusted test that the difference is within ±{margin} points; all else is undecided. A verdict speaks of the "
            "numbers of labels tried, and of no others.",
            tests=_count_tests(curve),
            margin=f"{100 * curve.margin:g}",
        ),
    ]
    if (curve.table["seeds"] == 2).any():
        notes.append(
            say(
                "Two seeds say next to nothing of how much seeds vary, so intervals are wide and little is found; train with more."
            )
        )
    title = say("{metric} by the number of labels per class", metric=say(METRIC_NAMES[curve.metric]))
    tables = (_write_table(curve, numbers, say),)
    return Document(say.language, title, (), tuple(list_verdicts(curve, say)), tables, (Section("", (*areas, *notes)),))


def _count_tests(curve: LabelCurve) -> int:
    return int(curve.differences["p"].notna().sum())


def list_verdicts(curve: LabelCurve, say: Translator) -> list[str]:
    """Return one line an arm: where it beats the baseline, where the baseline beats it, and what is open."""
    of_transfer = {
        effect.a
        for effect in curve.transfer_effects
        if effect.kind is TransferQuestion.PRETRAINING and effect.b == curve.baseline
    }
    arms = _by_arm(curve)
    lines = [_write_arm(arm, arms[arm], curve, say, transfer=arm in of_transfer) for arm in arms]
    return lines or [
        say("Nothing to compare: no arm shares a number of labels with “{baseline}”.", baseline=curve.baseline)
    ]


def _by_arm(curve: LabelCurve) -> dict[str, list[_Row]]:
    found: dict[str, list[_Row]] = {}
    for row in curve.differences.to_dict(orient="records"):
        found.setdefault(str(row["arm"]), []).append({str(key): value for key, value in row.items()})
    return found


def _write_arm(arm: str, rows: Sequence[_Row], curve: LabelCurve, say: Translator, *, transfer: bool) -> str:
    tested = [int(row["labels_per_class"]) for row in rows]
    sentences = []
    for verdict, sentence in (_TRANSFER if transfer else _SENTENCES).items():
        found = [row for row in rows if row["verdict"] == verdict]
        if found:
            budgets = _name_budgets([int(row["labels_per_class"]) for row in found], tested, say)
            details = "; ".join(
                _write_detail(row, curve, say, turned=verdict == Verdict.WORSE and not transfer) for row in found
            )
            margin = f"{100 * curve.margin:g}"
            sentences.append(
                say(sentence, arm=arm, baseline=curve.baseline, budgets=budgets, details=details, margin=margin)
            )
    return " ".join(sentences)


def _name_budgets(budgets: Sequence[int], tested: Sequence[int], say: Translator) -> str:
    if len(tested) > 1 and len(budgets) == len(tested):
        return say("every number of labels per class tried, {low:,} to {high:,}", low=min(tested), high=max(tested))
    if len(budgets) > 1 and list(budgets) == list(tested[: len(budgets)]):
        return say("{count:,} labels per class and below", count=max(budgets))
    if len(budgets) > 1 and list(budgets) == list(tested[-len(budgets) :]):
        return say("{count:,} labels per class and above", count=min(budgets))
    return say("{budgets} labels per class", budgets=", ".join(f"{budget:,}" for budget in budgets))


def _write_detail(row: _Row, curve: LabelCurve, say: Translator, *, turned: bool) -> str:
    """Return what a budget says, for the arm or, turned, for the baseline."""
    numbers = _Numbers(curve, say)
    count, sign = int(row["labels_per_class"]), -1 if turned else 1
    difference = numbers.difference(sign * row["difference"])
    if row["verdict"] == Verdict.TOO_FEW_SEEDS:
        return say("{count:,}: {difference}", count=count, difference=difference)
    low, high = (numbers.signed(end) for end in sorted((sign * row["low"], sign * row["high"])))
    facts = {"count": count, "difference": difference, "low": low, "high": high}
    if row["verdict"] == Verdict.UNDECIDED:
        detectable = numbers.detectable(row["detectable"])
        return say("{count:,}: {difference}, {low} to {high}, detectable {detectable}", detectable=detectable, **facts)
    return say("{count:,}: {difference}, {low} to {high}, {p}", p=write_p(row, _count_tests(curve), say), **facts)


def _write_table(curve: LabelCurve, numbers: _Numbers, say: Translator) -> Table:
    tests = {(arm, int(row["labels_per_class"])): row for arm, rows in _by_arm(curve).items() for row in rows}
    percent = curve.metric == Metric.ACCURACY
    heading = (
        say("Arm"),
        say("Labels per class"),
        say("Seeds"),
        say("{metric} (95% interval)", metric=say(METRIC_NAMES[curve.metric])),
        say("SD over seeds (points)") if percent else say("SD over seeds"),
        say("Minus baseline (points, 95% interval)") if percent else say("Minus baseline (95% interval)"),
        say("p"),
        say("p (Holm)"),
        say("Verdict"),
    )
    rows = [heading]
    for row in curve.table.to_dict(orient="records"):
        test = tests.get((str(row["arm"]), int(row["labels_per_class"])))
        rows.append(
            (
                str(row["arm"]),
                f"{row['labels_per_class']:,}",
                write_seeds(row["seeds"], row["runs"], say),
                numbers.estimate({str(key): value for key, value in row.items()}, curve.metric),
                numbers.deviation(row["sd"]),
                *_format_test(test, row["arm"] == curve.baseline, numbers, say),
            )
        )
    return Table(tuple(rows))


def _format_test(test: _Row | None, is_baseline: bool, numbers: _Numbers, say: Translator) -> tuple[str, str, str, str]:
    if test is None:
        return say("baseline") if is_baseline else MISSING, MISSING, MISSING, MISSING
    ends = "" if math.isnan(test["low"]) else f" [{numbers.signed(test['low'])}, {numbers.signed(test['high'])}]"
    verdict = say(SHORT_VERDICTS[test["verdict"]], a=test["arm"], b="")
    return numbers.signed(test["difference"]) + ends, format_p(test["p"]), format_p(test["p_holm"]), verdict
