"""Training on a frozen MobileNet: Keras's own fit, transferkit with an empty and a full cache, and PyTorch.

    python benchmarks/frozen_training.py [--size 96] [--images 50000] [--epochs 10]

`fit` and `engine="plain"`, which computes the frozen layers in every step as `fit` does, run for `--plain-epochs`; the epochs that they
lack are added as the median of those after the first, since they are all alike. With the same batches, order and seed, the weights that
transferkit trains on kept features are compared with those of `engine="plain"`. PyTorch takes part if the extra `bench` is installed;
it keeps the features in memory, as a careful person would write it.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import keras
import machine
import numpy as np

os.environ["TRANSFERKIT_HOME"] = tempfile.mkdtemp()

import transferkit as tk
from transferkit.training.callbacks import Recorder

parser = argparse.ArgumentParser(description="Frozen training, side by side")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--plain-epochs", type=int, default=2)
arguments = parser.parse_args()
if min(arguments.epochs, arguments.plain_epochs) < 2:
    parser.error("epochs are timed from the second one on: --epochs and --plain-epochs must be 2 or more")

print(machine.describe_machine(), "\n")
full = tk.load_fashion_mnist()
few = {"validation": tk.Split(full.validation.images[:256], full.validation.labels[:256])}
data = tk.Dataset.from_arrays(
    train=(full.train.images[: arguments.images], full.train.labels[: arguments.images]),
    test=full.test,
    name="Fashion-MNIST",
    allow_overlap=True,
    **few,
)


@dataclass
class Timing:
    """Seconds of a whole training, of its median epoch after the first, the softmax layer that it left, and test accuracy."""

    total: float
    epoch: float
    weights: np.ndarray
    accuracy: float

    def for_epochs(self, epochs: int, *, timed: int) -> float:
        return self.total + (epochs - timed) * self.epoch


def build() -> keras.Model:
    return tk.build_transfer_model("mobilenet", image_size=arguments.size)


def fit(epochs: int) -> Timing:
    model, rows = build(), []
    recorder = Recorder("train", rows)
    start = time.perf_counter()
    model.fit(
        *data.train, batch_size=64, epochs=epochs, validation_data=data.validation, callbacks=[recorder], verbose=0
    )
    accuracy = (model.predict(data.test.images, verbose=0).argmax(axis=1) == data.test.labels).mean()
    return Timing(time.perf_counter() - start, _median_epoch(rows), _softmax(model), float(accuracy))


def train(engine: str, epochs: int) -> Timing:
    model = build()
    start = time.perf_counter()
    run = tk.train(model, data, epochs=epochs, engine=engine, verbose=False)
    total = time.perf_counter() - start
    return Timing(total, _median_epoch(run.history), _softmax(model), run.metrics["accuracy"])


def _median_epoch(history: list[dict[str, Any]]) -> float:
    return float(np.median([row["seconds"] for row in history[1:]]))


def _softmax(model: keras.Model) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])


timed = arguments.plain_epochs
theirs, plain, short = fit(timed), train("plain", timed), train("auto", timed)
tk.clear_cache()
cold, warm = train("auto", arguments.epochs), train("auto", arguments.epochs)
expected = theirs.for_epochs(arguments.epochs, timed=timed)
rows = []
for name, seconds, epoch in (
    ("Keras, `model.fit`", expected, theirs.epoch),
    ('transferkit, `engine="plain"`', plain.for_epochs(arguments.epochs, timed=timed), plain.epoch),
    ("transferkit, empty cache", cold.total, cold.epoch),
    ("transferkit, full cache", warm.total, warm.epoch),
):
    rows.append([name, f"{seconds:,.0f}", f"{expected / seconds:.2f}", f"{epoch:,.2f}", f"{theirs.epoch / epoch:.2f}"])
try:
    import torch_mobilenet
except ImportError:
    pass
else:
    seconds = torch_mobilenet.time_training(
        build().get_layer("backbone"), arguments.size, data, epochs=arguments.epochs
    )
    rows.append(["PyTorch, features kept in memory", f"{seconds:,.0f}", f"{expected / seconds:.2f}", "", ""])
machine.print_table(["training", "seconds", "times faster", "seconds of an epoch", "times faster"], rows)
print(
    f"\n{arguments.images:,} images of {arguments.size} px, {arguments.epochs} epochs, {timed} of them timed without kept features. "
    f"Largest difference of the softmax layer between engines, after {timed}: "
    f"{machine.largest_difference(short.weights, plain.weights):.0e}; test accuracy {short.accuracy:.4f} and {plain.accuracy:.4f}, "
    f"of model.fit (in another order) {theirs.accuracy:.4f}"
)
