"""What README's eight lines, or two networks of the assignment, do on each backend of Keras.

    python benchmarks/backends.py lines|arms [--quick] [--backends tensorflow jax torch] [--python jax=PATH torch=PATH] [--folder docs/results/backends]

``lines`` runs the code block of README.md with 100 images of each class; ``arms`` trains the CNN and the frozen MobileNet of
examples/assignment.py with the same seed. Each backend runs in a process of its own with an empty cache, so that everything is computed
and compiled, and its result is added to ``lines.json`` or ``arms.json`` and ``.txt`` in the folder. CPU seconds are those of all threads.
``--quick`` takes one epoch and few images, to see that everything runs, and writes nothing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax", "torch")
HERE = Path(__file__).parent
SMALL = "tk.load_fashion_mnist(labels_per_class=100, validation=500)"


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what a function gives, and how long it took."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def cut(data: Any) -> Any:
    """Return a hundred training and test images."""
    import transferkit as tk

    train, validation, test = (tuple(part[:100] for part in split) for split in data)
    return tk.Dataset.from_arrays(train, test, validation=validation, allow_overlap=True)


def run_lines(*, quick: bool) -> dict[str, Any]:
    """Run README's eight lines in their small size, one after the other."""
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import transferkit.*?)```", text, re.DOTALL)
    lines = block.replace("tk.load_fashion_mnist()", f"cut({SMALL})" if quick else SMALL).splitlines()
    if quick:
        lines = [re.sub(r"epochs=\d+", "epochs=1", line) for line in lines]
    space: dict[str, Any] = {"cut": cut}
    found = {}
    for line in filter(None, lines):
        _, times = timed(lambda line=line: exec(line, space))  # noqa: S102 - our own README
        run = space.get(line.partition(" ")[0])
        accuracy = {"accuracy": run.metrics["accuracy"]} if hasattr(run, "metrics") else {}
        found[line] = {**times, **accuracy}
    return found


def run_arms(*, quick: bool) -> dict[str, Any]:
    """Train the CNN and the frozen MobileNet of the quick assignment."""
    import transferkit as tk
    from transferkit import files

    data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
    data = cut(data) if quick else data
    recipe = {"schedule": "cosine", "label_smoothing": 0.1, "augment": "flip", "batch_size": 32, "verbose": False}
    arms: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
        "CNN": (tk.build_cnn, {"epochs": 60}),
        "MobileNet, frozen": (
            lambda: tk.build_transfer_model("mobilenet", freeze=True),
            {"epochs": 20, "learning_rate": 3e-3},
        ),
    }
    found = {}
    for name, (build, options) in arms.items():
        model = build()
        initial = files.sha256_arrays(*model.get_weights())
        given = recipe | options | ({"epochs": 1} if quick else {})
        run, times = timed(lambda model=model, given=given: tk.train(model, data, seed=0, **given))
        found[name] = {**times, "accuracy": run.metrics["accuracy"], "initial_weights": initial}
    return found


TASKS = {"lines": run_lines, "arms": run_arms}


def measure(task: str, *, quick: bool) -> None:
    """Run a task on the backend of this process and print the result as one line of JSON."""
    found = TASKS[task](quick=quick)
    from transferkit.training.environment import describe_environment

    print("RESULT " + json.dumps({"environment": describe_environment(), "results": found}))


def table(results: dict[str, Any]) -> str:
    """Return the results as a table: a row for each line or network, a column for each backend."""
    backends = [backend for backend in BACKENDS if backend in results]
    rows: list[list[str]] = []
    for name in results[backends[0]]["results"]:
        cells = [results[backend]["results"].get(name) for backend in backends]
        texts = [
            f"{cell['cpu_seconds']:.0f} s ({cell['seconds']:.0f} s)"
            + (f", {100 * cell['accuracy']:.2f}%" if "accuracy" in cell else "")
            for cell in cells
        ]
        rows.append([f"`{name.partition(' = ')[0]}`" if " = " in name else f"`{name}`", *texts])
        initial = [cell["initial_weights"] for cell in cells if "initial_weights" in cell]
        if initial:
            rows[-1][0] = name
            rows[-1].append("equal" if len(set(initial)) == 1 else "**differ**")
            accuracies = [100 * cell["accuracy"] for cell in cells]
            rows[-1].append(f"{max(accuracies) - min(accuracies):.2f}")
    more = ["initial weights", "spread, points"] if len(rows[0]) > 1 + len(backends) else []
    heading = ["", *backends, *more]
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def has(python: str, package: str) -> bool:
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", look], check=False).returncode == 0  # noqa: S603 - our own code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--python", nargs="*", default=[], help="interpreters, by backend: jax=.venv-jax/bin/python")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "docs" / "results" / "backends")
    parser.add_argument("--quick", action="store_true", help="few images, one epoch, no file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.task, quick=options.quick)
        return
    pythons = dict(given.split("=", 1) for given in options.python)
    file = options.folder / f"{options.task}.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() and not options.quick else {}
    for backend in options.backends:
        python = pythons.get(backend, sys.executable)
        if not has(python, backend):
            print(f"{backend} is left out: {python} has none (--python {backend}=PATH names another one)", flush=True)
            continue
        with tempfile.TemporaryDirectory() as home:
            environment = os.environ | {
                "KERAS_BACKEND": backend,
                "KERAS_HOME": f"{home}/keras",
                "TRANSFERKIT_HOME": f"{home}/transferkit",
            }
            command = [python, __file__, options.task, "--one"]
            command += ["--quick"] if options.quick else []
            done = subprocess.run(  # noqa: S603 - our own file
                command, env=environment, stdout=subprocess.PIPE, text=True, check=False
            )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            sys.exit(f"{backend} was not measured; it said so above.")
        results[backend] = json.loads(lines[0].removeprefix("RESULT "))
        if options.quick:
            continue
        options.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        file.with_suffix(".txt").write_text(table(results), encoding="utf-8")
    shown = table(results)
    print(shown)
    if "**differ**" in shown:
        sys.exit("the initial weights of one seed differ between backends")


if __name__ == "__main__":
    main()
