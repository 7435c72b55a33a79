"""The tables of a comparison: one row a model, one row a pair."""

import math
from collections.abc import Callable
from typing import Any, Final

from transferkit.compare.comparison import ComparisonResults
from transferkit.compare.pair_tests import turn_pair
from transferkit.compare.table import CONDITIONS, RESULTS, SEEDS, differing_conditions
from transferkit.plots.style import STATUS
from transferkit.report.cells import (
    MISSING,
    format_difference,
    format_duration,
    format_p,
    format_percent,
    format_points,
    is_missing,
)
from transferkit.report.document import Table
from transferkit.report.vocabulary import COLUMNS, SELECTIONS, SHORT_VERDICTS
from transferkit.statistics.intervals import decimals_for
from transferkit.statistics.verdicts import Method
from transferkit.translation import Translator, mark


def write_table(results: ComparisonResults, say: Translator) -> Table:
    """Return one row a model; conditions in which all models agree are left out, and what concerns seeds if each has one."""
    models = results.models
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    seeds = SEEDS if results.has_seeds else ()
    columns = [RESULTS[0], *seeds, *RESULTS[1:], *differing_conditions([model.example for model in models])]
    if len(models) == 1:
        columns.remove("difference")
    frequent = results.most_frequent
    if frequent is not None:
        columns.insert(columns.index("f1_macro"), "balanced_accuracy")
    rows = [(say("Model"), *(say(COLUMNS[name]) for name in columns))]
    for model, row in zip(models, results.table.to_dict(orient="records"), strict=True):
        values = {str(name): value for name, value in row.items()}
        cells = [_format_cell(name, values, model.name == results.baseline, say, decimals) for name in columns]
        rows.append((model.name, *cells))
    if frequent is not None:
        values = {"accuracy": format_percent(frequent.accuracy, frequent.low, frequent.high, decimals)}
        values |= {name: f"{getattr(frequent, name):.4f}" for name in ("f1_macro", "balanced_accuracy")}
        name = say("always “{class_name}”, the most frequent class", class_name=frequent.name)
        rows.append((name, *(values.get(column, MISSING) for column in columns)))
    left_out = frozenset(place for place, model in enumerate(models) if model.status != "completed")
    return Table(tuple(rows), left_out=left_out)


def _format_cell(name: str, row: dict[str, Any], is_baseline: bool, say: Translator, decimals: int) -> str:
    if name == "accuracy":
        if row["status"] != "completed":
            return say("not comparable: {reason}", reason=say(STATUS[row["status"]]))
        return format_percent(row[name], row["accuracy_low"], row["accuracy_high"], decimals)
    if name == "seeds":
        return write_seeds(row["seeds"], row["seeds"] + row["unfinished"], say)
    if name == "seed_interval":
        low, high = 100 * row["seed_low"], 100 * row["seed_high"]
        return MISSING if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"
    value = row[name]
    if name == "difference" and is_baseline:
        return say("baseline")
    if name == "augment":
        return str(value) or say("none")
    if name == "labels_per_class" and is_missing(value):
        return say("all")
    return MISSING if is_missing(value) else _FORMATS[name](value, say, decimals)


def write_seeds(completed: int, total: int, say: Translator) -> str:
    """Return how many seeds finished, and of how many where some did not."""
    return str(completed) if completed == total else say("{seeds} of {total}", seeds=completed, total=total)


