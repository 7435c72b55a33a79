"""How long the project's own commands take, and how much memory all their processes have together at most.

    python benchmarks/commands.py [--quick] [TARGETS ...]

The targets are those of the Makefile: docs, assignment and test if none is named. Memory is counted as PSS, which divides what processes
share among them, every half second. What a target downloads or installs should be there before; the assignment trains anew. Rows of other
targets that this machine measured are kept.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import psutil

ROOT = Path(__file__).parent.parent
# The documentation comes first, since it shows this table as it was the last time, when all of its rows were translated.
TARGETS = ("docs", "assignment", "test")


def memory_gb(process: psutil.Process) -> float:
    """Return what a process and those that it started have together."""
    found = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            found += each.memory_full_info().pss
        except psutil.Error:  # it ended
            continue
    return found / 1e9


def measure(command: list[str]) -> tuple[float, float]:
    """Return seconds and peak memory of a command; if it fails, say the end of what it printed, and end too."""
    start, most = time.perf_counter(), 0.0
    with (
        tempfile.TemporaryFile("w+") as printed,
        psutil.Popen(command, cwd=ROOT, stdout=printed, stderr=subprocess.STDOUT) as running,
    ):
        while running.poll() is None:
            try:
                most = max(most, memory_gb(running))
            except psutil.Error:
                break
            time.sleep(0.5)
        if running.wait():
            printed.seek(0)
            sys.exit(f"{''.join(printed.readlines()[-30:])}{' '.join(command)} ended with status {running.returncode}.")
    return time.perf_counter() - start, most


def main() -> None:
    parser = argparse.ArgumentParser(description="Minutes and memory of the project's own commands")
    parser.add_argument("targets", nargs="*", metavar="TARGETS", help=f"of the Makefile; {', '.join(TARGETS)} if none")
    options = machine.parse(parser)
    targets = options.targets or TARGETS
    rows = [] if options.quick else machine.kept_rows(options, "commands")
    kept = [row for row in rows if row["command"].removeprefix("make ") not in targets]
    results = machine.Results("commands", {"command": "{}", "minutes": "{:.1f}", "peak memory": "{:.1f} GB"}, options)
    for target in targets:
        with tempfile.TemporaryDirectory() as folder:
            command = ["make", "--silent", target, f"OPTIONS=--folder {folder}"]
            # Quickly, `make` only says what it would do.
            seconds, most = measure([*command, *(["--dry-run"] if options.quick else [])])
        while kept:  # only now, since the documentation shows the rows that were there
            results.add(*kept.pop(0).values())
        results.add(f"make {target}", seconds / 60, most)


if __name__ == "__main__":
    main()
