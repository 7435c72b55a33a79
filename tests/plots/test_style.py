"""Fonts, languages, colours."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.errors import TransferKitWarning
from transferkit.plots import style
from transferkit.plots.accuracy import plot_accuracy


def test_without_a_hangul_font_labels_are_english_and_the_cure_is_said(fine, monkeypatch):
    monkeypatch.setattr(style, "find_hangul_font", lambda: None)
    with pytest.warns(TransferKitWarning, match="apt-get install fonts-nanum") as caught:
        ax = plot_accuracy(fine, language="ko")
    assert ax.get_xlabel() == "Test accuracy, with 95% interval"
    assert caught[0].filename == __file__


def test_hangul_is_drawn_without_missing_glyphs(fine):
    if style.find_hangul_font() is None:
        pytest.skip("no font with Hangul is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for language in ("en", "ko"):
            ax = plot_accuracy({"미세 조정 −1": fine}, language=language)
            ax.figure.canvas.draw()
    assert ax.get_xlabel() == "테스트 정확도와 95% 신뢰구간"


def test_a_font_installed_after_matplotlibs_first_start_is_found(monkeypatch):
    from matplotlib import font_manager

    files = [file for file in font_manager.findSystemFonts() if file.endswith("NanumGothic.ttf")]
    if not files:
        pytest.skip("Nanum is not installed")
    added = []
    monkeypatch.setattr(font_manager.fontManager, "get_font_names", list)
    monkeypatch.setattr(font_manager.fontManager, "addfont", added.append)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    assert style.find_hangul_font() == "NanumGothic"
    assert added == files[:1]


def test_hangul_is_recognised():
    assert style.has_hangul(["abc", "가"])
    assert not style.has_hangul(["abc", "é", "漢"])


def test_colours_repeat_with_another_marker():
    n = len(style.PALETTE)
    assert style.color_of(n) == style.color_of(0)
    assert style.marker_of(n) != style.marker_of(0)


@given(st.text(min_size=1, max_size=40), st.integers(3, 30))
def test_long_texts_are_cut_to_the_columns_they_take(text, columns):
    short = style.shorten(text, columns)
    assert style.columns_of(short) <= columns
    assert (short == text) == (style.columns_of(text) <= columns)
    if short != text:
        assert short.endswith("…")
        assert text.startswith(short[:-1])


@given(st.lists(st.text("ab가나", min_size=1, max_size=8), max_size=8), st.integers(1, 30))
def test_wrapped_lines_keep_every_word_and_the_width(words, columns):
    lines = style.wrap(" ".join(words), columns).split("\n")
    assert " ".join(lines).split() == words
    assert all(style.columns_of(line) <= columns or " " not in line for line in lines)


def test_hangul_takes_two_columns():
    assert style.columns_of("가나 ab") == 7
    assert style.shorten("가나다라", 6) == "가나…"
    assert style.wrap("가나 다라", 5) == "가나\n다라"
