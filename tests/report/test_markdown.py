"""Markdown for GitHub: complete, and shown as it was meant."""

import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from transferkit.report.comparison import compare_runs
from transferkit.report.document import Document, Section, Table
from transferkit.report.markdown import escape, write_markdown
from transferkit.translation import translator

SECTIONS = (
    "Data",
    "How each model was trained",
    "Where the weights came from",
    "How to read this",
    "Versions and hardware",
)
MARKED = st.text(st.sampled_from("\\`*_{}[]()<>|#~$&@!-+=:;.'\"/ ab1한é"), min_size=1, max_size=40)


def render(markdown):
    """Return what a reader sees: tables and strikethrough as GitHub has them, one of tildes included."""
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    assert "<s>" not in page
    return page


def seen(page):
    return unescape(re.sub(r"<[^>]*>", "", page))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_markdown_says_what_was_trained_how_and_from_what(comparison, language):
    text = comparison.to_markdown(language)
    say = translator(language)
    for section in SECTIONS:
        assert f"### {say(section)}\n" in text
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
    assert "{" not in text


def test_korean_markdown_holds_no_english_sentence(comparison, transfer_runs):
    for one in (comparison, compare_runs(transfer_runs)):
        body = one.to_markdown("ko").replace("a note of its own", "")
        assert not re.search(r"\b(the|is|of|with|from|and|in|to)\b", body)


def test_intervals_and_p_values_are_not_escaped(comparison):
    text = comparison.to_markdown("ko")
    assert "\\" not in re.sub(r"\\\|", "", text)
    assert re.search(r"\d% \[\d+\.\d, \d+\.\d\]", text)
    assert "p < 0.001" in text
    assert " ~ " in text


def test_signs_that_a_console_lacks_are_plain(comparison):
    for language in ("en", "ko"):
        comparison.to_markdown(language).encode("cp949")


@example("__init__")
@example("a __b__ c")
@given(MARKED | st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40))
def test_any_name_is_shown_as_it_is(name):
    table = Table((("Model", "p"), (name, "0.5")))
    document = Document("en", name, (), (f"“{name}” is better",), (table,), (Section("", (name,)),))
    page = render(write_markdown(document))
    expected = " ".join(name.split()).replace("−", "-").replace("–", "-")
    if expected:
        for tag in ("h2", "td", "li"):
            assert seen(re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)[1]) == expected
        assert " ".join(f"“{name}” is better".split()).translate({0x2212: "-", 0x2013: "-"}) in seen(page)
    assert not re.search(r"<(a|em|code|img|del|hr|blockquote|ol|script|pre)\b", page)


@given(MARKED)
def test_nothing_that_is_escaped_is_seen(name):
    assert seen(render(f"“{escape(name)}”")).strip() == f"“{' '.join(name.split())}”"


def test_no_user_and_no_issue_is_told():
    assert escape("@octocat and #12") == "@<!-- -->octocat and #<!-- -->12"


def test_a_single_tilde_between_letters_would_strike_through():
    assert escape("10~100, 20~30") == "10\\~100, 20\\~30"
    assert escape("+1.39 ~ +3.41") == "+1.39 ~ +3.41"


def test_a_long_name_stays_in_its_row(weak, strong):
    name = "긴 이름 | " * 2_000
    rows = [line for line in compare_runs({name: weak, "b": strong}).to_markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 4 + 3


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
def test_every_origin_of_weights_has_its_words(weak, provenance, source, says):
    run = replace(weak, model_info={"provenance": provenance | {"source": source}})
    assert says in compare_runs([run]).to_markdown()
    compare_runs([run]).to_markdown("ko")


def test_a_frozen_network_has_no_statistics_of_these_images(transfer_runs):
    runs = [replace(run, recipe=run.recipe | {"batchnorm_images": 1024}) for run in transfer_runs]
    lines = [line for line in compare_runs(runs).to_markdown().splitlines() if "BatchNorm statistics" in line]
    assert lines
    assert not [line for line in lines if "**frozen**" in line]
