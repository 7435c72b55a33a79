"""Keep the Korean translation in step with the English texts: those of the package, and the pages that must be complete.

python tools/translations.py update           # new and changed texts of the package into src/transferkit/locale
python tools/translations.py check            # exit 1 if a text is missing, fuzzy, dead, or has other placeholders or terms
python tools/translations.py update --pages   # and the pages, into docs/locale/ko; after `sphinx-build -b gettext`
python tools/translations.py check --pages
"""

import ast
import csv
import functools
import re
import sys
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "transferkit"
PAGES = Path("docs/_build/gettext")
LOCALE = Path("docs/locale/ko/LC_MESSAGES")
# transferkit.translation: say("..."), say.counted("one", "many", count), mark("..."), and how many texts each takes
NAMES = {"say": 1, "mark": 1, "counted": 2}
# The rest of the site falls back to English; the homework has a notebook that is written in Korean.
COMPLETE = ("index", "benchmarks", "start/*", "plots/*", "course/*", "pitfalls/*", "homework/index", "guide/*")
# What sphinx-gallery writes on every page, numbers, code alone, and what measuring again changes in tables.
ALIKE = {
    r"([^A-Za-z]+|(?:`[^`]+`(?:, )?)+|tensorflow|jax|torch|keras \d.*)": r"\1",
    r"([\d,.]+) s \(([\d,.]+) s\)(, [\d.]+%)?": r"\1초(\2초)\3",
    r":doc:`(.+)`": r":doc:`\1`",
    r"((?:plot_|comparison\.)\w+\(.*\))": r"\1",
    r"Options: (:\w+:`.+`)\.": r"옵션: \1.",
    r":ref:`Go to the end <(.+)>` to download the full example code\.": r":ref:`맨 아래에서 <\1>` 전체 코드를 내려받을 수 있습니다.",
    r":download:`Download Jupyter notebook: (.+)`": r":download:`주피터 노트북 내려받기: \1`",
    r":download:`Download Python source code: (.+)`": r":download:`파이썬 코드 내려받기: \1`",
    r":download:`Download zipped: (.+)`": r":download:`압축 파일 내려받기: \1`",
}
# Numbers and names of layers are shown as they are, so a table that is measured again needs no translation of them.
AS_IT_IS = r"[-−+]?[\d.,]+(?:e[-+]?\d+)?%?(?: [kMG]?B)?|[a-z]+(?:_[a-z0-9]+)+"
MEASURED = "benchmarks.po"  # its tables have no rows of PyTorch where that is not installed
# How the field's terms are called in Korean, with "|" between words that are equally good.
GLOSSARY = ROOT / "docs" / "locale" / "glossary.csv"
NO_TERMS = r"`+[^`]*`+|{[^}]*}|“[^”]*”"  # code, placeholders, names that a program prints
Part = tuple[Path, Catalog, Catalog]


def read_translation(path: Path) -> Catalog:
    """Return what a file of translations holds; a new one is empty."""
    if path.exists():
        with path.open("rb") as stream:
            return read_po(stream, locale="ko")
    return Catalog(locale="ko", project="transferkit", copyright_holder="The transferkit authors")


def package_texts() -> list[Part]:
    """Return the path of the package's translation, what it holds, and the texts that stand in the code."""
    template = Catalog()
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (count := NAMES.get(name_of(node.func))):
                for texts in zip(*map(literals_of, node.args[:count]), strict=True):
                    template.add(texts[0] if count == 1 else texts)
    path = PACKAGE / "locale" / "ko.po"
    return [(path, read_translation(path), template)]


