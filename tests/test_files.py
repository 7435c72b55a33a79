import errno
import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays, integer_dtypes

from transferkit import files
from transferkit.errors import CacheError, DataError, DownloadError, TransferKitError

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


# Places and switches


def test_home_is_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "x"))
    assert files.cache_home() == tmp_path / "x"
    monkeypatch.setenv("TRANSFERKIT_HOME", "")
    assert files.cache_home().name == "transferkit"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("", False), ("0", False), ("No", False)])
def test_offline_switch(monkeypatch, value, offline):
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", value)
    assert files.is_offline() is offline


# Atomic writes


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


def test_temporary_arrays_lie_on_the_caches_disk_and_need_its_space(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "home"))
    folders = []
    make = files.tempfile.TemporaryFile
    monkeypatch.setattr(files.tempfile, "TemporaryFile", lambda dir: folders.append(dir) or make(dir=dir))
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


def test_json_is_strict(tmp_path):
    files.write_json(tmp_path / "x.json", {"이름": [1, None]})
    assert files.read_json(tmp_path / "x.json") == {"이름": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert leftovers(tmp_path) == ["x.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b'{"a": NaN}', b"[Infinity]", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"run\.json is not readable JSON"):
        files.read_json(path)


# Atomic folders


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


# Hashes


def test_file_hash_equals_hashlib(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert files.sha256_file(tmp_path / "x") == SHA256


@settings(deadline=None)
@given(arrays(integer_dtypes(), array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
def test_array_hash_depends_on_values_shape_and_dtype_not_on_layout(array):
    digest = files.sha256_arrays(array)
    assert digest == files.sha256_arrays(np.asfortranarray(array))
    assert digest == files.sha256_arrays(array.copy())
    assert digest != files.sha256_arrays(array[None])
    assert digest != files.sha256_arrays(array, array)
    if array.size:
        changed = array.copy()
        changed.flat[-1] ^= 1
        assert digest != files.sha256_arrays(changed)


def test_array_hash_is_the_same_in_one_piece_and_in_many(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 256, (1000, 7), dtype=np.uint8)
    whole = files.sha256_arrays(array)
    monkeypatch.setattr(files, "_CHUNK_BYTES", 50)
    np.save(tmp_path / "x.npy", array)
    assert files.sha256_arrays(np.load(tmp_path / "x.npy", mmap_mode="r")) == whole


# Locks


def hold_lock(path):
    """Start a process that holds the lock until it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from transferkit import files\n"
        "with files.lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder


def test_lock_times_out_with_its_name_and_a_dead_holder_frees_it(tmp_path):
    path = tmp_path / "weights"
    holder = hold_lock(path)

    def wait():
        with files.lock(path, timeout_seconds=0.2):
            pass

    with pytest.raises(TransferKitError, match=r"another process has held .*weights\.lock for 0\.2 s"):
        wait()
    holder.kill()
    holder.communicate()
    with files.lock(path, timeout_seconds=10):
        pass


def test_lock_excludes_threads(tmp_path):
    inside, most = [], []

    def work():
        with files.lock(tmp_path / "x"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


# Downloads


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        answer = getattr(self, f"send_{self.path.strip('/')}", None)
        if answer is None:
            self.send_error(int(self.path.strip("/")))
        else:
            answer()

    def send_all(self, body, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def send_good(self):
        self.send_all(CONTENT)

    def send_changed(self):
        self.send_all(CONTENT[:-1] + b"?")

    def send_page(self):
        self.send_all(b"\n<!DOCTYPE html><html><body>Log in</body></html>")

    def send_cut(self):
        self.send_all(CONTENT[: len(CONTENT) // 2], length=len(CONTENT))

    def send_cut_without_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])

    def send_redirect(self):
        self.send_response(302)
        self.send_header("Location", "/good")
        self.end_headers()

    def send_loop(self):
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["good", "redirect"])
def test_download_delivers_the_verified_file(server, tmp_path, name):
    path = tmp_path / "cache" / "x.bin"
    files.download(server.url + name, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["x.bin"]


def test_md5_is_enough_and_no_hash_is_not(server, tmp_path):
    files.download(f"{server.url}good", tmp_path / "x", md5=hashlib.md5(CONTENT).hexdigest())
    with pytest.raises(DownloadError, match="no known hash"):
        files.download(f"{server.url}good", tmp_path / "y")


def test_present_file_is_not_fetched_again_and_a_damaged_one_is(server, tmp_path):
    path = tmp_path / "x"
    files.download(f"{server.url}good", path, sha256=SHA256)
    files.download(f"{server.url}good", path, sha256=SHA256)
    assert server.requests == ["/good"]
    path.write_bytes(b"damaged")
    files.download(f"{server.url}good", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_file_without_a_known_hash_is_fetched_again_only_if_it_fails_its_check(server, tmp_path):
    def check(path):
        if path.read_bytes() != CONTENT:
            raise ValueError("damaged")

    path = tmp_path / "x"
    path.write_bytes(b"damaged")
    for _ in range(2):
        files.download(f"{server.url}good", path, check=check)
        assert path.read_bytes() == CONTENT
    assert server.requests == ["/good"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("404", "404"),
        ("500", "500"),
        ("page", "sent a web page"),
        ("cut", "IncompleteRead|does not match|broken"),
        ("cut_without_length", "does not match"),
        ("changed", "does not match"),
        ("loop", "redirects"),
    ],
)
def test_failed_download_says_why_and_leaves_nothing(server, tmp_path, name, message):
    with pytest.raises(DownloadError, match=message) as error:
        files.download(server.url + name, tmp_path / "x.bin", sha256=SHA256)
    assert str(error.value).startswith(f"{server.url}{name}: ")
    assert leftovers(tmp_path) == []


def test_unreachable_server_is_a_download_error(tmp_path):
    with pytest.raises(DownloadError, match="ConnectionError"):
        files.download("http://127.0.0.1:9/x", tmp_path / "x", sha256=SHA256)


def test_offline_switch_forbids_the_network(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")
    with pytest.raises(DownloadError, match="TRANSFERKIT_OFFLINE is set"):
        files.download(f"{server.url}good", tmp_path / "x", sha256=SHA256)
    assert server.requests == []


def test_folder_that_cannot_be_made_is_a_download_error(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError):
        files.download(f"{server.url}good", tmp_path / "file" / "x", sha256=SHA256)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root ignores permissions")
def test_read_only_folder_is_a_download_error(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="PermissionError"):
        files.download(f"{server.url}good", tmp_path / "x", sha256=SHA256)
    tmp_path.chmod(0o700)


# Manifests


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