_Format = Callable[[Any, Translator, int], str]
_COUNT: Final[_Format] = lambda value, *_: f"{int(value):,}"
_FORMATS: Final[dict[str, _Format]] = dict.fromkeys(CONDITIONS, _COUNT) | {
    "accuracy_sd": lambda value, _, decimals: f"{100 * value:.{decimals}f}",
    "difference": lambda value, _, decimals: format_points(value, decimals),
    "loss": lambda value, *_: f"{value:.4f}",
    "f1_macro": lambda value, *_: f"{value:.4f}",
    "balanced_accuracy": lambda value, *_: f"{value:.4f}",
    "parameters": _COUNT,
    "trainable_parameters": _COUNT,
    "train_seconds": lambda value, say, _: format_duration(value, say),
    "images_per_second": lambda value, *_: f"{value:,.0f}",
    "overfit_gap": lambda value, _, decimals: format_points(value, decimals),
    "image_size": lambda value, *_: f"{int(value)} px",
    "selection": lambda value, say, _: say(SELECTIONS[value]),
}


def write_pairs(results: ComparisonResults, say: Translator) -> Table:
    """Return one row a pair."""
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    methods = set(results.tests["method"])
    columns = [name for name, (_, shown) in _PAIR_COLUMNS.items() if shown(methods)]
    if len(results.tests) == 1:
        columns.remove("p_holm")
    rows = [tuple(say(_PAIR_COLUMNS[name][0]) for name in columns)]
    for row in results.tests.to_dict(orient="records"):
        values = {str(key): value for key, value in row.items()}
        if values["a"] == results.baseline:
            values = turn_pair(values)
        cells = _format_pair(values, say, decimals)
        rows.append(tuple(cells[name] for name in columns))
    return Table(tuple(rows), title=say("Differences between models"))


def _format_detectable(detectable: float, decimals: int, say: Translator) -> str:
    return say("none possible") if math.isinf(detectable) else f"{100 * detectable:.{decimals}f}"


def _has_single(methods: set[str]) -> bool:
    return Method.MCNEMAR in methods


def _has_seeds(methods: set[str]) -> bool:
    return bool(methods & {Method.WELCH, Method.PAIRED_T})


_PAIR_COLUMNS: Final[dict[str, tuple[str, Callable[[set[str]], bool]]]] = {
    "pair": (mark("Pair"), bool),
    "difference": (mark("Difference (points, 95% interval)"), bool),
    "only": (mark("Only one is right (first / second)"), _has_single),
    "p": (mark("p"), bool),
    "p_holm": (mark("p (Holm)"), bool),
    "permutation": (mark("p (permutation, these test images)"), _has_seeds),
    "better": (mark("P(first beats second, these test images)"), _has_seeds),
    "detectable": (mark("Smallest detectable"), bool),
    "loss": (mark("Loss difference (95% interval)"), bool),
    "verdict": (mark("Verdict"), bool),
}
"""The columns, and by which methods among the pairs they are shown."""


def _format_pair(row: dict[str, Any], say: Translator, decimals: int) -> dict[str, str]:
    loss = f"{row['loss_difference']:+.4f}"
    if not math.isnan(row["loss_low"]):
        loss += f" [{row['loss_low']:+.4f}, {row['loss_high']:+.4f}]"
    cells = {
        "pair": f"{row['a']} − {row['b']}",
        "difference": format_difference(row["difference"], row["difference_low"], row["difference_high"], decimals),
        "p": format_p(row["p"]),
        "p_holm": format_p(row["p_holm"]),
        "detectable": _format_detectable(row["detectable"], decimals, say),
        "loss": loss.replace("-", "−"),
        "verdict": say(SHORT_VERDICTS[row["verdict"]], a=row["a"], b=row["b"]),
    }
    if row["method"] == Method.MCNEMAR:
        return cells | {
            "only": f"{row['only_a']:,.0f} / {row['only_b']:,.0f}",
            "permutation": MISSING,
            "better": MISSING,
        }
    permutation, better = MISSING, MISSING
    if not math.isnan(row.get("better", math.nan)):
        permutation = say("too few seeds") if math.isnan(row["p_permutation"]) else format_p(row["p_permutation"])
        better = f"{row['better']:.2f} [{row['better_low']:.2f}, {row['better_high']:.2f}]"
    return cells | {"only": MISSING, "permutation": permutation, "better": better}
