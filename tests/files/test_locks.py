import subprocess
import sys
import threading
import time

import pytest

from transferkit import files
from transferkit.errors import TransferKitError


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
