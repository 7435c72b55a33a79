"""How far work is: on terminals, in notebooks, in pipes; and on whatever else there is, without an error."""

import io
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferkit.progress import Bar, bars, brief, progress_bar

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(bars, "_SECONDS_BETWEEN", 0)


def on_a_terminal(monkeypatch):
    """Make standard output a terminal; no fixture, since pytest sets it anew before each test."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


@pytest.fixture
def notebook(monkeypatch):
    """Return what a kernel was asked to show, and whether as new output."""
    shown = []

    class Handle:
        def display(self, data, raw):
            shown.append(("new", data))

        def update(self, data, raw):
            shown.append(("update", data))

    pytest.importorskip("IPython")
    monkeypatch.setattr(bars, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.DisplayHandle", Handle)
    return shown


def work(total=4, overshoot=0):
    bar = Bar("CNN", transient=True)
    for done in range(1, total + 1):
        bar.move(done + overshoot, total, "CNN: epoch 1/1")
    bar.say("CNN: epoch 1/1  loss 0.1")
    bar.close()


def test_a_terminals_bar_ends_where_it_should_and_goes(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    work(overshoot=28)
    plain = CONTROL.sub("", terminal.getvalue())
    shares = [int(share) for share in re.findall(r"(\d+)%", plain)]
    assert max(shares) == 100
    assert plain.count("loss 0.1") == 1
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # the line of the bar is empty again


def test_a_pipe_has_one_line_an_epoch(capsys):
    work()
    assert capsys.readouterr().out == "CNN: epoch 1/1  loss 0.1\n"


def test_a_notebook_has_one_output_that_changes(notebook, capsys):
    work()
    assert [kind for kind, _ in notebook] == ["new"] + ["update"] * (len(notebook) - 1)
    assert '<progress value="4' in notebook[-2][1]["text/html"]
    assert notebook[-1][1]["text/plain"] == "CNN: epoch 1/1  loss 0.1"
    assert "<progress" not in notebook[-1][1]["text/html"]
    assert capsys.readouterr() == ("", "")


def test_a_notebook_shows_the_time_that_is_left(notebook, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    bar = Bar("CNN")
    monkeypatch.setattr(bar._progress, "get_time", lambda: next(clock))
    for done in range(1, 5):
        bar.move(done, 10)
    assert "left" in notebook[-1][1]["text/plain"]
    bar.close()


@given(name=st.text(max_size=30))
def test_any_name_is_shown_as_it_is(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        bar = Bar(name)
        bar.move(1, 2, f"{name} [red]not red[/]")
        bar.close()
        shown = bar._describe()["text/html"]
    assert "<script" not in shown


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("I/O operation on closed file")])
def test_a_terminal_that_breaks_ends_no_work(error, monkeypatch):
    class Broken(Terminal):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stdout", Broken())
    work()


def test_a_notebook_that_cannot_show_ends_no_work(notebook, monkeypatch):
    def refuse(self, data, raw):
        raise RuntimeError("no frontend")

    monkeypatch.setattr("IPython.display.DisplayHandle.display", refuse, raising=False)
    monkeypatch.setattr("IPython.display.DisplayHandle.update", refuse, raising=False)
    work()


def test_a_terminal_of_no_size_ends_no_work(monkeypatch):
    on_a_terminal(monkeypatch)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: (_ for _ in ()).throw(OSError(25, "no size")))
    work()


def test_only_a_kernel_is_a_notebook(monkeypatch):
    assert not bars.in_notebook()
    for shell, expected in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert bars.in_notebook() is expected


def test_of_many_trainings_only_the_live_line_is_shown(capsys, monkeypatch):
    with brief():
        work()
        assert capsys.readouterr().out == ""
        terminal = on_a_terminal(monkeypatch)
        work()
    assert "100%" in CONTROL.sub("", terminal.getvalue())
    assert "loss" not in terminal.getvalue()


def test_nothing_is_shown_where_nothing_is_done(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("Extracting features"):
        pass
    assert stream.getvalue() == ""
    with progress_bar("Extracting features") as advance:
        advance(2, 4)
        advance(2, 4)
    assert "100%" in CONTROL.sub("", stream.getvalue())
