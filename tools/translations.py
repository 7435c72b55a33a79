"""Keep the Korean translation of the pages that must be complete in step with the English ones.

python tools/translations.py update   # after `sphinx-build -b gettext`: new and changed sentences into docs/locale/ko
python tools/translations.py check    # exit 1 if a sentence of these pages is missing or fuzzy
"""

import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

TEMPLATES = Path("docs/_build/gettext")
LOCALE = Path("docs/locale/ko/LC_MESSAGES")
# The rest of the site falls back to English; the homework has a notebook that is written in Korean.
COMPLETE = ("index", "start/*", "course/*", "pitfalls/*", "homework/index")
# What sphinx-gallery writes on every page, and numbers.
ALIKE = {
    r"([^A-Za-z]+)": r"\1",
    r":doc:`(.+)`": r":doc:`\1`",
    r":ref:`Go to the end <(.+)>` to download the full example code\.": r":ref:`맨 아래에서 <\1>` 전체 코드를 내려받을 수 있습니다.",
    r":download:`Download Jupyter notebook: (.+)`": r":download:`주피터 노트북 내려받기: \1`",
    r":download:`Download Python source code: (.+)`": r":download:`파이썬 코드 내려받기: \1`",
    r":download:`Download zipped: (.+)`": r":download:`압축 파일 내려받기: \1`",
}


def catalogs() -> list[tuple[Path, Catalog, Catalog]]:
    """Return the path of the translation, what it holds, and the template, for each page."""
    found = []
    for template_path in sorted({path for pattern in COMPLETE for path in TEMPLATES.glob(f"{pattern}.pot")}):
        path = (LOCALE / template_path.relative_to(TEMPLATES)).with_suffix(".po")
        translation = Catalog(locale="ko", project="transferkit", copyright_holder="The transferkit authors")
        if path.exists():
            with path.open("rb") as stream:
                translation = read_po(stream, locale="ko")
        with template_path.open("rb") as stream:
            found.append((path, translation, read_po(stream)))
    if not found:
        sys.exit(f"no templates in {TEMPLATES}: run `make translations`")
    return found


def update() -> None:
    """Write the sentences of the templates into the translations; what changed becomes fuzzy."""
    for path, translation, template in catalogs():
        translation.update(template, no_fuzzy_matching=not path.exists())
        for message in translation:
            for pattern, korean in ALIKE.items():
                if message.id and re.fullmatch(pattern, str(message.id)):
                    message.string = re.sub(pattern, korean, str(message.id))
                    message.flags.discard("fuzzy")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            write_po(stream, translation, width=120, ignore_obsolete=True, no_location=True, omit_header=False)


def check() -> None:
    """Exit with 1 and a list if anything is missing or fuzzy."""
    wrong = []
    for path, translation, template in catalogs():
        for message in template:
            if not message.id:
                continue
            found = translation.get(message.id)
            if found is None or not found.string or found.fuzzy:
                state = "fuzzy" if found is not None and found.fuzzy else "missing"
                wrong.append(f"{path}: {state}: {str(message.id)[:100]}")
    if wrong:
        sys.exit("\n".join([*wrong, f"{len(wrong)} sentences need a translation (CONTRIBUTING.md, Translations)"]))


if __name__ == "__main__":
    {"update": update, "check": check}[sys.argv[1]]()
