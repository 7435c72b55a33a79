"""The results of a document as a LaTeX table."""

from collections.abc import Sequence
from typing import Final

from transferkit.report.document import Document

_SPECIAL: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after a row's end it would be taken for a distance
        "]": "{]}",
        "−": "$-$",
        "–": "--",
    }
)


def escape(text: str) -> str:
    r"""Return text that LaTeX sets as it is.

    Examples
    --------
    >>> print(escape("50% & a_b"))
    50\% \& a\_b
    """
    return " ".join(text.split()).translate(_SPECIAL)


def write_latex(document: Document) -> str:
    """Return the first table in LaTeX, with title and banners as its caption."""
    heading, *rows = document.tables[0].rows
    caption = " ".join([f"{document.title}.", *document.banners])
    lines = [
        r"% needs \usepackage{booktabs}" + (r" and \usepackage{kotex}" if document.language == "ko" else ""),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
        r"\toprule",
        _row(heading),
        r"\midrule",
        *map(_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
