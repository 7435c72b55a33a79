"""Names with signs that mean something to a page, and names of any length."""

import pytest

import transferkit as tk

ODD = [
    "$x_1$", "{name} {0} {{ x }} {% y %}", r"\\alpha_{$ & # ~ ^", "%s %(d)d", "_hidden", "<b>&amp;", "| a | b |", "two\nlines",
    "a" * 10_000, "가" * 10_000, "many words " * 1000, "\x00\x1b[31m", "\u202e", "#1 `code` **bold** [x](y)",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_every_report_is_written(make_run, name):
    runs = [make_run(name), make_run(f"{name} too", strength=0.01)]
    comparison = tk.compare_runs(runs)
    for report in (str(comparison), comparison.to_markdown(), comparison.to_latex()):
        assert name[:3] in report or not name[:3].isalpha()
    if "<b>" in name:
        assert "<b>&amp;" not in comparison.to_html()
