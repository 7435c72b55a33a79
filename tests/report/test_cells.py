"""Numbers as they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.report.cells import format_duration, format_p, format_points, format_size
from transferkit.translation import translator


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
    assert format_duration(seconds, translator("en")) == english
    assert format_duration(seconds, translator("ko")) == korean


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0331, "+3.31"), (-0.0331, "−3.31"), (0.0, "0.00"), (-0.00001, "0.00"), (float("nan"), "–")],
)
def test_points_have_a_sign_unless_zero(fraction, text):
    assert format_points(fraction, 2) == text


def test_a_size_has_a_sign_only_below_zero():
    assert (format_size(0.0331, 2), format_size(-0.0331, 2)) == ("3.31", "−3.31")


def test_a_tiny_p_is_not_written_as_zero():
    assert (format_p(1e-9), format_p(0.0156), format_p(float("nan"))) == ("< 0.001", "0.016", "–")


@given(st.floats(0.001, 1) | st.floats(0.0495, 0.0505) | st.floats(0.05 - 1e-12, 0.05 + 1e-12))
def test_a_p_is_written_on_the_side_of_the_level_on_which_it_lies(p):
    written = format_p(p)
    assert (float(written) < 0.05) == (p < 0.05)
    assert float(written) == pytest.approx(p, abs=0.00051)
    assert len(written) == 5 or 0.0495 <= p < 0.05
