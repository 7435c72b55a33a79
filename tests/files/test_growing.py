import errno
import os

import numpy as np
import pytest

from transferkit import files
from transferkit.errors import CacheError
from transferkit.files import growing


def test_temporary_arrays_lie_on_the_caches_disk_and_need_its_space(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "home"))
    folders = []
    make = growing.tempfile.TemporaryFile
    monkeypatch.setattr(growing.tempfile, "TemporaryFile", lambda dir: folders.append(dir) or make(dir=dir))
    array = files.temporary_array((3, 2), np.float32)
    array[:] = 1
    assert array.sum() == 6
    assert folders == [tmp_path / "home"]

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)
    with pytest.raises(CacheError, match="is full"):
        files.temporary_array((3, 2), np.float32)
    assert files.temporary_array((0, 2), np.float32).shape == (0, 2)


def test_where_the_cache_cannot_be_written_arrays_lie_elsewhere(tmp_path, monkeypatch, make_read_only):
    home = tmp_path / "home"
    home.mkdir()
    make_read_only(home)
    for place in (home, home / "sub"):
        monkeypatch.setenv("TRANSFERKIT_HOME", str(place))
        array = files.temporary_array((3, 2), np.float32)
        array[:] = 1
        assert array.sum() == 6


def test_appending_names_what_is_not_kept(tmp_path, make_read_only):
    home = tmp_path / "home"
    home.mkdir()
    make_read_only(home)
    message = r"features cannot be kept: .* may not be written to .*TRANSFERKIT_HOME"
    with pytest.raises(CacheError, match=message), files.open_for_appending(home / "sub" / "rows", what="features"):
        pass
