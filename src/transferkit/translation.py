"""The words of reports and plots in other languages than English, which stands in the code: gettext catalogues.

A catalogue is read as its translator wrote it, so a wheel, an editable installation and a clone need no step that compiles it.
"""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from transferkit.errors import UnknownNameError

_CATALOGUES: Final = Path(__file__).with_name("locale")
LANGUAGES: Final = ("en", *sorted(path.stem for path in _CATALOGUES.glob("*.po")))


def mark(message: str) -> str:
    """Return the message: it stands in a table of texts, and is translated where it is used.

    Examples
    --------
    >>> mark("Test loss")
    'Test loss'
    """
    return message


class Translator:
    """Says in one language what is given in English, whose ``{placeholders}`` it fills in.

    `tools/translations.py` finds the messages by the names ``say``, ``say.counted`` and ``mark``.

    Parameters
    ----------
    language : {"en", "ko"}
        English or Korean.

    Examples
    --------
    >>> say = Translator("ko")
    >>> say("{count} models compared on {dataset}", count=3, dataset="Fashion-MNIST")
    'Fashion-MNIST: 모델 3개 비교'
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = _read_catalogue(language)

    def __call__(self, message: str, /, **values: object) -> str:
        """Return the message in this language."""
        return self._catalogue.gettext(message).format(**values)

    def counted(self, one: str, many: str, count: int, /, **values: object) -> str:
        """Return one of two messages, whichever `count`, which is filled in as well, asks for in this language."""
        return self._catalogue.ngettext(one, many, count).format(count=count, **values)


@cache
def _read_catalogue(language: str) -> NullTranslations:
    if language == "en":
        return NullTranslations()
    import polib

    return GNUTranslations(BytesIO(polib.pofile(str(_CATALOGUES / f"{language}.po")).to_binary()))


def translator(language: str) -> Translator:
    """Return what speaks a language.

    Parameters
    ----------
    language : {"en", "ko"}
        English or Korean.

    Returns
    -------
    Translator
        See there.

    Raises
    ------
    UnknownNameError
        If there are no texts in that language.

    Examples
    --------
    >>> translator("ko")("Test loss")
    '테스트 손실'
    """
    if language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    return Translator(language)
