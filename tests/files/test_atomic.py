import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transferkit import files


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


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


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root ignores permissions")
def test_read_only_folder_is_an_os_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "x", "y")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, number):
    files.write_text(tmp_path / "x", "old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        files.write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


# Folders


def write_folder(path, text, **options):
    with files.atomic_folder(path, **options) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text, encoding="utf-8")


def read_folder(path):
    return (path / "sub" / "a.txt").read_text(encoding="utf-8")


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


def test_failed_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "run"
    write_folder(path, "old")
    replace = Path.replace

    def fail(self, target):
        if self.name.endswith(".tmp"):
            raise PermissionError("in use")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PermissionError):
        write_folder(path, "new", replace=True)
    assert read_folder(path) == "old"
    assert leftovers(tmp_path) == ["run"]
