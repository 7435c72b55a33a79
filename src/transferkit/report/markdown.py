"""A document as Markdown for a GitHub issue."""

import re

from transferkit.progress import simplify
from transferkit.report.document import Document, Section, Table


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is: no markup, no HTML, no mention of a user or an issue, on one line.

    A sign is escaped only where it would mean something, so that the text reads well unrendered too.

    Examples
    --------
    >>> print(escape("a|b *c* <d>, p < 0.001 [1.2, 3.4]"))
    a\|b \*c\* \<d>, p < 0.001 [1.2, 3.4]
    """
    text = simplify(" ".join(text.split()))
    text = re.sub(r"[\\`*|$]", r"\\\g<0>", text)
    text = re.sub(r"<(?=[a-zA-Z/!?])", r"\\<", text)  # of a tag
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"~(?=\S)|(?<=\S)~", r"\\~", text)
    text = re.sub(r"[\[\]]", r"\\\g<0>", text) if re.search(r"\[(?![-+\d., %]*\](?![(\[:]))", text) else text
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    return re.sub(r"[@#](?=\w)", r"\g<0><!-- -->", text)  # GitHub would notify a user, or link an issue


def escape_line(text: str) -> str:
    r"""Return text that may stand at the start of a line, where more means something: no list, quotation, heading or rule.

    Examples
    --------
    >>> print(escape_line("1. a"))
    1\. a
    """
    text = re.sub(r"^(?=>|[-=+#](?!\d))", r"\\", escape(text))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)


def write_markdown(document: Document) -> str:
    """Return the document in Markdown."""
    blocks = [f"## {_heading(document.title)}"] if document.title else []
    blocks += [f"> [!WARNING]\n> {escape_line(banner)}" for banner in document.banners]
    blocks += [f"**{escape(verdict)}**" for verdict in document.verdicts[:1]]
    blocks += [escape_line(verdict) for verdict in document.verdicts[1:]]
    for table in document.tables:
        blocks += [f"### {_heading(table.title)}"] if table.title else []
        blocks.append(_table(table))
    for section in document.sections:
        blocks += [f"### {_heading(section.title)}"] if section.title else []
        blocks.append(_list(section))
    return "\n\n".join(blocks) + "\n"


def _heading(text: str) -> str:
    return re.sub(r"#(?=#*$)", r"\#", escape(text))  # at the end they would close the heading


def _table(table: Table) -> str:
    heading, *others = ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]
    return "\n".join([heading, "|---|" + "---:|" * (len(table.rows[0]) - 1), *others])


def _list(section: Section) -> str:
    return "\n".join(
        f"- {escape_line(item)}" if isinstance(item, str) else f"- **{escape(item[0])}**: {escape(item[1])}"
        for item in section.items
    )
