"""Markdown, HTML and LaTeX: complete, escaped, in two languages."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import pytest

from transferkit.compare.comparison import compare_runs
from transferkit.compare.table import format_duration, format_points
from transferkit.compare.texts import TEXTS, placeholders, texts_in
from transferkit.errors import InvalidInputError, RunError, UnknownNameError

NASTY = "a|b <script>alert(1)</script> & *x* `y` @octocat _z_ \\ {#} $1 %\n한글"
PROVENANCE = {
    "source": "offline-wheel",
    "sha256": "91bc" * 16,
    "backbone": "mobilenet",
    "width": 1.0,
    "resolution": 224,
    "image_size": 64,
    "file": "mobilenet.pb",
}


@pytest.fixture
def comparison(weak, strong, diverged):
    pretrained = replace(strong, model_info=strong.model_info | {"provenance": PROVENANCE}, notes=["a note of its own"])
    return compare_runs([weak, pretrained, diverged])


def test_both_languages_have_the_same_keys_and_placeholders():
    english, korean = TEXTS["en"], TEXTS["ko"]
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert placeholders(text) == placeholders(korean[key]), key


def test_no_text_is_left_untranslated():
    same = {key for key, text in TEXTS["en"].items() if text == TEXTS["ko"][key] and re.search("[a-z]{3}", text)}
    assert same <= {"note_run", "pair_p", "efficiency_column_p", "weights_sha256"}


def test_an_unknown_language_is_refused(comparison):
    for write in (comparison.to_markdown, comparison.to_latex):
        with pytest.raises(UnknownNameError, match="Known: en, ko"):
            write("de")
    with pytest.raises(UnknownNameError):
        comparison.to_html(language="de")
    with pytest.raises(UnknownNameError):
        comparison.plot(language="de")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_markdown_says_what_was_trained_how_and_from_what(comparison, language):
    text = comparison.to_markdown(language)
    texts = texts_in(language)
    for section in ("data", "training", "weights", "notes", "environment"):
        assert f"### {texts[f'section_{section}']}\n" in text
    for fact in (
        "1,000",
        "Adam",
        "0.001",
        "mobilenet 1.0",
        "91bc91bc91bc91bc",
        "3.15.1",
        "AMD EPYC",
        "a note of its own",
    ):
        assert fact in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5 + 3  # and the table of pairs
    for table in (rows[:5], rows[5:]):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
    assert "{" not in text.replace("\\{", "")


def test_markdown_and_html_in_korean_hold_no_english_sentence(comparison):
    body = comparison.to_markdown("ko").replace("a note of its own", "")
    assert not re.search(r"\b(the|is|of|with|from|and)\b", body)


def test_names_are_escaped_everywhere(weak, strong):
    nasty = compare_runs(
        {
            NASTY: replace(weak, class_names=tuple(f"<b>{i}" for i in range(10))),
            "b": replace(strong, class_names=tuple(f"<b>{i}" for i in range(10))),
        }
    )
    markdown = nasty.to_markdown()
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "@octocat" not in markdown
    assert len([line for line in markdown.splitlines() if line.startswith("|")]) == 4 + 3
    for page in (nasty.to_html(), nasty._repr_html_()):
        assert "<script" not in page
        assert "<b>" not in page
    row = next(line for line in nasty.to_latex().splitlines() if line.startswith("a|b"))
    assert r"\textless{}script\textgreater{}" in row
    assert r"\& *x*" in row
    assert row.endswith(r"\\")


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
def test_html_is_one_file_without_network_or_scripts(comparison, language, tmp_path):
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
    captions = ("plot_training_time", "plot_confusion", "plot_pairs", "plot_reliability")
    assert all(f"<figcaption>{escape(texts_in(language)[name])}</figcaption>" in page for name in captions)
    assert f'<html lang="{language}">' in page
    for wanted in ("prefers-color-scheme: dark", "@media print", "width=device-width", 'class="scroll"'):
        assert wanted in page
    assert "$" not in page


def test_latex_caption_says_what_bars_a_verdict(weak, strong):
    barred = compare_runs([weak, replace(strong, selection="test")])
    for language, says in (("en", "Selected on test data: strong"), ("ko", "테스트")):
        caption = next(line for line in barred.to_latex(language).splitlines() if line.startswith(r"\caption"))
        assert says in caption


def test_latex_table_has_equal_columns(comparison):
    text = comparison.to_latex("ko")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert "kotex" in text
    assert not re.search(r"(?<!\\)%(?! needs)", text)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("random", "nothing pretrained"),
        ("path", "file of the user's"),
        ("user-model", "user's own"),
        ("keras-cache", "Keras's cache"),
        ("download", "Keras's download"),
        ("hub", "from hub"),
    ],
)
def test_every_origin_of_weights_has_its_words(weak, source, says):
    run = replace(weak, model_info={"provenance": PROVENANCE | {"source": source}})
    assert says in compare_runs([run]).to_markdown()
    compare_runs([run]).to_markdown("ko")


def test_a_run_with_nothing_but_predictions_is_reported(weak):
    bare = replace(
        weak, history=[], phases=[], recipe={}, model_info={}, environment={}, dataset={}, train_accuracy=None
    )
    comparison = compare_runs([bare])
    for language in ("en", "ko"):
        assert comparison.to_html(language=language).count("<svg") == 4  # accuracy, confusion, pairs, reliability
        assert texts_in(language)["recipe_unknown"] in comparison.to_markdown(language)
    comparison.plot()


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (0.04, "0.0 s", "0.0초"),
        (59.94, "59.9 s", "59.9초"),
        (59.96, "1 min 00 s", "1분 00초"),
        (250, "4 min 10 s", "4분 10초"),
        (3599.6, "1 h 00 min", "1시간 00분"),
        (7265, "2 h 01 min", "2시간 01분"),
    ],
)
def test_durations_read_well(seconds, english, korean):
    assert format_duration(seconds, TEXTS["en"]) == english
    assert format_duration(seconds, TEXTS["ko"]) == korean


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0331, "+3.31"), (-0.0331, "−3.31"), (0.0, "0.00"), (-0.00001, "0.00")]
)
def test_points_have_a_sign_unless_zero(fraction, text):
    assert format_points(fraction, 2) == text


def test_two_processes_write_the_same_report_byte_for_byte(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / run.name)
    code = (
        "import sys; from transferkit.compare.comparison import compare_runs; comparison = compare_runs(sys.argv[1]);"
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


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_shows_test_images_if_it_is_given_them(weak, strong, digits, language):
    told = {"test_fingerprint": digits.fingerprints["test"]}
    comparison = compare_runs([replace(run, dataset=run.dataset | told) for run in (weak, strong)])
    titles = [TEXTS[language][f"plot_{name}"] for name in ("samples", "errors", "disagreements")]
    page = comparison.to_html(language=language, images=digits)
    assert all(f"<figcaption>{title}</figcaption>" in page for title in titles)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert page == comparison.to_html(language=language, images=digits.test.images)
    assert not any(title in comparison.to_html(language=language) for title in titles)


def test_page_says_which_seed_is_drawn(weak, make_run):
    runs = [weak, *(make_run("strong", seed=seed, key=f"strong {seed}") for seed in (3, 1))]
    assert "strong, seed 1" in compare_runs(runs).to_html()
    assert "strong, 시드 1" in compare_runs(runs).to_html(language="ko")


def test_page_refuses_other_images(weak, strong, digits):
    with pytest.raises(RunError, match="not the images"):
        compare_runs([weak, strong]).to_html(images=digits)
    with pytest.raises(InvalidInputError, match="images; got 5"):
        compare_runs([weak, strong]).to_html(images=digits.test.images[:5])
