"""How long the comparison of many runs takes, all pairs, with peak memory of the whole process; TensorFlow stays unloaded.

    python benchmarks/comparing.py [--runs 200] [--images 10000]

A comparison of two comes first and is timed as well: it loads pandas and scipy. Each run is a model of its own with made-up
probabilities for ten classes, between 80% and 95% right.
"""

import argparse
import resource
import sys
import time

import machine
import numpy as np

import transferkit as tk

parser = argparse.ArgumentParser(description="Comparison of many runs")
parser.add_argument("--runs", type=int, default=200)
parser.add_argument("--images", type=int, default=10_000)
arguments = parser.parse_args()

rng = np.random.default_rng(0)
labels = rng.integers(10, size=arguments.images)


def make_run(number: int) -> tk.Run:
    right = rng.random(len(labels)) < 0.8 + 0.15 * number / arguments.runs
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


runs = [make_run(number) for number in range(arguments.runs)]
start = time.perf_counter()
tk.compare_runs(runs[:2])
first = time.perf_counter() - start
start = time.perf_counter()
comparison = tk.compare_runs(runs, family="all")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
loaded = "yes" if "tensorflow" in sys.modules else "no"
print(machine.describe_machine(), "\n")
machine.print_table(
    ["runs", "pairs", "images", "seconds", "before it, for two", "peak memory", "TensorFlow loaded"],
    [
        [
            f"{len(runs)}",
            f"{len(comparison.tests):,}",
            f"{len(labels):,}",
            f"{seconds:.2f}",
            f"{first:.2f}",
            f"{peak:.2f} GB",
            loaded,
        ]
    ],
)
