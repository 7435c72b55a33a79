import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from transferkit import files
from transferkit.errors import StorageError


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(path, text, **options):
    with files.atomic_folder(path, **options) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text, encoding="utf-8")


def read_folder(path):
    return (path / "sub" / "a.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["a" * 255, "가" * 85, "a" * 230 + ".json"])
@pytest.mark.parametrize("write", [files.write_text, write_folder])
def test_name_as_long_as_the_file_system_allows_is_written(tmp_path, name, write):
    write(tmp_path / name, "text")
    assert leftovers(tmp_path) == [name]


def test_file_appears_complete_and_readable_by_all(tmp_path):
    path = tmp_path / "new" / "x.bin"
    with files.atomic_write(path) as stream:
        stream.write(b"half")
        assert not path.exists()
        stream.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert leftovers(path.parent) == ["x.bin"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "x.txt"
    files.write_text(path, "old")

    def write():
        with files.atomic_write(path) as stream:
            stream.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text(encoding="utf-8") == "old"
    assert leftovers(tmp_path) == ["x.txt"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    files.write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from transferkit import files\n"
        "with files.atomic_write(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'new'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text(encoding="utf-8") == "old"
    files.write_text(path, "newer")
    assert path.read_text(encoding="utf-8") == "newer"


@pytest.mark.parametrize("write", [files.write_text, files.write_json, write_folder])
def test_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path, make_read_only, write):
    folder = tmp_path / "runs"
    folder.mkdir()
    make_read_only(folder)
    for path in (folder / "x", folder / "new" / "x"):
        with pytest.raises(
            StorageError, match=r"the note cannot be kept: .* may not be written to .* call again"
        ) as error:
            write(path, "text", what="the note")
        assert error.value.errno in (errno.EROFS, errno.EACCES)
        assert isinstance(error.value, OSError)
    assert list(folder.iterdir()) == []


def test_full_disk_is_named_with_the_cure_and_leaves_the_old_file(small_disk):
    files.write_text(small_disk / "x", "old")
    with pytest.raises(StorageError, match=r"x cannot be kept: the disk that holds .* is full") as error:
        files.write_text(small_disk / "x", "new" * 200_000)
    assert error.value.errno == errno.ENOSPC
    assert (small_disk / "x").read_text(encoding="utf-8") == "old"
    assert leftovers(small_disk) == ["x"]
    files.write_text(small_disk / "x", "new")


def write_arrays(folder):
    np.savez(folder / "a.npz", np.zeros(200_000))


def write_hdf5(folder):
    with h5py.File(folder / "a.h5", "w") as stream:
        stream["a"] = np.random.default_rng(0).random(200_000)


@pytest.mark.parametrize("fill", [write_arrays, write_hdf5])
def test_full_disk_leaves_the_old_folder_whoever_writes_into_it(small_disk, fill):
    write_folder(small_disk / "run", "old")

    def write():
        with files.atomic_folder(small_disk / "run", replace=True, what="run 'a'") as folder:
            fill(folder)

    with pytest.raises(StorageError, match="run 'a' cannot be kept") as error:
        write()
    assert error.value.errno == errno.ENOSPC
    assert read_folder(small_disk / "run") == "old"
    assert leftovers(small_disk) == ["run"]


def test_error_in_the_cache_tells_how_to_free_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path))
    fail_with(monkeypatch, errno.EDQUOT)
    with pytest.raises(StorageError, match="clear_cache"):
        files.write_text(tmp_path / "sub" / "x", "new")


def fail_with(monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO])
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, number):
    files.write_text(tmp_path / "x", "old")
    fail_with(monkeypatch, number)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as error:
        files.write_text(tmp_path / "x", "new")
    assert error.value.errno == number
    assert (tmp_path / "x").read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_error_of_the_callers_own_is_not_taken_for_the_disks(tmp_path):
    def write():
        with files.atomic_write(tmp_path / "x"):
            (tmp_path / "absent").read_bytes()

    with pytest.raises(FileNotFoundError) as error:
        write()
    assert not isinstance(error.value, StorageError)


# Folders


def test_folder_appears_whole_and_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "run"
    write_folder(path, "one")
    assert read_folder(path) == "one"
    with pytest.raises(FileExistsError):
        write_folder(path, "two")
    write_folder(path, "two", replace=True)
    assert read_folder(path) == "two"
    assert leftovers(tmp_path) == ["run"]


def test_failed_folder_keeps_the_old_one(tmp_path):
    path = tmp_path / "run"
    write_folder(path, "old")

    def write():
        with files.atomic_folder(path, replace=True) as folder:
            (folder / "b").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert read_folder(path) == "old"
    assert leftovers(tmp_path) == ["run"]


def test_folder_made_by_another_in_the_meantime_is_kept(tmp_path):
    path = tmp_path / "run"

    def race():
        with files.atomic_folder(path) as folder:
            (folder / "b").write_bytes(b"mine")
            write_folder(path, "theirs")

    with pytest.raises(FileExistsError):
        race()
    assert read_folder(path) == "theirs"
    assert leftovers(tmp_path) == ["run"]


@pytest.mark.parametrize("times", [1, 2])
def test_failed_swap_puts_the_old_folder_back_or_keeps_it_aside(tmp_path, monkeypatch, times):
    path = tmp_path / "run"
    write_folder(path, "old")
    replace, failures = Path.replace, []

    def fail(self, target):
        if len(failures) < times and (self.name.endswith(".tmp") or failures):
            failures.append(self)
            raise PermissionError(errno.EACCES, "in use")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="in use"):
        write_folder(path, "new", replace=True)
    if times == 1:
        assert read_folder(path) == "old"
        assert leftovers(tmp_path) == ["run"]
    else:  # the disk went away amid it
        assert [read_folder(folder / "run") for folder in tmp_path.iterdir()] == ["old"]
