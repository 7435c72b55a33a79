"""A document as Markdown for a GitHub issue."""

import re

from transferkit.report.document import Document, Section, Table


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


def write_markdown(document: Document) -> str:
    """Return the document in Markdown."""
    blocks = [f"## {escape(document.title)}"] if document.title else []
    blocks += [f"> [!WARNING]\n> {escape(banner)}" for banner in document.banners]
    blocks += [escape(verdict) for verdict in document.verdicts]
    for table in document.tables:
        blocks += [f"### {escape(table.title)}"] if table.title else []
        blocks.append(_table(table))
    for section in document.sections:
        blocks += [f"### {escape(section.title)}"] if section.title else []
        blocks.append(_list(section))
    return "\n\n".join(blocks) + "\n"


def _table(table: Table) -> str:
    heading, *others = ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]
    return "\n".join([heading, "|---|" + "---:|" * (len(table.rows[0]) - 1), *others])


def _list(section: Section) -> str:
    return "\n".join(
        f"- {escape(item)}" if isinstance(item, str) else f"- **{escape(item[0])}**: {escape(item[1])}"
        for item in section.items
    )
