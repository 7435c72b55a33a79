"""One page, without network, scripts or other files; and what a notebook shows."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.errors import InvalidInputError, RunError
from transferkit.report.comparison import compare_runs
from transferkit.report.document import Document, Section, Table
from transferkit.report.html import write_fragment, write_page
from transferkit.translation import translator

NASTY = "a|b <script>alert(1)</script> & *x* `y` @octocat _z_ \\ {#} {{ 7 * 7 }} {% raw %} $1 %\n한글"


class Page(HTMLParser):
    """Collect what a page asks for, and whether every element is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "path", "use", "rect", "image", "br", "stop"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_is_one_file_without_network_or_scripts(comparison, language, tmp_path):
    page = comparison.to_html(tmp_path / "my report.html", language=language)
    assert (tmp_path / "my report.html").read_text(encoding="utf-8") == page
    parsed = Page()
    parsed.feed(page)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    assert all(link.startswith(("#", "data:")) for link in parsed.links)
    assert "@import" not in page
    assert "url(http" not in page
    assert page.index("<table") < page.index("<svg")
    captions = ("Accuracy and training time", "Confusion matrix of the most accurate model", "Accuracy by epoch")
    assert all(f"<figcaption>{translator(language)(caption)}</figcaption>" in page for caption in captions)
    assert f'<html lang="{language}">' in page
    assert page.startswith("<!DOCTYPE html>")
    for wanted in ("prefers-color-scheme: dark", "@media print", "width=device-width", 'class="scroll"'):
        assert wanted in page


def test_the_answer_stands_first(transfer_runs):
    page = compare_runs(transfer_runs).to_html()
    assert page.index("Transfer helped") < page.index("<table")
    assert page.index("Transfer helped") < page.index("Fine-tuning helped")


def test_on_a_phone_each_cell_has_its_columns_name(transfer_runs):
    page = compare_runs(transfer_runs).to_html()
    assert page.count('data-label="Verdict"') == page.count('data-label="Smallest detectable"') > 0
    assert "attr(data-label)" in page


@pytest.mark.long
@pytest.mark.parametrize("color", ["#b0b0b0", "#0072b2"], ids=["grid", "blue"])
def test_plots_take_the_colours_of_a_dark_page(comparison, color):
    figures = comparison.to_html().split("</style>", 1)[1]
    assert color not in figures
    assert {"var(--paper)", "var(--grid)", "var(--blue)", "currentColor"} <= set(
        re.findall(r"var\(--\w+\)|currentColor", figures)
    )


def test_names_are_escaped(weak, strong):
    classes = tuple(f"<b>{i}" for i in range(10))
    nasty = compare_runs({NASTY: replace(weak, class_names=classes), "b": replace(strong, class_names=classes)})
    for page in (nasty.to_html(), nasty._repr_html_()):
        assert "<script" not in page
        assert "<b>" not in page
        assert "{{ 7 * 7 }}" in page


@given(st.text(min_size=1, max_size=40))
def test_any_name_is_shown_as_it_is(name):
    table = Table((("Model", "p"), (name, "0.5")), title=name)
    document = Document("en", name, (name,), (), (table,), (Section(name, (name, (name, name))),))
    page = write_page(document)
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert unescape(page).count(name) >= 8
    known = r"html|head|meta|title|body|main|h1|h2|p|strong|div|table|thead|tbody|tr|th|td|span|ul|li"
    assert not re.findall(rf"<(?!{known}|/|!)\w", page)
    assert unescape(write_fragment(document)).count(name) >= 2


@pytest.mark.long
def test_a_long_name_may_be_broken(weak, strong):
    page = compare_runs({"a" * 10_000: weak, "a" * 9_999: strong}).to_html()
    assert "overflow-wrap: anywhere" in page
    assert len(page) < 1_500_000  # drawn in full, they would be millions of outlines


def test_a_run_with_nothing_but_predictions_is_reported(weak):
    bare = replace(
        weak, history=[], phases=[], recipe={}, model_info={}, environment={}, dataset={}, train_accuracy=None
    )
    comparison = compare_runs([bare])
    for language in ("en", "ko"):
        assert comparison.to_html(language=language).count("<svg") == 4  # accuracy, confusion, pairs, reliability
        assert translator(language)("the recipe is not recorded") in comparison.to_markdown(language)
    comparison.plot()


@pytest.mark.slow
def test_two_processes_write_the_same_report_byte_for_byte(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / run.name)
    code = (
        "import sys, transferkit; comparison = transferkit.compare_runs(sys.argv[1]);"
        "sys.stdout.buffer.write((comparison.to_html(language='ko') + comparison.to_markdown()).encode())"
    )
    pages = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=300,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(pages[0]) > 10_000
    assert pages[0] == pages[1]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_shows_test_images_if_it_is_given_them(weak, strong, digits, language):
    told = {"test_fingerprint": digits.fingerprints["test"]}
    comparison = compare_runs([replace(run, dataset=run.dataset | told) for run in (weak, strong)])
    titles = [
        escape(translator(language)(title))
        for title in (
            "The first test images of each class",
            "Errors of which the most accurate model is most sure",
            "What only one of two models gets right",
        )
    ]
    page = comparison.to_html(language=language, images=digits)
    assert all(f"<figcaption>{title}</figcaption>" in page for title in titles)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert page == comparison.to_html(language=language, images=digits.test.images)
    assert not any(title in comparison.to_html(language=language) for title in titles)


@pytest.mark.long
def test_page_says_which_seed_is_drawn(weak, make_run):
    runs = [weak, *(make_run("strong", seed=seed, key=f"strong {seed}") for seed in (3, 1))]
    assert "strong, seed 1" in compare_runs(runs).to_html()
    assert "strong, 시드 1" in compare_runs(runs).to_html(language="ko")


def test_page_refuses_other_images(weak, strong, digits):
    with pytest.raises(RunError, match="not the images"):
        compare_runs([weak, strong]).to_html(images=digits)
    with pytest.raises(InvalidInputError, match="images; got 5"):
        compare_runs([weak, strong]).to_html(images=digits.test.images[:5])
