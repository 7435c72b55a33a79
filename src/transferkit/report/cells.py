"""How a number is written: in a cell of a table or in a sentence."""

import math

from transferkit.statistics.conventions import LEVEL
from transferkit.translation import Translator

MISSING = "–"


def is_missing(value: object) -> bool:
    """Return whether a value is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def format_duration(seconds: float, say: Translator) -> str:
    """Return a duration in words.

    Examples
    --------
    >>> format_duration(250, Translator("en"))
    '4 min 10 s'
    """
    if round(seconds, 1) < 60:
        return say("{seconds:.1f} s", seconds=seconds)
    whole = round(seconds)
    if whole < 3600:
        return say("{minutes} min {seconds:02d} s", minutes=whole // 60, seconds=whole % 60)
    minutes = round(seconds / 60)
    return say("{hours} h {minutes:02d} min", hours=minutes // 60, minutes=minutes % 60)


def format_points(fraction: float, decimals: int) -> str:
    """Return a signed difference in percentage points.

    Examples
    --------
    >>> format_points(-0.0331, 2)
    '−3.31'
    """
    if math.isnan(fraction):
        return MISSING
    text = f"{100 * fraction:+.{decimals}f}"
    if not float(text):
        text = text.lstrip("+-")  # neither +0.00 nor -0.00
    return text.replace("-", "−")


def format_size(fraction: float, decimals: int) -> str:
    """Return a difference in percentage points, without a sign unless it is negative.

    Examples
    --------
    >>> format_size(0.0331, 2)
    '3.31'
    """
    return format_points(fraction, decimals).removeprefix("+")


def format_percent(fraction: float, low: float, high: float, decimals: int) -> str:
    """Return an accuracy with its interval, if it has one.

    Examples
    --------
    >>> format_percent(0.5, 0.25, 0.75, 1)
    '50.0% [25.0, 75.0]'
    """
    if math.isnan(fraction):
        return MISSING
    return f"{fraction:.{decimals}%}{_bracket(low, high, decimals)}"


def format_difference(points: float, low: float, high: float, decimals: int) -> str:
    """Return a difference of accuracy with its interval, if it has one.

    Examples
    --------
    >>> format_difference(0.02, 0.01, 0.03, 1)
    '+2.0 [+1.0, +3.0]'
    """
    ends = "" if math.isnan(low) else f" [{format_points(low, decimals)}, {format_points(high, decimals)}]"
    return format_points(points, decimals) + ends


def _bracket(low: float, high: float, decimals: int) -> str:
    return "" if math.isnan(low) else f" [{100 * low:.{decimals}f}, {100 * high:.{decimals}f}]"


def format_p(p: float) -> str:
    """Return a p value for a cell, with as many decimals as it takes to stay below the level that decides if it is.

    Examples
    --------
    >>> format_p(0.0156), format_p(1e-9), format_p(0.0498)
    ('0.016', '< 0.001', '0.0498')
    """
    if math.isnan(p):
        return MISSING
    if p < 0.001:
        return "< 0.001"
    written = (f"{p:.{decimals}f}" for decimals in range(3, 20))
    return next(text for text in written if (float(text) < LEVEL) == (p < LEVEL))
