"""Warnings point at the user's line, and come once."""

import subprocess
import sys
import textwrap
import threading
import warnings

import joblib
import pytest

from transferkit.errors import TransferKitWarning, each_warning_once, first_time, warn


def from_here(call, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments)
    return [(item.filename, str(item.message), item.category) for item in caught]


HERE = (__file__, "odd", TransferKitWarning)


def test_a_warning_points_at_the_nearest_line_of_the_user():
    assert from_here(lambda: warn("odd")) == [HERE]


def test_libraries_between_are_passed_over():
    def call():
        joblib.Parallel(n_jobs=1)(joblib.delayed(warn)("odd") for _ in range(2))

    assert from_here(call) == [HERE, HERE]


def test_a_warning_without_any_line_of_the_user_is_given_too(tmp_path):
    code = """
        import threading, transferkit.errors
        thread = threading.Thread(target=transferkit.errors.warn, args=("odd",))
        thread.start(); thread.join()
        transferkit.errors.warn("from here")
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(code), encoding="utf-8")
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    first, *_, last = [line for line in done.stderr.splitlines() if "TransferKitWarning" in line]
    assert first.endswith("odd")
    assert last == f"{file}:5: TransferKitWarning: from here"


def test_the_same_is_said_once_though_libraries_change_filters():
    def seeds():
        for _ in range(3):
            warn("odd")
            with warnings.catch_warnings():  # forgets what was said
                warnings.simplefilter("ignore")
            warn("odd")

    assert from_here(each_warning_once()(seeds)) == [HERE]
    assert from_here(each_warning_once()(each_warning_once()(seeds))) == [HERE]
    assert len(from_here(seeds)) == 6


def test_what_became_an_error_is_not_taken_for_said():
    with each_warning_once(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(TransferKitWarning):
                warn("odd")


def test_another_thread_keeps_its_own_account():
    def elsewhere():
        with each_warning_once():
            thread = threading.Thread(target=warn, args=("odd",))
            warn("odd")
            thread.start()
            thread.join()

    assert len(from_here(elsewhere)) == 2


def test_what_is_no_warning_is_said_once_in_the_same_way():
    assert [first_time("short"), first_time("short")] == [True, True]
    with each_warning_once():
        assert [first_time("short"), first_time("short"), first_time("long")] == [True, False, True]
