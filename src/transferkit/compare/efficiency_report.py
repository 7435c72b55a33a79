"""What a label-efficiency curve says, in sentences from a fixed vocabulary and as a table."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transferkit.compare.markdown_report import escape
from transferkit.compare.table import align_text, format_points
from transferkit.compare.texts import texts_in
from transferkit.runs.spread import decimals_for

if TYPE_CHECKING:
    from transferkit.compare.efficiency import EfficiencyCurve


def write_verdict(curve: "EfficiencyCurve", language: str) -> str:
    """Return one line an arm: where it beats the baseline, where the baseline beats it, and what is open."""
    texts = texts_in(language)
    decimals = decimals_for(curve.test_size)
    lines = []
    for arm, rows in _by_arm(curve).items():
        tested = [int(row["labels_per_class"]) for row in rows]
        sentences = []
        for verdict in ("better", "worse", "practically equal", "undecided", "too few seeds"):
            found = [row for row in rows if row["verdict"] == verdict]
            if found:
                budgets = _name_budgets([int(row["labels_per_class"]) for row in found], tested, texts)
                details = "; ".join(_detail(row, verdict, texts, decimals) for row in found)
                sentences.append(
                    texts[f"efficiency_{verdict}"].format(
                        arm=arm,
                        baseline=curve.baseline,
                        budgets=budgets,
                        details=details,
                        margin=f"{100 * curve.margin:g}",
                    )
                )
        lines.append(" ".join(sentences))
    return "\n".join(lines) or texts["efficiency_nothing"].format(baseline=curve.baseline)


def _by_arm(curve: "EfficiencyCurve") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in curve.differences.to_dict(orient="records"):
        found.setdefault(str(row["arm"]), []).append({str(key): value for key, value in row.items()})
    return found


def _name_budgets(budgets: Sequence[int], tested: Sequence[int], texts: dict[str, str]) -> str:
    if len(tested) > 1 and len(budgets) == len(tested):
        return texts["budgets_all"].format(low=min(tested), high=max(tested))
    if len(budgets) > 1 and list(budgets) == list(tested[: len(budgets)]):
        return texts["budgets_below"].format(count=max(budgets))
    if len(budgets) > 1 and list(budgets) == list(tested[-len(budgets) :]):
        return texts["budgets_above"].format(count=min(budgets))
    return texts["budgets_list"].format(budgets=", ".join(f"{budget:,}" for budget in budgets))


def _detail(row: dict[str, Any], verdict: str, texts: dict[str, str], decimals: int) -> str:
    key = "budget_detectable" if verdict == "undecided" else "budget_difference"
    if verdict == "too few seeds":
        key = "budget_alone"
    sign = -1 if verdict == "worse" else 1
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return texts[key].format(
        count=int(row["labels_per_class"]),
        points=_points(sign * row["difference"], decimals),
        low=_points(low, decimals),
        high=_points(high, decimals),
        detectable=f"{100 * row['detectable']:.{decimals}f}",
    )


def _points(value: float, decimals: int) -> str:
    return "–" if math.isnan(value) else format_points(value, decimals)


def format_cells(curve: "EfficiencyCurve", language: str) -> list[list[str]]:
    """Return the printed table: the heading, then one row for each arm and budget."""
    texts = texts_in(language)
    decimals = decimals_for(curve.test_size)
    columns = ("arm", "labels", "seeds", "accuracy", "sd", "difference", "p", "verdict")
    rows = [[texts[f"efficiency_column_{name}"] for name in columns]]
    tests = {(arm, int(row["labels_per_class"])): row for arm, rows_ in _by_arm(curve).items() for row in rows_}
    for row in curve.table.to_dict(orient="records"):
        test = tests.get((str(row["arm"]), int(row["labels_per_class"])))
        seeds = texts["seeds_of"].format(seeds=row["seeds"], total=row["runs"])
        rows.append(
            [
                str(row["arm"]),
                f"{row['labels_per_class']:,}",
                str(row["seeds"]) if row["seeds"] == row["runs"] else seeds,
                _percent(row, decimals),
                "–" if math.isnan(row["sd"]) else f"{100 * row['sd']:.{decimals}f}",
                *_format_test(test, row["arm"] == curve.baseline, texts, decimals),
            ]
        )
    return rows


def _percent(row: dict[Any, Any], decimals: int) -> str:
    if math.isnan(row["accuracy"]):
        return "–"
    value = f"{row['accuracy']:.{decimals}%}"
    if math.isnan(row["low"]):
        return value
    return f"{value} [{100 * row['low']:.{decimals}f}, {100 * row['high']:.{decimals}f}]"


def _format_test(test: dict[str, Any] | None, is_baseline: bool, texts: dict[str, str], decimals: int) -> list[str]:
    if test is None:
        return [texts["baseline"] if is_baseline else "–", "–", "–"]
    difference = _points(test["difference"], decimals)
    if not math.isnan(test["low"]):
        difference += f" [{_points(test['low'], decimals)}, {_points(test['high'], decimals)}]"
    p = "–" if math.isnan(test["p_holm"]) else "< 0.001" if test["p_holm"] < 0.001 else f"{test['p_holm']:.3f}"
    return [difference, p, texts[f"efficiency_short_{test['verdict']}"]]


def write_markdown(curve: "EfficiencyCurve", language: str) -> str:
    """Return the verdict, the table, the areas and how to read them."""
    texts = texts_in(language)
    heading, *rows = format_cells(curve, language)
    table = [_line(heading), "|---|" + "---:|" * (len(heading) - 1), *map(_line, rows)]
    verdict = "\n\n".join(f"**{escape(line)}**" for line in write_verdict(curve, language).splitlines())
    areas = [
        texts["efficiency_area"].format(
            arm=row["arm"], area=_percent(row | {"accuracy": row["area"]}, decimals_for(curve.test_size))
        )
        for row in curve.areas.to_dict(orient="records")
        if not math.isnan(row["area"])
    ]
    note = texts["efficiency_note"].format(margin=f"{100 * curve.margin:g}")
    notes = [f"- {escape(line)}" for line in [*areas, note]]
    return "\n".join([verdict, "", *table, "", *notes]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escape, cells))} |"


def write_text(curve: "EfficiencyCurve") -> str:
    """Return the verdict and the table as plain text, in English."""
    return f"{align_text(format_cells(curve, 'en'))}\n\n{curve.verdict}".replace("−", "-")
