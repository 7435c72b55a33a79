"""Differences count by the scale of their channel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from transferkit.features.agreement import largest_difference, tolerance

# What is smaller than 1e-20 is 0: near the smallest number that float32 has, units do matter.
NUMBERS = st.floats(-1e3, 1e3, width=32).map(lambda number: number if abs(number) > 1e-20 else 0.0)
VALUES = arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=5), elements=NUMBERS)


@given(values=VALUES, exponent=st.integers(-20, 20))
def test_equal_arrays_agree_and_the_unit_does_not_matter(values, exponent):
    assert largest_difference(values, values) == 0
    shifted = values * np.float32(1.01)
    unit = np.float32(2.0**exponent)
    assert largest_difference(shifted * unit, values * unit) == pytest.approx(
        largest_difference(shifted, values), rel=1e-2, abs=1e-6
    )


def test_a_small_channel_beside_a_huge_one_is_not_overlooked():
    expected = np.array([[1.0, 1.0, 1e6], [2.0, 2.0, 1e6]], np.float32)
    computed = expected.copy()
    computed[0, 1] += 0.5
    assert largest_difference(computed, expected) == pytest.approx(0.25)


def test_rounding_in_a_channel_that_is_nearly_dead_is_not_a_difference():
    expected = np.array([[1e-7, 3.0, 2.0]], np.float32)
    assert largest_difference(expected + np.float32(1e-6), expected) < 1e-3


def test_channels_that_few_images_leave_dark_do_not_make_rounding_a_difference():
    expected = np.array([[0.0, 0.0, 0.0, 0.03, 2.0, 1.0]], np.float32)
    assert largest_difference(expected + np.float32(1e-4), expected) < 1e-3
    assert largest_difference(expected + np.float32(1e-2), expected) > 1e-3


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_odd_values_agree_only_with_themselves(odd):
    expected = np.array([[odd, 1.0]], np.float32)
    assert largest_difference(expected, expected) == 0
    assert largest_difference(np.array([[1.0, 1.0]], np.float32), expected) == np.inf
    assert largest_difference(expected, np.array([[1.0, 1.0]], np.float32)) == np.inf


def test_other_shapes_differ_and_probabilities_are_compared_as_they_are():
    assert largest_difference(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32)) == np.inf
    assert largest_difference(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)) == 0
    one, two = np.array([[1e-6]], np.float32), np.array([[2e-6]], np.float32)
    assert largest_difference(one, two) == pytest.approx(0.5)
    assert largest_difference(one, two, scale_at_least=1.0) < 1e-5


def test_lower_precision_explains_more():
    assert tolerance("float32") == 1e-3 < tolerance("float16") < tolerance("bfloat16") < 0.1
