"""A live line while long work runs: drawn by rich on a terminal, by IPython in a notebook, left out everywhere else."""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

from transferkit.progress.console import Forgiving, say

_SECONDS_BETWEEN: Final = 0.2
_BRIEF: ContextVar[bool] = ContextVar("brief", default=False)


class Bar:
    """How far something is, with the time that is left, until `close`; no error of a console ends the work.

    Parameters
    ----------
    title : str
        Stands before the bar.
    stream : text file, optional
        Standard output if None.
    transient : bool, default False
        Whether a terminal's bar goes when it is closed. In a notebook it becomes the line that was said last.
    """

    def __init__(self, title: str, *, stream: Any = None, transient: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        # rich's own notebook display needs ipywidgets; without them it prints that they are missing.
        console = Console(file=Forgiving(sys.stdout if stream is None else stream), force_jupyter=False)  # type: ignore[arg-type]
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=transient)
        self._task = self._progress.add_task(title, total=None)
        self._title, self._said = title, ""
        self._moved = 0.0
        self._display: Callable[[], None] | None = None
        if in_notebook():
            self._display = _Display(self._describe)
        elif console.is_terminal:
            self._safely(self._progress.start)

    def move(self, done: int, total: int | None, title: str | None = None) -> None:
        """Show that so much of a total is done; None is an unknown total."""
        self._title = title or self._title
        now = time.monotonic()
        if now - self._moved >= _SECONDS_BETWEEN or done == total:
            self._moved = now
            done = done if total is None else min(done, total)
            self._progress.update(self._task, completed=done, total=total, description=self._title)
            self._show()

    def say(self, line: str) -> None:
        """Show a line: above a terminal's bar, beside a notebook's, by itself elsewhere; only beside a bar where it is `brief`."""
        self._said = line
        if self._display is not None:
            self._show()
        elif _BRIEF.get():
            return
        elif self._progress.live.is_started:
            self._safely(lambda: self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True))
        else:
            say(line)

    def close(self) -> None:
        """End the live line, also after an interruption."""
        self._progress.stop_task(self._task)
        self._show()
        if self._progress.live.is_started:
            self._safely(self._progress.stop)

    def _show(self) -> None:
        if self._display is not None:
            self._safely(self._display)

    def _safely(self, show: Callable[[], Any]) -> None:
        try:
            show()
        except Exception:  # noqa: BLE001 - whatever a console or a notebook raises, the work goes on without a bar
            self._display = None

    def _describe(self) -> dict[str, str]:
        """Return the line as text and as HTML."""
        task = self._progress.tasks[0]
        left = task.time_remaining
        running = task.stop_time is None
        words = [self._said or self._title] if not running else [self._title, self._said]
        if running and left is not None:
            words.append(f"{timedelta(seconds=int(left))} left")
        text = "   ".join(word for word in words if word)
        share = "" if task.total is None else f' value="{task.completed}" max="{task.total}"'
        bar = f"<progress{share}></progress> " if running else ""
        return {"text/plain": text, "text/html": f"<div>{bar}{html.escape(text)}</div>"}


class _Display:
    """One output of a notebook's cell, shown once and changed from then on."""

    def __init__(self, describe: Callable[[], dict[str, str]]) -> None:
        from IPython.display import DisplayHandle

        handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]
        self._describe, self._handle, self._shown = describe, handle, False

    def __call__(self) -> None:
        show = self._handle.update if self._shown else self._handle.display
        self._shown = True
        show(self._describe(), raw=True)


def in_notebook() -> bool:
    """Whether code runs in a kernel, which shows HTML and no control characters."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def brief() -> Iterator[None]:
    """Leave out the lines that bars say, where each of many trainings has one line at its end."""
    token = _BRIEF.set(True)
    try:
        yield
    finally:
        _BRIEF.reset(token)


def say_unless_brief(message: str) -> None:
    """Write one line to standard output, but not where it is `brief`."""
    if not _BRIEF.get():
        say(message)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal or in a notebook, elsewhere nothing, from the first step on; yield ``advance(steps, total)``."""
    bar: Bar | None = None
    done = 0

    def advance(steps: int, total: int | None = None) -> None:
        nonlocal bar, done
        bar = bar or Bar(title, stream=sys.stderr)
        done += steps
        bar.move(done, total)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()
