"""What long work shows while it runs, and what it keeps to itself."""

from transferkit.progress.bars import Bar, brief, progress_bar, say_unless_brief
from transferkit.progress.console import for_console, printable, say, simplify, tell
from transferkit.progress.native import ask_for_quiet, quietly

__all__ = [
    "Bar",
    "ask_for_quiet",
    "brief",
    "for_console",
    "printable",
    "progress_bar",
    "quietly",
    "say",
    "say_unless_brief",
    "simplify",
    "tell",
]
