import contextlib
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.data.decoding import Decoding
from transferkit.deploy.metadata import ModelMetadata, append_archive, parse_metadata, read_archive
from transferkit.errors import DataError

names = st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5, unique=True).map(tuple)
decodings = st.builds(
    Decoding,
    st.integers(1, 500),
    st.integers(1, 500),
    st.sampled_from(["rgb", "grayscale"]),
    st.sampled_from(["stretch", "crop", "pad"]),
    st.integers(1, 10**9),
    st.integers(8, 16),
)
metadata = st.builds(
    ModelMetadata,
    st.none() | names,
    st.none() | st.tuples(st.integers(1, 500), st.integers(1, 500), st.integers(1, 4)),
    st.none() | decodings,
    st.text(),
)


@given(metadata)
def test_metadata_survive_their_text(facts):
    assert parse_metadata(facts.to_json(), where="x") == facts


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["class_names", "image_shape", "decoding", "dataset", "other"])


@given(st.text() | json_values.map(json.dumps) | st.dictionaries(keys, json_values).map(json.dumps))
def test_any_text_is_metadata_or_a_data_error(text):
    with contextlib.suppress(DataError):
        assert isinstance(parse_metadata(text, where="m.onnx"), ModelMetadata)


def test_damaged_metadata_name_the_file():
    with pytest.raises(
        DataError, match=r"m\.onnx: transferkit\.json in it does not describe a model.*Export the model again"
    ):
        parse_metadata('{"class_names": ["a"]}', where="m.onnx")


@pytest.mark.parametrize("content", [b"", b"TFL3 and more", b"PK"])
def test_file_without_metadata_says_nothing(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    assert read_archive(tmp_path / "m.tflite") == ModelMetadata()


def test_archive_is_added_behind_what_is_there(tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(bytes(range(256)) * 40)
    facts = ModelMetadata(("고양이", "two\nlines"), (8, 8, 3))
    append_archive(file, facts)
    assert read_archive(file) == facts
    assert file.read_bytes().startswith(bytes(range(256)) * 40)
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode("utf-8") == "고양이\ntwo lines\n"
