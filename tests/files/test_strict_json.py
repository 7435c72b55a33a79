import pytest

from transferkit import files
from transferkit.errors import DataError


def test_json_is_strict(tmp_path):
    files.write_json(tmp_path / "x.json", {"이름": [1, None]})
    assert files.read_json(tmp_path / "x.json") == {"이름": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b'{"a": NaN}', b"[Infinity]", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"run\.json is not readable JSON"):
        files.read_json(path)
