"""The report as Markdown for a GitHub issue."""

import re
from collections.abc import Sequence

from transferkit.compare.results import Results
from transferkit.compare.summary import (
    describe_data,
    describe_environment,
    describe_training,
    describe_weights,
    list_banners,
    list_notes,
    write_title,
    write_verdict,
)
from transferkit.compare.table import format_cells
from transferkit.compare.texts import texts_in
from transferkit.compare.verdicts import format_pairs


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is: no markup, no HTML, no mention of a user, on one line.

    Examples
    --------
    >>> print(escape("a|b *c* <d>"))
    a\|b \*c\* \<d\>
    """
    one_line = " ".join(text.split())
    marked = re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", one_line.replace("&", "&amp;"))
    return marked.replace("@", "@<!-- -->")  # GitHub would notify the user of that name


def write_markdown(results: Results, language: str) -> str:
    """Return the report in Markdown."""
    texts = texts_in(language)
    runs = results.runs
    lines = [f"## {escape(write_title(results.models, language))}", ""]
    banners = list_banners(runs, language)
    for banner in banners:
        lines += ["> [!WARNING]", f"> {escape(banner)}", ""]
    if not banners:
        lines += [escape(write_verdict(results, language)), ""]
    lines += [*_table(format_cells(results.models, results.table, results.baseline, language)), ""]
    if len(results.tests):
        lines += [f"### {texts['section_pairs']}", "", *_table(format_pairs(results, language)), ""]
    lines += _section(texts["section_data"], describe_data(runs, language))
    lines += _section(
        texts["section_training"], [(model.name, describe_training(model, language)) for model in results.models]
    )
    lines += _section(
        texts["section_weights"], [(model.name, describe_weights(model.example, language)) for model in results.models]
    )
    lines += _section(texts["section_notes"], list_notes(results, language))
    environment = describe_environment(runs)
    if environment:
        lines += _section(texts["section_environment"], [", ".join(environment)])
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: list[list[str]]) -> list[str]:
    heading, *others = ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return [heading, "|---|" + "---:|" * (len(rows[0]) - 1), *others]


def _section(title: str, items: Sequence[str | tuple[str, str]]) -> list[str]:
    lines = [
        f"- {escape(item)}" if isinstance(item, str) else f"- **{escape(item[0])}**: {escape(item[1])}"
        for item in items
    ]
    return [f"### {title}", "", *lines, ""]
