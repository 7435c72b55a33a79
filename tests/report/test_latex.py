"""The table in LaTeX."""

import re
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from transferkit.report.comparison import compare_runs
from transferkit.report.document import Document, Table
from transferkit.report.latex import write_latex


def test_caption_says_what_bars_a_verdict(weak, strong):
    barred = compare_runs([weak, replace(strong, selection="test")])
    for language, says in (("en", "Selected on test data: strong"), ("ko", "테스트")):
        caption = next(line for line in barred.to_latex(language).splitlines() if line.startswith(r"\caption"))
        assert says in caption


def test_table_has_equal_columns(comparison):
    text = comparison.to_latex("ko")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert "kotex" in text
    assert not re.search(r"(?<!\\)%(?! needs)", text)


@example("a|b")
@given(st.text(min_size=1, max_size=40))
def test_no_name_breaks_out_of_its_cell(name):
    text = write_latex(Document("en", name, (), (), (Table((("Model", "p"), (name, "0.5"))),)))
    row = text.splitlines()[8]
    assert row.endswith(r" & 0.5 \\")
    bare = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}|\\[{}&%$#_]|\{[\[\]]\}|\$-\$",
        "",
        row,
    )
    assert not re.search(r"[\\{}%$#_~^<>|\[\]]", bare.removesuffix(r" & 0.5 \\"))
