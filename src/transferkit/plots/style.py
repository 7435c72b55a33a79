"""What all plots share: colours, a font for Hangul, axes of their own."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from transferkit.errors import InvalidInputError, MissingDependencyError, warn
from transferkit.runs.grouping import Runs, group_runs
from transferkit.runs.run import Run, run_of
from transferkit.translation import Translator, mark, translator

# Okabe & Ito (2008), "Color Universal Design", without black and yellow, which vanish on dark and on white paper.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS: Final = ("o", "s", "^", "v", "P", "X", "*")

STATUS: Final = {"diverged": mark("diverged"), "interrupted": mark("interrupted")}
"""How a training ended that has no result."""

_HANGUL_FONTS: Final = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "NanumBarunGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "Noto Sans CJK JP",  # matplotlib reads only the first face of the collection; it holds Hangul as well
)
_HANGUL_FILES: Final = ("NotoSansCJK-Regular", "NotoSansKR-Regular", "NanumGothic", "malgun", "AppleGothic")


def color_of(index: int) -> str:
    """Return the colour of the run at this place."""
    return PALETTE[index % len(PALETTE)]


def marker_of(index: int) -> str:
    """Return a marker that tells apart the runs that share a colour."""
    return _MARKERS[index // len(PALETTE) % len(_MARKERS)]


def find_hangul_font() -> str | None:
    """Return the name of an installed font with Hangul, or None."""
    from matplotlib import font_manager

    known = set(font_manager.fontManager.get_font_names())
    for name in _HANGUL_FONTS:
        if name in known:
            return name
    # matplotlib keeps a list of fonts from its first start: one installed since then is not in it
    for file in font_manager.findSystemFonts():
        if Path(file).stem in _HANGUL_FILES:
            font_manager.fontManager.addfont(file)
            return str(font_manager.FontProperties(fname=file).get_name())
    return None


def has_hangul(texts: Iterable[str]) -> bool:
    """Return whether any text holds Hangul."""
    return any(
        "\u1100" <= sign <= "\u11ff" or "\u3130" <= sign <= "\u318f" or "\uac00" <= sign <= "\ud7a3"
        for text in texts
        for sign in text
    )


def columns_of(text: str) -> int:
    """Return how many columns a text takes; Hangul and other East Asian letters take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def shorten(text: str, columns: int) -> str:
    """Return a text that takes no more than this many columns."""
    if columns_of(text) <= columns:
        return text
    taken = list(accumulate(map(columns_of, text)))
    return f"{text[: max(bisect_left(taken, columns), 1)].rstrip()}…"


def wrap(text: str, columns: int) -> str:
    """Return a text in lines of this many columns, longer only where a single word is."""
    lines = [""]
    for word in text.split():
        if lines[-1] and columns_of(f"{lines[-1]} {word}") > columns:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def shown_name(name: str, columns: int = 48) -> str:
    """Return a name as a plot writes it: in one line of this many columns, its ``$`` no mathematics.

    A legend leaves out what begins with an underscore, so a blank goes before it.
    """
    text = shorten(_one_line(name), columns)
    return _without_mathematics(f" {text}" if text.startswith("_") else text)


def shown_title(text: str, columns: int) -> str:
    """Return a text with names in it as a title: in up to four lines of this many columns, its ``$`` no mathematics."""
    words = shorten(_one_line(text), 4 * columns).split()
    return _without_mathematics(wrap(" ".join(shorten(word, columns) for word in words), columns))


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _without_mathematics(text: str) -> str:
    return text.replace("$", r"\$")


@contextmanager
def plot_texts(language: str, texts: Iterable[str] = ()) -> Iterator[Translator]:
    """Yield what speaks `language`, with a font that can draw them and `texts`, for as long as the plot is made.

    Without such a font, warn and speak English.
    """
    say = translator(language)
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingDependencyError(
            "plots need matplotlib, which is not installed. Run: pip install matplotlib"
        ) from None

    families = list(mpl.rcParams["font.family"])
    if language == "ko" or has_hangul(texts):
        font = find_hangul_font()
        if font is None:
            warn(
                "no font with Hangul is installed, so the plot's labels are English. Install one, for instance with "
                "`apt-get install fonts-nanum`, and draw again."
            )
            say = translator("en")
        else:
            families = [font, *families] if language == "ko" else [*families, font]
    with rc_settings({"font.family": families}):
        yield say


@contextmanager
def rc_settings(values: Mapping[str, Any]) -> Iterator[None]:
    """Set some of matplotlib's settings for a while.

    Not `matplotlib.rc_context`: it puts back every setting, with them what a notebook's backend, loaded meanwhile, has set,
    and no picture appears from then on.
    """
    from matplotlib import rcParams

    before = {name: rcParams[name] for name in values}
    rcParams.update(values)
    try:
        yield
    finally:
        rcParams.update(before)


def new_axes(width: float, height: float) -> Any:
    """Return the Axes of a new figure that pyplot shows in a notebook; sizes in inches."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def quiet_frame(ax: Any, *, grid: str | None = None) -> None:
    """Remove the frame's upper and right line and draw a faint grid along one axis."""
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, alpha=0.45, linewidth=0.8)
        ax.set_axisbelow(True)


def paper(ax: Any) -> dict[str, Any]:
    """Return a box in the axes' colour, for behind a text: gridlines do not strike through it then."""
    return {"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 1.0}


def list_runs(runs: Runs) -> list[Run]:
    """Return the runs as a list, those of one name together, named by the keys of a mapping.

    Raises
    ------
    InvalidInputError
        If there is none, or something else among them.
    """
    listed = [run for group in group_runs(runs).values() for run in group]
    if not listed:
        raise InvalidInputError("there is no run to draw; give at least one.")
    return listed


def predicted_run(run: Run) -> Run:
    """Return a run that has test predictions, or say why it cannot be drawn."""
    run = run_of(run)
    if not isinstance(run, Run):
        raise InvalidInputError(f"run must be a Run; got {type(run).__name__}. Read a saved one with load_run.")
    _ = run.test_predictions  # raises
    return run
