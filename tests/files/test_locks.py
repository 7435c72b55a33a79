import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import filelock
import pytest

from transferkit import files
from transferkit.errors import LockTimeoutError, StorageError, TransferKitError
from transferkit.files import locks

HOLDER = """
import sys, time
from pathlib import Path
from transferkit import files
with files.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def start_holder():
    """Return a function that starts a process which holds a lock until it is killed."""
    holders = []

    def start(path):
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def take(path, **options):
    with files.lock(path, **options) as held:
        return held


def test_lock_times_out_naming_its_holder_and_a_dead_holder_frees_it(tmp_path, start_holder):
    holder = start_holder(tmp_path / "weights")
    with pytest.raises(
        LockTimeoutError, match=rf"run 'a' is in use by process {holder.pid} on .*weights\.lock"
    ) as error:
        take(tmp_path / "weights", what="run 'a'", timeout_seconds=0.2)
    assert isinstance(error.value, TransferKitError)
    assert isinstance(error.value, TimeoutError)
    holder.kill()
    holder.wait()
    assert take(tmp_path / "weights", timeout_seconds=10)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP")
def test_stopped_holder_does_not_cost_the_whole_wait_and_one_that_works_does_not_end_it(
    tmp_path, start_holder, monkeypatch
):
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.1)
    path = tmp_path / "run"
    holder = start_holder(path)
    holder.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(LockTimeoutError, match=rf"no sign of life for 0\.3 s.*kill -CONT {holder.pid}"):
        take(path, timeout_seconds=60, silence_seconds=0.3)
    assert time.monotonic() - begun < 5
    holder.kill()
    holder.wait()
    held, over = threading.Event(), threading.Event()

    def hold():
        with files.lock(path):
            held.set()
            over.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(10)
    with pytest.raises(LockTimeoutError, match=r"waited for 1 s"):
        take(path, timeout_seconds=1, silence_seconds=0.4)
    over.set()
    thread.join()


def test_whoever_waits_is_told_once_for_what_and_for_whom(tmp_path, start_holder, capfd):
    holder = start_holder(tmp_path / "a")
    threading.Timer(1.2, holder.kill).start()
    assert take(tmp_path / "a", what="run 'a'", timeout_seconds=30)
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(
        f"Waiting for run 'a', which is in use by process {holder.pid} on {socket.gethostname()}, since 20"
    )


def test_no_word_where_there_is_nothing_to_wait_for(tmp_path, capfd):
    assert take(tmp_path / "a")
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] in (["a.lock"], [])  # filelock removes its file on some systems


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


def test_thread_that_waits_for_itself_is_refused_at_once(tmp_path):
    begun = time.monotonic()
    with files.lock(tmp_path / "x"), pytest.raises(LockTimeoutError, match="asks for it again"):
        take(tmp_path / "x", timeout_seconds=60)
    assert time.monotonic() - begun < 5
    assert take(tmp_path / "x", timeout_seconds=0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff", None])
def test_whatever_lies_in_the_holders_file_the_wait_ends(tmp_path, content):
    path = tmp_path / "x"
    with filelock.FileLock(tmp_path / "x.lock"):
        if content is not None:
            (tmp_path / "x.holder").write_bytes(content)
        with pytest.raises(LockTimeoutError, match="in use by another process"):
            take(path, timeout_seconds=0.1)
    assert take(path)


def test_what_another_wrote_into_a_folder_made_again_is_left(tmp_path):
    with files.lock(tmp_path / "x"):
        (tmp_path / "x.holder").write_text('{"pid": 1, "thread": 1, "host": "other", "since": "now"}', encoding="utf-8")
    assert (tmp_path / "x.holder").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_that_grants_no_locks_is_an_error_with_the_cure(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=r"grants no locks .* TRANSFERKIT_HOME") as error:
        take(tmp_path / "x")
    assert error.value.errno == number


def test_folder_that_cannot_be_written_needs_no_lock(tmp_path, make_read_only):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "x").write_bytes(b"content")
    make_read_only(folder)
    assert take(folder / "x") is False
    with pytest.raises(StorageError, match="may not be written to"):
        take(folder / "new" / "x")


def test_full_disk_is_a_clear_error(small_disk):
    with contextlib.suppress(OSError):
        for number in range(1000):
            (small_disk / str(number)).touch()
    with pytest.raises(StorageError) as error:
        take(small_disk / "sub" / "x")
    assert error.value.errno == errno.ENOSPC
