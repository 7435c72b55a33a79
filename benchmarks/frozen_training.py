"""Training on a frozen MobileNet: transferkit with an empty and a full cache, plain Keras, and PyTorch.

    python benchmarks/frozen_training.py [--size 96] [--images 50000] [--epochs 10]
    python benchmarks/frozen_training.py --freeze conv_pw_5_relu --images 4000 --epochs 5

The same model, batches, order and seed; that the trained weights are the same is checked. Plain training runs for `--plain-epochs`;
the epochs that it lacks are added as the median of those after its first, since they are all alike. PyTorch takes part where all of
the backbone is frozen and the extra `bench` is installed; it keeps the features in memory, as a careful person would write it.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass

import keras
import machine
import numpy as np

os.environ["TRANSFERKIT_HOME"] = tempfile.mkdtemp()

import transferkit as tk

parser = argparse.ArgumentParser(description="Frozen training, side by side")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--plain-epochs", type=int, default=2)
parser.add_argument("--freeze", default="", help="layer up to which the backbone is frozen; all of it if left out")
arguments = parser.parse_args()

print(machine.describe_machine(), "\n")
full = tk.load_fashion_mnist()
few = {"validation": tk.Split(full.validation.images[:256], full.validation.labels[:256])}
data = tk.Dataset.from_arrays(
    train=(full.train.images[: arguments.images], full.train.labels[: arguments.images]),
    test=(full.test.images[:256], full.test.labels[:256]),
    name="Fashion-MNIST",
    allow_overlap=True,
    **few,
)


@dataclass
class Timing:
    """Seconds of a whole call of `train`, of its median epoch after the first, and the softmax layer that it left."""

    total: float
    epoch: float
    weights: np.ndarray


def run(engine: str, epochs: int) -> Timing:
    model = tk.build_transfer_model("mobilenet", image_size=arguments.size, freeze=arguments.freeze or True)
    if arguments.freeze:
        # AdamW divides small gradients by their own size, so that differences of rounding grow in deep layers; SGD does not.
        model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    history = tk.train(model, data, epochs=epochs, engine=engine, verbose=False).history
    total = time.perf_counter() - start
    softmax = np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])
    return Timing(total, float(np.median([row["seconds"] for row in history[1:]])), softmax)


plain = run("plain", arguments.plain_epochs)
short = run("auto", arguments.plain_epochs)
tk.clear_cache()
cold = run("auto", arguments.epochs)
warm = run("auto", arguments.epochs)
expected = plain.total + (arguments.epochs - arguments.plain_epochs) * plain.epoch
rows = [["plain Keras", f"{expected:,.0f}", "1", f"{plain.epoch:,.1f}", "1"]]
for name, timing in (("transferkit, empty cache", cold), ("transferkit, full cache", warm)):
    ratios = [f"{expected / timing.total:.2f}", f"{timing.epoch:,.1f}", f"{plain.epoch / timing.epoch:.2f}"]
    rows.append([name, f"{timing.total:,.0f}", *ratios])
if not arguments.freeze:
    try:
        import torch_mobilenet
    except ImportError:
        pass
    else:
        backbone = tk.build_transfer_model("mobilenet", image_size=arguments.size).get_layer("backbone")
        seconds = torch_mobilenet.time_training(backbone, arguments.size, data, epochs=arguments.epochs)
        rows.append(["PyTorch, features kept in memory", f"{seconds:,.0f}", f"{expected / seconds:.2f}", "", ""])
machine.print_table(["training", "seconds", "times faster", "seconds of an epoch", "times faster"], rows)
print(
    f"\n{arguments.images:,} images of {arguments.size} px, {arguments.epochs} epochs; largest difference of the trained softmax "
    f"layer to plain training, after {arguments.plain_epochs}: {machine.largest_difference(short.weights, plain.weights):.0e}"
)
