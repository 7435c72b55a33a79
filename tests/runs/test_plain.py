"""Plain values are what JSON gives back, whatever they were made of."""

import decimal
import enum
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from transferkit.runs.plain import DEEPEST, plain


class Colour(enum.StrEnum):
    RED = "red"


class Odd:
    def __repr__(self):
        raise ValueError("no words")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.datetimes()
    | npst.scalar_dtypes().flatmap(npst.from_dtype)
    | npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, max_side=3))
    | st.sampled_from([Ellipsis, object(), Path("a"), Colour.RED, np.ma.masked, np.longdouble(2)])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(), max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_anything_becomes_what_json_gives_back(value):
    found = plain(value)
    assert json.loads(json.dumps(found, allow_nan=False).encode("utf-8")) == found
    assert plain(found) == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        (decimal.Decimal("0.25"), 0.25),
        (Colour.RED, "red"),
        (-math.inf, None),
        ({1: {None: "a"}}, {"1": {"None": "a"}}),
        (datetime(2026, 1, 1, tzinfo=UTC), repr(datetime(2026, 1, 1, tzinfo=UTC))),
        (b"ab", "b'ab'"),
        (Odd(), "<Odd>"),
        (16**2000, "0x1" + 2000 * "0"),
        ("\ud800", "?"),
    ],
)
def test_values_become_their_plain_likes(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_the_same_value_twice_is_no_loop_and_a_loop_ends():
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]
    loop: list[object] = []
    loop.append(loop)
    assert plain(loop) == ["..."]
    deep: object = 1
    for _ in range(2 * DEEPEST):
        deep = {"a": deep}
    assert json.dumps(plain(deep)).count("{") == DEEPEST


def test_numbers_of_tensors_and_variables_become_numbers():
    keras = pytest.importorskip("keras")
    assert plain({"rate": keras.Variable(0.5), "steps": keras.ops.convert_to_tensor(3)}) == {"rate": 0.5, "steps": 3}


def test_no_address_of_this_process_is_recorded():
    class Own:
        def method(self):
            """Have an address."""

    found = plain({"function": len, "object": Own(), "method": Own().method, "lambda": lambda: 0})
    assert " at 0x" not in str(found)
    assert found == plain({"function": len, "object": Own(), "method": Own().method, "lambda": lambda: 0})
