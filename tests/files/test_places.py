import pytest

from transferkit import files
from transferkit.files import places


def test_home_is_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "x"))
    assert files.cache_home() == tmp_path / "x"
    monkeypatch.setenv("TRANSFERKIT_HOME", "")
    assert files.cache_home().name == "transferkit"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("", False), ("0", False), ("No", False)])
def test_offline_switch(monkeypatch, value, offline):
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", value)
    assert files.is_offline() is offline


def test_keras_home_is_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert files.keras_home() == tmp_path
    monkeypatch.delenv("KERAS_HOME")
    assert files.keras_home().name == ".keras"


def test_size_of_a_folder_counts_its_own_files_alone(tmp_path):
    assert files.folder_bytes(tmp_path / "absent") == 0
    (tmp_path / "big").write_bytes(b"x" * 1000)
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "a").write_bytes(b"x" * 10)
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "big")
    assert 10 <= files.folder_bytes(tmp_path / "folder") < 1000


def test_who_may_write_is_known(tmp_path, make_read_only):
    (tmp_path / "home").mkdir()
    assert places.can_be_written(tmp_path / "home")
    make_read_only(tmp_path / "home")
    assert not places.can_be_written(tmp_path / "home")
