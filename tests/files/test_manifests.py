import hashlib
import json

import pytest

from transferkit import files
from transferkit.errors import DataError


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    (path / "sub").mkdir(parents=True)
    (path / "a.txt").write_bytes(b"a")
    (path / "sub" / "b.txt").write_bytes(b"bb")
    (path / "model.weights.h5").write_bytes(b"w")
    files.write_manifest(path, name="x")
    return path


def test_manifest_lists_every_file_and_facts(folder):
    manifest = files.verify_manifest(folder)
    assert manifest["name"] == "x"
    assert set(manifest["files"]) == {"a.txt", "sub/b.txt", "model.weights.h5"}
    assert manifest["files"]["sub/b.txt"] == {"sha256": hashlib.sha256(b"bb").hexdigest(), "bytes": 2}


def test_changed_and_missing_files_are_named(folder):
    (folder / "a.txt").write_bytes(b"b")
    with pytest.raises(DataError, match=r"a\.txt was changed or damaged"):
        files.verify_manifest(folder)
    files.verify_manifest(folder, {"sub/b.txt": None})
    (folder / "a.txt").unlink()
    with pytest.raises(DataError, match=r"a\.txt is missing"):
        files.verify_manifest(folder)


def test_weights_may_be_left_out_unless_asked_for(folder):
    (folder / "model.weights.h5").unlink()
    files.verify_manifest(folder)
    with pytest.raises(DataError, match="is missing"):
        files.verify_manifest(folder, {"model.weights.h5": None})


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/../../secret"])
def test_manifest_cannot_point_outside_its_folder(folder, name):
    (folder.parent / "secret").write_bytes(b"s")
    entry = {"sha256": hashlib.sha256(b"s").hexdigest(), "bytes": 1}
    (folder / files.MANIFEST).write_text(json.dumps({"files": {name: entry}}), encoding="utf-8")
    with pytest.raises(DataError, match="lies outside its folder"):
        files.verify_manifest(folder)


def test_symlink_out_of_the_folder_is_refused(folder):
    (folder.parent / "secret").write_bytes(b"a")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(folder.parent / "secret")
    with pytest.raises(DataError, match="lies outside its folder"):
        files.verify_manifest(folder)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"files": []}', '{"files": {"a.txt": 1}}', '{"files": {"a.txt": {}}}', "{"]
)
def test_damaged_manifest_is_a_data_error(folder, content):
    (folder / files.MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="manifest"):
        files.verify_manifest(folder)
