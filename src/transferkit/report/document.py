"""What a report consists of, in words and without markup: every renderer sets the same document."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of cells under a heading.

    Parameters
    ----------
    rows : tuple of tuple of str
        The heading first. The first cell of a row names it.
    title : str, optional
        What stands above the table.
    left_out : frozenset of int, optional
        The rows, counted below the heading, that have no result: their second cell says why.
    """

    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    left_out: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Section:
    """A list under a title, each item a sentence, or a name and what is said of it."""

    title: str
    items: tuple[str | tuple[str, str], ...]


@dataclass(frozen=True)
class Document:
    """A report in one language.

    Parameters
    ----------
    language : str
        Its code, such as ``"ko"``.
    title : str
        The heading; may be empty.
    banners : tuple of str
        What bars a verdict.
    verdicts : tuple of str
        What can be said, the answer to the question first; empty if a banner bars it.
    tables : tuple of Table
        The results first.
    sections : tuple of Section
        What a reader needs in order not to misread the tables.
    """

    language: str
    title: str
    banners: tuple[str, ...]
    verdicts: tuple[str, ...]
    tables: tuple[Table, ...]
    sections: tuple[Section, ...] = ()
