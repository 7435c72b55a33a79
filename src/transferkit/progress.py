"""What long work shows while it runs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar on a terminal or in a notebook, elsewhere nothing; yield ``advance(steps, total)``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (console.is_terminal or console.is_jupyter)) as progress:
        task = progress.add_task(title, total=None)

        def advance(steps: int, total: int | None = None) -> None:
            progress.update(task, advance=steps, total=total)

        yield advance


def tell(message: str) -> None:
    """Write one line for the user, beside the output proper."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the one place
