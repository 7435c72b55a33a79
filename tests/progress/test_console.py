"""A line for the user never ends a program."""

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.progress import say, tell
from transferkit.progress.console import Forgiving


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "한글 − “é”"),
        ("cp949", '한글 - "\\xe9"'),
        ("cp1252", "\\ud55c\\uae00 - “é”"),
        ("ascii", '\\ud55c\\uae00 - "\\xe9"'),
    ],
)
def test_signs_that_the_console_lacks_are_spelt_out(encoding, shown, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    say("한글 − “é”")
    tell("한글 − “é”")
    lines = stream.buffer.getvalue().decode(encoding).splitlines()
    assert [line.replace("“", '"').replace("”", '"') for line in lines] == [
        shown.replace("“", '"').replace("”", '"')
    ] * 2


@given(st.text(), st.sampled_from(["utf-8", "cp949", "cp1252", "ascii", "utf-16"]))
def test_any_text_can_be_written(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    assert Forgiving(stream).write(text) == len(text)
    stream.flush()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_no_standard_output_is_no_error(stream, monkeypatch):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    say("lost")


def test_a_reader_that_has_left_is_no_error():
    code = "from transferkit.progress import say, tell\nfor _ in range(20_000): say('x' * 80)\ntell('done')"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | head -1', shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[0] == "done"
