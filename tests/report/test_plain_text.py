"""What a console shows, whatever signs it knows."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.report.comparison import compare_runs
from transferkit.report.plain_text import align_text, for_console


@pytest.fixture
def console(monkeypatch):
    """Return a function that makes standard output one of this encoding, strict as a console's is."""

    def use(encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return use


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "cp1252", "ascii"])
def test_a_comparison_prints_on_any_console_and_loses_nothing(encoding, console, weak, strong):
    comparison = compare_runs({"약한 −1": weak, "“strong” – é": strong})
    stream = console(encoding)
    stream.write(repr(comparison))
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    assert "60.6" in shown
    if encoding in ("utf-8", "cp949"):
        assert "약한 -1" in shown
    else:
        assert "\\uc57d\\ud55c" in shown


def test_sentences_hold_no_sign_that_a_korean_or_western_console_lacks(weak, strong):
    comparison = compare_runs([strong, weak])
    for text in (comparison.verdict, *comparison.notes, comparison.sentence("weak", "strong")):
        text.encode("cp949")
        text.encode("cp1252")
    comparison.sentence(language="ko").encode("cp949")


def test_a_notebooks_output_without_an_encoding_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert for_console("“약” −1") == "“약” -1"


def test_the_answer_stands_above_the_table(weak, strong):
    lines = repr(compare_runs([weak, strong])).splitlines()
    assert lines[0].startswith("2 models compared")
    assert lines[2].startswith("“strong” is better than “weak”")
    assert next(i for i, line in enumerate(lines) if line.startswith("Model")) > 2


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=4))
def test_every_row_has_its_line(rows):
    rows = [tuple("".join(cell.split()) for cell in row) for row in rows]
    assert len(align_text(rows).split("\n")) == len(rows)
