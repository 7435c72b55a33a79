"""A document as HTML: a page that needs neither network nor scripts nor any other file, and a short piece for a notebook."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from transferkit.report.document import Document
from transferkit.report.figures import Figure
from transferkit.translation import translator

_TEMPLATES: Final = Path(__file__).with_name("templates")


def write_page(document: Document, figures: Sequence[Figure] = ()) -> str:
    """Return the page, with the drawings between the tables and the sections."""
    css = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    say = translator(document.language)
    page = _templates().get_template("page.html")
    return page.render(document=document, figures=figures, css=css, plots=say("Plots"))


def write_fragment(document: Document) -> str:
    """Return what can be said and the first table, for a notebook."""
    return _templates().get_template("fragment.html").render(document=document)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["split_interval"] = split_interval
    return environment


def split_interval(cell: str) -> tuple[str, str]:
    """Return a cell's value and its interval, which is set smaller; empty if there is none.

    Examples
    --------
    >>> split_interval("83.8% [83.0, 84.5]")
    ('83.8%', '[83.0, 84.5]')
    """
    found = re.fullmatch(r"(.*) (\[.*\])", cell)
    return (found[1], found[2]) if found else (cell, "")
