import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transferkit import files
from transferkit.errors import DataError, InvalidInputError


class OfBytes:
    def __fspath__(self):
        return b"folder/file"


@pytest.mark.parametrize("value", ["folder/file", Path("folder/file"), OfBytes()])
def test_every_kind_of_path_is_taken(value):
    assert files.as_path(value, "path") == Path("folder/file")


def test_home_is_filled_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.as_path("~/x", "path") == tmp_path / "x"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "must be a path"),
        (3, "must be a path"),
        (True, "must be a path"),
        (b"folder", "fsdecode"),
        (["a"], "must be a path"),
        ("a\0b", "null character"),
        ("a" * 300, "longer than file systems allow"),
        ("/".join(["abcdefg"] * 1000), "longer than file systems allow"),
        ("가" * 100, "longer than file systems allow"),
        ("\ud83d", "is no path"),
        ("~nobody-of-this-name/x", "is no path"),
    ],
)
def test_what_can_be_no_path_is_refused_by_name(value, message):
    with pytest.raises(InvalidInputError, match=message) as error:
        files.as_path(value, "folder")
    assert str(error.value).startswith("folder ")
    assert len(str(error.value)) < 400


@given(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.lists(st.text())))
@example("a/" * 3000)
def test_a_path_is_refused_or_the_system_takes_it(tmp_path_factory, value):
    try:
        path = files.as_path(value, "path")
    except InvalidInputError:
        return
    (tmp_path_factory.getbasetemp() / str(path).lstrip("/")).exists()  # raises for what the system cannot take


@pytest.fixture(params=["pipe", "socket", "device", "folder", "link to a pipe"])
def no_file(request, tmp_path):
    path = tmp_path / "x"
    if request.param == "folder":
        path.mkdir()
        yield path
    elif request.param == "device":
        yield Path(os.devnull)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            yield path
    else:
        os.mkfifo(path)
        if request.param == "pipe":
            yield path
        else:
            (tmp_path / "link").symlink_to(path)
            yield tmp_path / "link"


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX's")
@pytest.mark.parametrize(
    "read", [files.open_file, files.check_file, files.sha256_file, files.read_json, files.read_sealed]
)
def test_what_is_no_file_is_refused_and_never_waited_for(no_file, read):
    with pytest.raises(DataError, match=r"is (a named pipe|a socket|a device|a folder), where a file is expected"):
        read(no_file)


def test_file_behind_a_link_is_read_and_an_absent_one_is_absent(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with files.open_file(tmp_path / "link") as stream:
        assert stream.read() == b"content"
        assert stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    with pytest.raises(FileNotFoundError):
        files.open_file(tmp_path / "absent")
