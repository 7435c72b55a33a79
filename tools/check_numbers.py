"""Find the numbers in the tables of README.md and the pages that no committed file of results holds.

python tools/check_numbers.py

Above each table of measured numbers stands where they are from, ``<!-- from docs/results/quick/report.md -->`` (several files with
commas, ``*`` for any name), and above one of versions and the like ``<!-- not measured -->``. Each number in its rows, rounded as it
is printed, must be in one of these files, maybe as a fraction where the table has percent, or be the mean of rows of a CSV file.
What the build makes of a file ({csv-table}, {include}) needs nothing.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "README.ko.md", "docs/*.md", "docs/start/*.md", "docs/guide/*.md")
READMES = ["docs/results/quick/report.md", "docs/results/full/report.md"]  # of their tables, which have no such line
# No versions (2.21.0), dates, names (conv_pw_5) or signs of a minus that is a dash; 1,442 is one number, and so is 2e-04.
NUMBER = re.compile(r"(?<![\w.:/-])[-−+]?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e-?\d+)?(?![\w:/]|\.\d)")
IN_FILES = (re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?"), re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?!\d)"))
SOURCE = re.compile(r"<!-- from (.+?) -->")
OTHER = "<!-- not measured -->"  # versions, for instance


class Table:
    """A Markdown table: where it stands, its rows and the files that its numbers are from."""

    def __init__(self, page: str, line: int, rows: list[str], sources: list[str]) -> None:
        self.page, self.line, self.rows, self.sources = page, line, rows, sources

    def numbers(self) -> list[str]:
        """Return the numbers in its rows as they are printed, but those in code."""
        text = "\n".join(re.sub(r"`[^`]*`|\]\([^)]*\)|\{[^}]*\}", " ", row) for row in self.rows[2:])
        return [match[0] for match in NUMBER.finditer(text)]

    def is_measured(self) -> bool:
        """Whether most rows have a cell, besides the first, that begins with a number: tables of words mention one now and then."""
        rows = [row.strip("| ").split("|")[1:] for row in self.rows[2:]]
        return 2 * sum(any(NUMBER.match(cell.strip()) for cell in row) for row in rows) > len(rows)


def find_tables(root: Path) -> Iterator[Table]:
    """Yield the tables of measured numbers on all pages."""
    for page in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        lines = page.read_text(encoding="utf-8").splitlines()
        for index, line in enumerate(lines):
            if re.fullmatch(r"\|[\s:|-]+\|", line) and index and lines[index - 1].startswith("|"):
                end = next((i for i in range(index, len(lines)) if not lines[i].startswith("|")), len(lines))
                above = "\n".join(lines[max(0, index - 3) : index - 1])
                sources = [part.strip() for found in SOURCE.findall(above) for part in found.split(",")]
                sources = sources or (READMES if page.name.startswith("README") else [])
                table = Table(page.relative_to(root).as_posix(), index, lines[index - 1 : end], sources)
                if OTHER not in above and table.is_measured():
                    yield table


def read_numbers(root: Path, sources: list[str]) -> list[float]:
    """Return every number in these files; exit if there is no such file."""
    values: list[float] = []
    for source in sources:
        if not (files := sorted(root.glob(source))):
            sys.exit(f"there is no file {source}, which a table names as its source")
        for file in files:
            text = file.read_text(encoding="utf-8")
            values += [float(found.replace(",", "")) for pattern in IN_FILES for found in pattern.findall(text)]
            values += [int(m) + int(s) / 60 for m, s in re.findall(r"(\d+) min (\d+) s", text)]
            if file.suffix == ".csv":
                values += means(list(csv.DictReader(text.splitlines())))
    return values


def means(rows: list[dict[str, str]]) -> list[float]:
    """Return the mean of each column of numbers over the rows that agree in all words: over the seeds of one recipe."""
    groups: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for row in rows:
        numbers = {name: float(cell) for name, cell in row.items() if re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell or "")}
        groups.setdefault(tuple(row[name] for name in row if name not in numbers), []).append(numbers)
    shared = [(part, set.intersection(*map(set, part))) for part in groups.values()]
    return [sum(row[name] for row in part) / len(part) for part, names in shared for name in names]


def is_held(printed: str, values: list[float], scales: tuple[float, ...]) -> bool:
    """Whether a number is one of the values, rounded to the digits that are printed."""
    text = printed.lstrip("-−+").replace(",", "")
    digits, _, exponent = text.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return any(abs(abs(scale * value) - float(text)) <= 0.5000001 * unit for value in values for scale in scales)


def missing_numbers(table: Table, root: Path) -> list[str]:
    """Return the numbers of a table that none of its files holds."""
    values, text = read_numbers(root, table.sources), " ".join(table.rows)
    units = ((100.0, r"%|percent|points|F1|recall"), (1000.0, r" ms\b"), (1 / 60, r" min\b"))
    scales = (1.0, *(scale for scale, words in units if re.search(words, text)))
    return [number for number in table.numbers() if not is_held(number, values, scales)]


def list_problems(root: Path) -> tuple[list[str], str]:
    """Return what is wrong, a line each, and a summary."""
    tables = list(find_tables(root))
    problems = []
    for table in tables:
        if table.sources and (missing := missing_numbers(table, root)):
            problems.append(f"{table.page}:{table.line}: {', '.join(missing)}: not in {', '.join(table.sources)}")
        elif not table.sources:
            problems.append(f"{table.page}:{table.line}: say above the table which file it is from: {table.rows[0]}")
    return problems, f"{len(tables)} tables of numbers"


if __name__ == "__main__":
    found, summary = list_problems(ROOT)
    sys.stdout.write(f"{summary}\n")
    sys.exit("\n".join(found) or None)
