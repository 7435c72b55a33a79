"""Training on a frozen MobileNet: Keras's own fit, transferkit with an empty and a full cache, and PyTorch.

    python benchmarks/frozen_training.py [--quick] [--size 96] [--images 50000] [--epochs 10] [--torch-python PATH]

`fit` and `engine="plain"`, which computes the frozen layers in every step as `fit` does, run for `--plain-epochs`; the epochs that they
lack are added as the median of those after the first, since they are all alike. With the same batches, order and seed, the weights that
transferkit trains on kept features are compared with those of `engine="plain"`. PyTorch takes part, in a process of its own, if it is
installed; it keeps the features in memory, as a careful person would write it.
"""

import argparse
import time
from dataclasses import dataclass
from statistics import median

import keras
import machine
import numpy as np
import torch_mobilenet

import transferkit as tk

parser = argparse.ArgumentParser(description="Frozen training, side by side")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--plain-epochs", type=int, default=2)
torch_mobilenet.add_option(parser)
arguments = machine.parse(parser, size=64, images=64, epochs=2)
if min(arguments.epochs, arguments.plain_epochs) < 2:
    parser.error("epochs are timed from the second one on: --epochs and --plain-epochs must be 2 or more")

machine.use_empty_home()
few = 64 if arguments.quick else None
counts = {"train": arguments.images, "validation": few or 256, "test": few or 10_000}
data = machine.fashion_mnist(**counts)


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
    model, ends = build(), []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    start = time.perf_counter()
    model.fit(*data.train, batch_size=64, epochs=epochs, validation_data=data.validation, callbacks=[clock], verbose=0)
    accuracy = (model.predict(data.test.images, verbose=0).argmax(axis=1) == data.test.labels).mean()
    return Timing(time.perf_counter() - start, median(np.diff(ends)), _softmax(model), float(accuracy))


def train(engine: str, epochs: int) -> Timing:
    model = build()
    start = time.perf_counter()
    run = tk.train(model, data, epochs=epochs, engine=engine, verbose=False)
    total = time.perf_counter() - start
    epoch = median(row["seconds"] + row["validation_seconds"] for row in run.history[1:])
    return Timing(total, epoch, _softmax(model), run.metrics["accuracy"])


def _softmax(model: keras.Model) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])


timed, epochs = arguments.plain_epochs, arguments.epochs
columns = {"training": "{}", "seconds": "{:,.0f}", "times faster": "{:.3g}", "seconds of an epoch": "{:,.1f}"}
columns |= {"epoch, times faster": "{:.3g}"}
results = machine.Results("frozen_training", columns, arguments)


def add(name: str, seconds: float, timing: Timing) -> None:
    faster = theirs.for_epochs(epochs, timed=timed) / seconds
    results.record.setdefault("test_accuracy", {})[name] = timing.accuracy
    results.add(name, seconds, faster, timing.epoch, theirs.epoch / timing.epoch)


theirs = fit(timed)
add("Keras, `model.fit`", theirs.for_epochs(epochs, timed=timed), theirs)
plain = train("plain", timed)
add('transferkit, `engine="plain"`', plain.for_epochs(epochs, timed=timed), plain)
cold = train("auto", epochs)
add("transferkit, empty cache", cold.total, cold)
warm = train("auto", epochs)
add("transferkit, full cache", warm.total, warm)
results.check(
    "the softmax layer with an empty and a full cache", machine.largest_difference(cold.weights, warm.weights), 1e-6
)
short = warm if timed == epochs else train("auto", timed)
difference = machine.largest_difference(short.weights, plain.weights)
results.check(f"the softmax layer on kept features and with engine='plain', after {timed} epochs", difference, 1e-3)
results.check("their test accuracies", abs(short.accuracy - plain.accuracy), 0.005)
peer = torch_mobilenet.start(
    arguments.torch_python,
    build().get_layer("backbone"),
    size=arguments.size,
    epochs=epochs,
    images=data.test.images[:64],
    **{f"{name}_{what}": getattr(getattr(data, name), what) for name in counts for what in ("images", "labels")},
)
if peer is not None:
    results.record["versions"]["torch"] = peer.version
    found = peer.train()
    faster = theirs.for_epochs(epochs, timed=timed) / found["seconds"]
    results.record["test_accuracy"]["PyTorch, features kept in memory"] = found["accuracy"]
    results.add("PyTorch, features kept in memory", found["seconds"], faster, None, None)
    peer.run()
    difference = machine.largest_difference(peer.features(), tk.extract_features(build(), data.test.images[:64]))
    results.check("features of PyTorch and transferkit", difference, 1e-3)
    peer.close()
