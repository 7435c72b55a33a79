"""What the benchmarks share: options, what they run on, timing in turns, processes of their own, and results kept row by row."""

import argparse
import atexit
import csv
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("transferkit", "tensorflow", "keras", "numpy", "ai-edge-litert")


def parse(parser: argparse.ArgumentParser, *, keeps: bool = True, **quick: Any) -> argparse.Namespace:
    """Return the options; ``--quick`` replaces those that were not given by `quick`."""
    parser.add_argument("--quick", action="store_true", help="the smallest size, in seconds; no file is written")
    if keeps:
        parser.add_argument("--output", type=Path, default=_ROOT / "docs" / "benchmarks", help="folder of the results")
    options = parser.parse_args()
    for name, value in quick.items() if options.quick else ():
        if getattr(options, name) == parser.get_default(name):
            setattr(options, name, value)
    return options


def fashion_mnist(**counts: int) -> Any:
    """Return a dataset of the first images of each split."""
    import transferkit as tk

    full = tk.load_fashion_mnist()
    arrays = {name: tuple(part[:count] for part in getattr(full, name)) for name, count in counts.items()}
    return tk.Dataset.from_arrays(**arrays, name="Fashion-MNIST", allow_overlap=True)


def use_empty_home() -> None:
    """Let nothing that is kept be found, and none of the user's be removed; call it before transferkit is used."""
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["TRANSFERKIT_HOME"] = home


def processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    return f"{found[1] if found else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Return versions without importing anything."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe_machine() -> str:
    found = versions()
    return f"{processor()}; TensorFlow {found.get('tensorflow')}, Keras {found['keras']}, Python {found['python']}"


class Results:
    """A table that is printed and kept row by row: numbers in ``<name>.json``, what the documentation shows in ``<name>.csv``.

    Parameters
    ----------
    name : str or None
        Of the files in the folder ``--output``; none are written with ``--quick``, or if it is None.
    columns : dict
        Heading of each column, and how its values are written, as in ``"{:.2f}"``. None is an empty cell.
    options : argparse.Namespace
        From `parse`.
    """

    def __init__(self, name: str | None, columns: dict[str, str], options: argparse.Namespace) -> None:
        self._file = None if name is None or options.quick else options.output / f"{name}.json"
        self._columns = columns
        command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
        command = re.sub(r" --(torch-python|output|runs)[ =]\S+", "", command)  # places on one machine
        self.record: dict[str, Any] = {"command": command, "machine": processor(), "versions": versions(), "rows": []}
        self._shown = [list(columns)]
        print(f"\n{describe_machine()}\n")
        print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)

    def add(self, *values: Any) -> None:
        """Print a row and keep it, so that nothing is lost if what comes next fails."""
        self.record["rows"].append(dict(zip(self._columns, map(_plain, values), strict=True)))
        formats = zip(self._columns.values(), values, strict=True)
        self._shown.append(["" if value is None else text.format(value) for text, value in formats])
        print("| " + " | ".join(self._shown[-1]) + " |", flush=True)
        self._write()

    def check(self, what: str, difference: float, limit: float) -> None:
        """End with status 1 if equal work gave results that differ by more than `limit`."""
        equal = bool(difference <= limit)
        checked = {"what": what, "difference": float(difference), "limit": limit, "equal": equal}
        self.record.setdefault("checks", []).append(checked)
        self._write()
        if not equal:
            sys.exit(f"{what}: equal work gave results that differ by {difference:.2g}, more than {limit:.2g}.")

    def _write(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        _replace(self._file, json.dumps(self.record, indent=1, ensure_ascii=False) + "\n")
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(self._shown)
        _replace(self._file.with_suffix(".csv"), stream.getvalue())


def kept_rows(options: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of results that a machine like this one wrote, with the same versions."""
    file = options.output / f"{name}.json"
    if not file.is_file():
        return []
    record = json.loads(file.read_text(encoding="utf-8"))
    return record["rows"] if (record["machine"], record["versions"]) == (processor(), versions()) else []


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _replace(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def in_process(script: str, given: Sequence[str] = (), *, python: str = sys.executable, home: str | None = None) -> Any:
    """Run a script in a process of its own and return what it passed to `give_back`.

    Parameters
    ----------
    home : str, optional
        Its TRANSFERKIT_HOME, if not the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "result.json")
        environment = (
            os.environ | {"BENCHMARK_RESULT": str(file)} | ({} if home is None else {"TRANSFERKIT_HOME": home})
        )
        done = subprocess.run([python, script, *given], env=environment, check=False)  # noqa: S603 - our own scripts
        if done.returncode or not file.is_file():
            sys.exit(f"{Path(script).name} {' '.join(given)} ended with status {done.returncode} and gave no result.")
        return json.loads(file.read_text(encoding="utf-8"))


def give_back(result: Any) -> None:
    """Hand a result to the process that started this one with `in_process`."""
    Path(os.environ["BENCHMARK_RESULT"]).write_text(json.dumps(result), encoding="utf-8")


def time_in_turns(contenders: dict[str, Callable[[], Any]], *, rounds: int = 5) -> dict[str, list[float]]:
    """Return the seconds of each contender in each round; taking turns, a slow spell of the machine meets all alike."""
    for run in contenders.values():
        run()  # warm up
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def make_matmul(size: int = 2048) -> Callable[[], None]:
    """Return a function that multiplies two float32 matrices of this size in TensorFlow."""
    import tensorflow as tf

    matrix = tf.random.normal((size, size))
    multiply = tf.function(lambda: matrix @ matrix)
    return lambda: multiply().numpy()


def peak_gb() -> float:
    """Return the largest memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def make_photographs(folder: Path, *, classes: int, per_class: int) -> None:
    """Write JPEG files of coarse noise, in a folder for each class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in range(classes):
        (folder / f"class {kind}").mkdir(parents=True)
        for number in range(per_class):
            coarse = Image.fromarray(rng.integers(0, 256, (25, 25, 3), dtype=np.uint8))
            coarse.resize((400, 400)).save(folder / f"class {kind}" / f"{number}.jpg")


def largest_difference(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())
