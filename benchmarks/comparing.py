"""How long the comparison of many runs takes, all pairs, with peak memory of the whole process; TensorFlow stays unloaded.

    python benchmarks/comparing.py [--quick] [--runs 2 200] [--images 10000]

Each number of runs has a process of its own. A comparison of two comes first and is timed as well: it loads pandas and scipy. Each run is a
model of its own with made-up probabilities for ten classes, between 80% and 95% right.
"""

import argparse
import sys
import time

import machine
import numpy as np

import transferkit as tk


def make_run(number: int, runs: int, labels: np.ndarray) -> tk.Run:
    rng = np.random.default_rng([0, number])
    right = rng.random(len(labels)) < 0.8 + 0.15 * number / runs
    scores = rng.random((len(labels), 10))
    scores[np.arange(len(labels)), np.where(right, labels, (labels + 1) % 10)] += 3
    return tk.Run(
        name=f"model {number}",
        class_names=tuple("abcdefghij"),
        test_probabilities=scores / scores.sum(axis=1, keepdims=True),
        test_labels=labels,
        dataset={"test_fingerprint": "3fa9"},
        seed=number,
    )


def measure(count: int, images: int) -> None:
    labels = np.random.default_rng(0).integers(10, size=images)
    runs = [make_run(number, count, labels) for number in range(count)]
    start = time.perf_counter()
    two = tk.compare_runs(runs[:2])
    first = time.perf_counter() - start
    start = time.perf_counter()
    comparison = tk.compare_runs(runs, family="all")
    seconds = time.perf_counter() - start
    loaded = "tensorflow" in sys.modules
    difference = abs(difference_of_first(comparison) - difference_of_first(two))
    machine.give_back([len(comparison.tests), images, seconds, first, machine.peak_gb(), loaded, difference])


def difference_of_first(comparison: tk.Comparison) -> float:
    pairs = comparison.tests.to_dict("records")
    return next(abs(pair["difference"]) for pair in pairs if {pair["a"], pair["b"]} == {"model 0", "model 1"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[2, 200])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = machine.parse(parser, runs=[2, 5], images=1_000)
    if arguments.one:
        measure(arguments.one, arguments.images)
        return
    columns = {"runs": "{}", "pairs": "{:,}", "images": "{:,}", "seconds": "{:.2f}", "before it, for two": "{:.2f}"}
    columns |= {"peak memory": "{:.2f} GB", "TensorFlow loaded": "{}"}
    results = machine.Results("comparing", columns, arguments)
    for runs in arguments.runs:
        *found, loaded, difference = machine.in_process(__file__, [f"--one={runs}", f"--images={arguments.images}"])
        results.add(runs, *found, "yes" if loaded else "no")
        results.check("TensorFlow is loaded", loaded, 0)
        results.check("the difference of one pair among two and among all", difference, 0.0)


if __name__ == "__main__":
    main()
