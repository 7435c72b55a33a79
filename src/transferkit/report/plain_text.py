"""A document as plain text for a console."""

import unicodedata
from collections.abc import Sequence

from transferkit.progress import for_console
from transferkit.report.document import Document


def write_text(document: Document) -> str:
    """Return title, what can be said, and the tables, in signs that the console knows."""
    blocks = [document.title] if document.title else []
    blocks.append("\n".join(document.banners or document.verdicts))
    blocks += [align_text(table.rows) for table in document.tables]
    return for_console("\n\n".join(blocks))


def align_text(rows: Sequence[Sequence[str]]) -> str:
    """Return the cells as lines of plain text, the first column left and the others right aligned.

    Examples
    --------
    >>> print(align_text([["Model", "Loss"], ["cnn", "0.31"]]))
    Model  Loss
    cnn    0.31
    """
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = (
            cell + " " * (width - _width(cell)) if place == 0 else " " * (width - _width(cell)) + cell
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes; Hangul takes two each."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else not unicodedata.combining(sign) for sign in text)