def literals_of(node: ast.expr) -> list[str]:
    """Return the text that an expression is, both if it is a choice of two, none if it is found out later."""
    if isinstance(node, ast.IfExp):
        return literals_of(node.body) + literals_of(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def name_of(function: ast.expr) -> str:
    """Return by which name a function is called."""
    return getattr(function, "attr", "") or getattr(function, "id", "")


def page_texts() -> list[Part]:
    """Return the same for each page of the documentation that must be complete."""
    found = []
    for template_path in sorted({path for pattern in COMPLETE for path in PAGES.glob(f"{pattern}.pot")}):
        path = (LOCALE / template_path.relative_to(PAGES)).with_suffix(".po")
        with template_path.open("rb") as stream:
            found.append((path, read_translation(path), read_po(stream)))
    if not found:
        sys.exit(f"no templates in {PAGES}: run `make translations`")
    return found


def update(parts: list[Part]) -> None:
    """Write the texts of the templates into the translations; what changed becomes fuzzy."""
    for path, translation, template in parts:
        translation.update(template, no_fuzzy_matching=not path.exists())
        for message in translation:
            message.flags.discard("python-format")  # "95% interval" is none
            if message.fuzzy and is_shown_as_it_is(message):
                message.string = ""
                message.flags.discard("fuzzy")
            for pattern, korean in ALIKE.items():
                if isinstance(message.id, str) and message.id and re.fullmatch(pattern, message.id):
                    message.string = re.sub(pattern, korean, message.id)
                    message.flags.discard("fuzzy")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            write_po(stream, translation, width=120, ignore_obsolete=True, no_location=True, omit_header=False)


def check(parts: list[Part]) -> None:
    """Exit with 1 and a list if a text is missing, fuzzy or dead, or its translation has other placeholders or terms."""
    wrong = [fault for path, translation, template in parts for fault in list_faults(path, translation, template)]
    if wrong:
        sys.exit("\n".join([*wrong, f"{len(wrong)} texts need a translation (CONTRIBUTING.md, Translations)"]))


def list_faults(path: Path, translation: Catalog, template: Catalog) -> list[str]:
    """Return what is wrong with a translation, a line each."""
    known = [one for one in translation if one.id and not is_shown_as_it_is(one)]
    dead = [one.id for one in known if template.get(_key(one)) is None and path.name != MEASURED]
    wrong = [f"{path}: dead: {text}" for text in dead]
    for message in template:
        if is_shown_as_it_is(message):
            continue
        found = translation.get(_key(message)) if message.id else message
        if found is None or (message.id and not all(_texts(found.string))):
            wrong.append(f"{path}: missing: {message.id}")
        elif message.id and found.fuzzy:
            wrong.append(f"{path}: fuzzy: {message.id}")
        elif message.id:
            wrong += [f"{path}: not as in the glossary: {term}: {message.id}" for term in missing_terms(found)]
            expected = set.union(*map(placeholders, _texts(message.id)))
            if path.is_relative_to(PACKAGE) and any(placeholders(text) != expected for text in _texts(found.string)):
                wrong.append(f"{path}: other placeholders: {message.id}")
    return wrong


def is_shown_as_it_is(message: Message) -> bool:
    """Whether a text is the same in every language, as it is without a translation."""
    return re.fullmatch(AS_IT_IS, _key(message)) is not None


def missing_terms(message: Message) -> list[str]:
    """Return the terms in a text for which its translation has no word of the glossary."""
    english, korean = (" ".join(_texts(texts)) for texts in (message.id, message.string))
    if english == korean:  # a citation
        return []
    english = re.sub(NO_TERMS, "", english)
    return [
        term
        for term, words in read_glossary().items()
        if re.search(rf"\b{term}(e?s)?\b", english, re.IGNORECASE) and not any(word in korean for word in words)
    ]


@functools.cache
def read_glossary() -> dict[str, list[str]]:
    """Return the Korean words for each English term."""
    with GLOSSARY.open(encoding="utf-8", newline="") as stream:
        return {row["english"]: row["korean"].split("|") for row in csv.DictReader(stream)}


def _key(message: Message) -> str:
    return _texts(message.id)[0]


def _texts(texts: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the forms of a text, of which one that is counted has several."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


def placeholders(text: str) -> set[str]:
    """Return the names in braces in a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


if __name__ == "__main__":
    chosen = package_texts() + (page_texts() if "--pages" in sys.argv else [])
    {"update": update, "check": check}[sys.argv[1]](chosen)
