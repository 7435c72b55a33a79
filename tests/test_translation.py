"""Catalogues of texts: complete, without dead texts, with the same placeholders."""

import runpy
from pathlib import Path

import pytest

from transferkit.errors import UnknownNameError
from transferkit.translation import LANGUAGES, translator

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "translations.py"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(TOOL))


@pytest.fixture
def catalogue(tool):
    ((path, translation, template),) = tool["package_texts"]()
    return path, translation, template


def faults(tool, catalogue):
    return tool["list_faults"](*catalogue)


def test_every_text_is_translated_and_none_is_dead(tool, catalogue):
    assert faults(tool, catalogue) == []
    assert len(list(catalogue[2])) > 150


def test_a_missing_text_is_found(tool, catalogue):
    catalogue[2].add("a text that nobody has translated")
    assert [fault.split(": ", 1)[1] for fault in faults(tool, catalogue)] == [
        "missing: a text that nobody has translated"
    ]


def test_a_number_needs_no_translation_and_may_change(tool, catalogue):
    for number in ("2e-04", "-1,024.5", "1.41 GB", "95%"):
        catalogue[2].add(number)
    catalogue[1].add("3e-05", "3e-05")
    assert faults(tool, catalogue) == []


def test_a_dead_text_is_found(tool, catalogue):
    catalogue[1].add("a text that stands nowhere in the code", "쓰이지 않는 문장")
    assert [fault.split(": ", 1)[1] for fault in faults(tool, catalogue)] == [
        "dead: a text that stands nowhere in the code"
    ]


def test_other_placeholders_are_found(tool, catalogue):
    catalogue[1]["Labels per class"].string = "클래스당 레이블 {wrong}"
    assert [fault.split(": ", 1)[1] for fault in faults(tool, catalogue)] == ["other placeholders: Labels per class"]


def test_another_word_than_that_of_the_glossary_is_found(tool, catalogue):
    catalogue[1]["Labels per class"].string = "범주당 레이블 수"
    assert [fault.split(": ", 1)[1] for fault in faults(tool, catalogue)] == [
        "not as in the glossary: class: Labels per class"
    ]


def test_pages_keep_to_the_glossary(tool):
    pages = sorted((ROOT / "docs" / "locale" / "ko").rglob("*.po"))
    messages = {(path.name, one.id): one for path in pages for one in tool["read_translation"](path) if one.id}
    assert len(messages) > 500
    assert {key: terms for key, one in messages.items() if (terms := tool["missing_terms"](one))} == {}


def test_code_and_printed_names_are_no_terms(tool, catalogue):
    message = catalogue[1].add("`frozen` and “frozen” of {class_name}", "`frozen`, “frozen”: {class_name}")
    assert tool["missing_terms"](message) == []


def test_a_text_within_another_is_found(tool, tmp_path, monkeypatch):
    (tmp_path / "module.py").write_text(
        'x = f"{say(\'one {a}\', a=1)}, {other.say(name)}" + say(a if b else "three") + say.counted("two", "many", 3)\n'
    )
    monkeypatch.setitem(tool["package_texts"].__globals__, "PACKAGE", tmp_path)
    ((_, _, template),) = tool["package_texts"]()
    assert [message.id for message in template if message.id] == [("two", "many"), "three", "one {a}"]


def test_korean_texts_hold_korean(catalogue):
    alike = {message.id for message in catalogue[1] if message.id == message.string}
    assert alike <= {"p", "p (Holm)", "SHA-256 {sha256}"}


def test_a_plural_has_its_form():
    assert translator("en").counted("seed {seeds}", "seeds {seeds}", 2, seeds="0, 1") == "seeds 0, 1"
    assert translator("ko").counted("seed {seeds}", "seeds {seeds}", 2, seeds="0, 1") == "시드 0, 1"


def test_braces_in_a_value_stay_as_they_are():
    assert translator("ko")("not recorded: {names}", names="{0} {x") == "기록 없음: {0} {x"


def test_an_unknown_language_is_refused():
    assert LANGUAGES == ("en", "ko")
    with pytest.raises(UnknownNameError, match="Known: en, ko"):
        translator("de")
