import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit import files
from transferkit.errors import DataError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("sealed") / "x"


@given(content=st.binary(max_size=200), data=st.data())
def test_content_comes_back_and_every_flipped_bit_and_cut_is_found(path, content, data):
    files.write_sealed(path, content)
    assert files.read_sealed(path) == content
    stored = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(stored) - 1))
    stored[bit // 8] ^= 1 << bit % 8
    path.write_bytes(stored)
    with pytest.raises(DataError, match="damaged"):
        files.read_sealed(path)
    files.write_sealed(path, content)
    path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, 31 + len(content)))])
    with pytest.raises(DataError, match="damaged"):
        files.read_sealed(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("가abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz"), inner, max_size=3),
    max_leaves=6,
)


@given(record=st.dictionaries(st.text("abcdef", min_size=1), VALUES, min_size=1, max_size=5), data=st.data())
def test_record_comes_back_and_a_flipped_bit_is_found_or_means_the_same(path, record, data):
    files.write_sealed_json(path, record)
    assert files.read_sealed_json(path) == record
    stored = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(stored) - 1))
    stored[bit // 8] ^= 1 << bit % 8
    path.write_bytes(stored)
    with contextlib.suppress(DataError):
        assert files.read_sealed_json(path) == record  # white space alone


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b'{"a": 1}', b'{"sha256": 3, "a": 1}', b'{"sha256": "00", "a": 1}', b'{"sha256": "00", "a": 1e999}'],
)
def test_record_without_its_seal_is_damaged(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        files.read_sealed_json(path)


def test_record_is_plain_json(path):
    files.write_sealed_json(path, {"split_sizes": [3, 1, 1]})
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record.keys() == {"sha256", "split_sizes"}
    record["split_sizes"] = [1, 1, 3]
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        files.read_sealed_json(path)
