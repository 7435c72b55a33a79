"""The table as LaTeX."""

from collections.abc import Sequence
from typing import Final

from transferkit.compare.results import Results
from transferkit.compare.summary import list_banners, write_title
from transferkit.compare.table import format_cells

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


def write_latex(results: Results, language: str) -> str:
    """Return the table in LaTeX."""
    heading, *rows = format_cells(results.models, results.table, results.baseline, language)
    caption = " ".join([f"{write_title(results.models, language)}.", *list_banners(results.runs, language)])
    lines = [
        r"% needs \usepackage{booktabs}" + (r" and \usepackage{kotex}" if language == "ko" else ""),
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
