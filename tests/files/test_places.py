import pytest

from transferkit import files


def test_home_is_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "x"))
    assert files.cache_home() == tmp_path / "x"
    monkeypatch.setenv("TRANSFERKIT_HOME", "")
    assert files.cache_home().name == "transferkit"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("", False), ("0", False), ("No", False)])
def test_offline_switch(monkeypatch, value, offline):
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", value)
    assert files.is_offline() is offline
