"""Known noise of C++ stays away; everything else that is written to file descriptor 2 arrives, whatever happens."""

import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.errors import list_some
from transferkit.progress.native import LEVEL, ask_for_quiet, is_noise, quietly

NOISE = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1764200000.123456    1234 port.cc:153] oneDNN custom operations are on. You may see slightly different",
    "2026-11-26 23:34:28.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized",
    "To enable the following instructions: AVX2 AVX512F FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.",
    "W0000 00:00:1764200000.123456    1234 tf_tfl_flatbuffer_helpers.cc:365] Ignored output_format.",
    "E0000 00:00:1764200000.123456    1234 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting to register",
    "E0000 00:00:1764200000.123456  1234 cuda_platform.cc:51] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
]
WORTH_READING = [
    "E0000 00:00:1764200000.123456    1234 interpreter.cc:12] Out of memory",
    "F0000 00:00:1764200000.123456    1234 tensor.cc:12] Check failed: size > 0",
    "ERROR: Node number 3 (CONV_2D) failed to prepare.",
    "INFO: what the user's own program logs",
    "UserWarning: the folder holds nothing",
    "Traceback (most recent call last):",
]


@pytest.fixture(autouse=True)
def level(monkeypatch):
    monkeypatch.delenv(LEVEL, raising=False)


@pytest.mark.parametrize("number", range(len(NOISE)))
def test_noise_is_kept_away(number, capfd):
    with quietly():
        os.write(2, f"{NOISE[number]}\n".encode())
    assert capfd.readouterr().err == ""


def test_what_is_worth_reading_arrives_in_its_order(capfd):
    with quietly():
        for noise, line in zip(NOISE, WORTH_READING, strict=False):
            os.write(2, f"{noise}\n{line}\n".encode())
        os.write(2, b"and the last line, which has no end")
    assert capfd.readouterr().err == "\n".join([*WORTH_READING, "and the last line, which has no end"])


@given(st.binary(max_size=80))
def test_no_other_line_is_taken_for_noise(text):
    assert not is_noise(b"my program: " + text)


def test_an_exception_passes_and_everything_is_given_back(capfd):
    def fail():
        with quietly():
            os.write(2, b"ERROR: why it failed\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    os.write(2, b"I0000 00:00:1764200000.123456    1234 port.cc:153] afterwards\n")
    assert capfd.readouterr().err.splitlines() == [
        "ERROR: why it failed",
        "I0000 00:00:1764200000.123456    1234 port.cc:153] afterwards",
    ]


def test_threads_that_come_and_go_leave_standard_error_as_it_was(capfd):
    before = os.fstat(2)

    def work(number):
        for turn in range(20):
            with quietly():
                os.write(2, f"{NOISE[0]}\nthread {number} turn {turn}\n".encode())
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(before, os.fstat(2))
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"thread {number} turn {turn}" for number in range(4) for turn in range(20))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_dies_inside_says_where():
    code = (
        "import os\nfrom transferkit.progress import quietly\ndef convert():\n    os.abort()\nwith quietly(): convert()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert "in convert" in done.stderr


def test_a_fault_handler_of_the_users_stays():
    code = "import faulthandler\nfrom transferkit.progress import quietly\nfor on in (False, True):\n    if on: faulthandler.enable()\n"
    code += "    with quietly(): pass\n    print(faulthandler.is_enabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"]


def test_remarks_of_tensorflows_logger_are_dropped_for_our_work_only(caplog):
    ask_for_quiet()
    logger = logging.getLogger("tensorflow")
    remarks = ["5 out of the last 5 calls to <step> triggered tf.function retracing.", "Assets written to: %s"]
    for text in (*remarks, "something is wrong"):
        logger.warning(text)  # the user's own work
    assert [record.msg for record in caplog.records] == [*remarks, "something is wrong"]
    caplog.clear()
    for text in (*remarks, "something is wrong"):
        list_some(logger.warning(one) or "" for one in [text])  # called by a module of ours
    assert [record.msg for record in caplog.records] == ["something is wrong"]


def test_who_wants_to_see_everything_does(capfd, monkeypatch):
    monkeypatch.setenv(LEVEL, "0")
    with quietly():
        os.write(2, f"{NOISE[0]}\n".encode())
    assert capfd.readouterr().err == f"{NOISE[0]}\n"


def test_python_without_a_standard_error_works():
    code = "import os, sys; os.close(2); sys.stderr = None; from transferkit.progress import quietly\nwith quietly(): print('in')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "in\n")


def test_a_level_that_the_user_set_stays(monkeypatch):
    ask_for_quiet()
    assert os.environ[LEVEL] == "2"
    monkeypatch.setenv(LEVEL, "1")
    ask_for_quiet()
    assert os.environ[LEVEL] == "1"


def import_tensorflow(tmp_path, body):
    """Import a package called tensorflow, which runs `body`, after transferkit; return what became of it."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(f"import os\n{body}\n", encoding="utf-8")
    code = "import transferkit, importlib.util\nassert importlib.util.find_spec('tensorflow')\nimport tensorflow\nprint(tensorflow.done)"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_tensorflow_is_imported_quietly_by_whoever_does_it(tmp_path):
    done = import_tensorflow(tmp_path, f"os.write(2, {NOISE[1].encode()!r} + b'\\nworth reading\\n'); done = True")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "worth reading\n")


def test_an_error_of_its_import_is_the_users_to_see(tmp_path):
    done = import_tensorflow(tmp_path, "raise ImportError('no AVX')")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: no AVX"
