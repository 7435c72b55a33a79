"""What the tests of a pair say, in one sentence from a fixed vocabulary."""

import math
from collections.abc import Callable
from typing import Any, Final

from transferkit.compare.results import Results
from transferkit.compare.table import format_points
from transferkit.compare.texts import texts_in
from transferkit.runs.spread import decimals_for

_ALL_PAIRS: Final = 10  # of five models; with more, a report shows the pairs with the baseline


def find_pair(results: Results, name: str, other: str) -> dict[str, Any]:
    """Return the tests of two runs, turned round if need be so that `name` is ``a``."""
    tests = results.tests
    for a, b, sign in ((name, other, 1), (other, name, -1)):
        found = tests[(tests["a"] == a) & (tests["b"] == b)]
        if len(found):
            row = {str(key): value for key, value in found.iloc[0].to_dict().items()}
            return row if sign == 1 else _turned(row)
    raise KeyError(f"{name!r} and {other!r} were not tested against each other")


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    turned = row | {"a": row["b"], "b": row["a"], "only_a": row["only_b"], "only_b": row["only_a"]}
    for stem in ("difference", "loss", "brier", "f1_macro"):
        name = stem if stem == "difference" else f"{stem}_difference"
        turned |= {name: -row[name], f"{stem}_low": -row[f"{stem}_high"], f"{stem}_high": -row[f"{stem}_low"]}
    if "better" in row:
        turned |= {"seed_low": -row["seed_high"], "seed_high": -row["seed_low"]}
        turned |= {
            "better": 1 - row["better"],
            "better_low": 1 - row["better_high"],
            "better_high": 1 - row["better_low"],
        }
    opposite = {"a better": "b better", "b better": "a better"}
    return turned | {"verdict": opposite.get(row["verdict"], row["verdict"])}


def write_pair(row: dict[str, Any], results: Results, language: str, decimals: int) -> str:
    """Return the verdict on a pair as a sentence that can be quoted."""
    texts = texts_in(language)
    if row["verdict"] == "b better":
        row = _turned(row)
    key = {"a better": "better", "practically equal": "equal", "undecided": "undecided"}[row["verdict"]]
    return texts[f"verdict_{key}"].format(
        a=row["a"],
        b=row["b"],
        points=format_points(row["difference"], decimals),
        low=format_points(row["difference_low"], decimals),
        high=format_points(row["difference_high"], decimals),
        test=texts[f"test_{row['method']}"],
        p=_format_p(row["p_holm"]),
        detectable=f"{100 * row['detectable']:.{decimals}f}",
        margin=f"{100 * results.margin:g}",
    )


def write_scope(row: dict[str, Any], language: str) -> str:
    """Return what a verdict of this method is about."""
    scopes = {"mcnemar": "scope_models", "one run against seeds": "scope_one_run"}
    return texts_in(language)[scopes.get(row["method"], "scope_recipes")]


def _format_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def format_pairs(results: Results, language: str) -> list[list[str]]:
    """Return the printed tests: the heading, then one row a pair; only those with the baseline where there are many."""
    texts = texts_in(language)
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    methods = set(results.tests["method"])
    columns = [name for name, shown in _COLUMNS.items() if shown(methods)]
    rows = [[texts[f"pair_{name}"] for name in columns]]
    for row in results.tests.to_dict(orient="records"):
        values = {str(key): value for key, value in row.items()}
        if len(results.tests) > _ALL_PAIRS and results.baseline not in (values["a"], values["b"]):
            continue
        if values["a"] == results.baseline:
            values = _turned(values)
        cells = _format_row(values, texts, decimals)
        rows.append([cells[name] for name in columns])
    return rows


_COLUMNS: Final[dict[str, Callable[[set[str]], bool]]] = {
    "pair": bool,
    "difference": bool,
    "only": lambda methods: "mcnemar" in methods,
    "p": bool,
    "permutation": lambda methods: methods != {"mcnemar"},
    "better": lambda methods: methods != {"mcnemar"},
    "detectable": bool,
    "loss": bool,
    "verdict": bool,
}
"""The columns and by which methods among the pairs they are shown."""


def _format_row(row: dict[str, Any], texts: dict[str, str], decimals: int) -> dict[str, str]:
    low, high = (format_points(row[f"difference_{end}"], decimals) for end in ("low", "high"))
    loss = f"{row['loss_difference']:+.4f} [{row['loss_low']:+.4f}, {row['loss_high']:+.4f}]".replace("-", "−")
    key = {"a better": "short_a", "b better": "short_b", "practically equal": "short_equal"}.get(
        row["verdict"], "short_undecided"
    )
    cells = {
        "pair": texts["pair_names"].format(a=row["a"], b=row["b"]),
        "difference": f"{format_points(row['difference'], decimals)} [{low}, {high}]",
        "p": _format_p(row["p_holm"]).removeprefix("= "),
        "detectable": f"{100 * row['detectable']:.{decimals}f}",
        "loss": loss,
        "verdict": texts[key].format(a=row["a"], b=row["b"]),
    }
    if row["method"] == "mcnemar":
        return cells | {"only": f"{row['only_a']:,.0f} / {row['only_b']:,.0f}", "permutation": "–", "better": "–"}
    permutation = row["p_permutation"]
    better = f"{row['better']:.2f} [{row['better_low']:.2f}, {row['better_high']:.2f}]"
    few = texts["too_few_seeds"] if math.isnan(permutation) else _format_p(permutation).removeprefix("= ")
    return cells | {"only": "–", "permutation": few, "better": better}
