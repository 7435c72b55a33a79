from transferkit import files


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_scratch_folder_starts_empty_and_goes(tmp_path):
    path = tmp_path / "scratch"
    path.mkdir()
    (path / "left by a killed process").write_bytes(b"x")
    with files.scratch_folder(path) as folder:
        assert leftovers(folder) == []
        (folder / "a").write_bytes(b"x")
    assert not path.exists()


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    for name in (".x.abc.tmp", ".x.d.old", ".xy.abc.tmp", "x.tmp", "x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "big").write_bytes(b"x")
    (tmp_path / ".x.file.tmp").write_bytes(b"x")
    files.remove_leftovers(tmp_path / "x")
    assert leftovers(tmp_path) == [".xy.abc.tmp", "x", "x.tmp"]
