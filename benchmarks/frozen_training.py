"""Training the head of a frozen MobileNet: transferkit with an empty and a full cache, plain Keras, and PyTorch.

    python benchmarks/frozen_training.py [--size 96] [--images 50000] [--epochs 10] [--freeze conv_pw_5_relu]

The same model, batches, order and seed; that the trained weights are the same is checked. Plain training is timed for
`--plain-epochs` and multiplied, since its epochs are all alike. PyTorch takes part where all of the backbone is frozen and the extra
`bench` is installed; it keeps the features in memory, as a careful person would write it.
"""

import argparse
import os
import tempfile
import time

import keras
import machine
import numpy as np

os.environ["TRANSFERKIT_HOME"] = tempfile.mkdtemp()

import transferkit as tk

parser = argparse.ArgumentParser(description="Frozen training, side by side")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=50_000)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--plain-epochs", type=int, default=1)
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


def run(engine: str, epochs: int) -> tuple[float, np.ndarray]:
    model = tk.build_transfer_model("mobilenet", image_size=arguments.size, freeze=arguments.freeze or True)
    if arguments.freeze:
        # AdamW divides small gradients by their own size, so that differences of rounding grow in deep layers; SGD does not.
        model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    tk.train(model, data, epochs=epochs, engine=engine, verbose=False)
    return time.perf_counter() - start, np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])


plain_seconds, plain_weights = run("plain", arguments.plain_epochs)
_, short_weights = run("auto", arguments.plain_epochs)
tk.clear_cache()
cold_seconds, _ = run("auto", arguments.epochs)
warm_seconds, _ = run("auto", arguments.epochs)
expected = plain_seconds * arguments.epochs / arguments.plain_epochs
rows = [
    [f"plain Keras ({arguments.plain_epochs} epochs timed)", f"{expected:,.0f}", "1"],
    ["transferkit, empty cache", f"{cold_seconds:,.0f}", f"{expected / cold_seconds:.2f}"],
    ["transferkit, full cache", f"{warm_seconds:,.1f}", f"{expected / warm_seconds:.2f}"],
]
if not arguments.freeze:
    try:
        import torch_mobilenet
    except ImportError:
        pass
    else:
        backbone = tk.build_transfer_model("mobilenet", image_size=arguments.size).get_layer("backbone")
        seconds = torch_mobilenet.time_training(backbone, arguments.size, data, epochs=arguments.epochs)
        rows.append(["PyTorch, features kept in memory", f"{seconds:,.0f}", f"{expected / seconds:.2f}"])
machine.print_table(["training", "seconds", "times faster"], rows)
print(
    f"\n{arguments.images:,} images of {arguments.size} px, {arguments.epochs} epochs; largest difference of the trained softmax "
    f"layer to plain training: {machine.largest_difference(short_weights, plain_weights):.0e}"
)
