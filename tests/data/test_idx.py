import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from transferkit.data.idx import encode_idx, parse_idx, read_payload
from transferkit.errors import DataError

uint8_arrays = arrays(np.uint8, array_shapes(max_dims=4, max_side=5))


@given(uint8_arrays)
def test_round_trip(array):
    parsed = parse_idx(encode_idx(array), name="x")
    assert parsed.dtype == np.uint8
    assert parsed.shape == array.shape
    assert np.array_equal(parsed, array)


@given(uint8_arrays, st.data())
def test_any_other_length_is_refused(array, data):
    payload = encode_idx(array)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(DataError):
        parse_idx(payload[:cut], name="x")
    with pytest.raises(DataError):
        parse_idx(payload + b"\0", name="x")


@given(st.binary(max_size=200))
def test_random_bytes_are_parsed_exactly_or_refused(payload):
    try:
        array = parse_idx(payload, name="x")
    except DataError:
        return
    assert encode_idx(array) == payload


@given(uint8_arrays, st.data())
def test_corrupt_headers_never_raise_anything_else(array, data):
    payload = bytearray(encode_idx(array))
    payload[data.draw(st.integers(0, min(11, len(payload) - 1)))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_idx(bytes(payload), name="x")
    except DataError:
        return
    assert encode_idx(parsed) == bytes(payload)


@given(uint8_arrays, st.data())
def test_corrupt_gzip_is_refused_or_unchanged(tmp_path_factory, array, data):
    path = tmp_path_factory.mktemp("idx") / "x.gz"
    packed = bytearray(gzip.compress(encode_idx(array), mtime=0))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(packed)
    try:
        parsed = parse_idx(read_payload(path), name=str(path))
    except DataError:
        return
    assert np.array_equal(parsed, array)  # a flag or time stamp in gzip's own header


@pytest.mark.parametrize("compress", [True, False])
def test_reads_compressed_and_plain_whatever_the_name(tmp_path, compress):
    payload = encode_idx(np.arange(6, dtype=np.uint8).reshape(2, 3))
    path = tmp_path / ("images" if compress else "images.gz")
    path.write_bytes(gzip.compress(payload) if compress else payload)
    assert read_payload(path) == payload


def test_truncated_gzip_names_the_file(tmp_path):
    path = tmp_path / "train-images.gz"
    path.write_bytes(gzip.compress(bytes(10_000))[:-20])
    with pytest.raises(DataError, match=r"train-images\.gz is damaged or cut short"):
        read_payload(path)


def test_gzip_bomb_stops_at_the_bound(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(DataError, match="more than the 1,000 bytes"):
        read_payload(path, max_bytes=1000)


def test_missing_file_and_folder_are_data_errors(tmp_path):
    for path, message in ((tmp_path / "absent", "cannot be read"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=message):
            read_payload(path)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not an IDX file: it starts with nothing"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "IDX type 0x0d"),
        (b"\0\0\x08\0", "damaged IDX header"),
        (b"\0\0\x08\x03\0\0\0\1", "damaged IDX header"),
        (b"\0\0\x08\x01\0\0\0\5abc", "cut short"),
        (b"\0\0\x08\x01\0\0\0\1abc", "too long"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "cut short"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "impossible shape"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", None),
    ],
)
def test_wrong_content_is_named(payload, message):
    if message is None:
        assert parse_idx(payload, name="empty").shape == (0, 2**32 - 1)
        return
    with pytest.raises(DataError, match=message):
        parse_idx(payload, name="train-images")


def test_only_uint8_is_written():
    with pytest.raises(DataError, match="uint8"):
        encode_idx(np.zeros(3, dtype=np.int64))
