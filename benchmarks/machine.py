"""What the benchmarks share: timing in turns, the machine's description, and the table."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def describe_machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        cpu = next((line.partition(":")[2].strip() for line in info.open() if line.startswith("model name")), cpu)
    import keras
    import tensorflow as tf

    return f"{cpu}, {os.cpu_count()} cores; TensorFlow {tf.__version__}, Keras {keras.__version__}, Python {platform.python_version()}"


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


def print_table(heading: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(heading) + " |")
    print("|---" * len(heading) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def largest_difference(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())
