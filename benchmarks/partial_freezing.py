"""A training step of MobileNet with its first layers frozen: Keras's own fit, all layers computed, and kept feature maps.

    python benchmarks/partial_freezing.py [--freeze conv_pw_5_relu] [--size 96] [--images 1280] [--rounds 4]

The three train in turn, round by round, since the speed of a machine varies; the first epoch of each is not counted. A step is what lies
between Keras's callbacks for the begin and the end of a batch. With the same batches, order and seed, the weights that are trained on kept
feature maps are compared with those of `engine="plain"`, which computes the frozen layers in every step.
"""

import argparse
import os
import tempfile

import machine

os.environ["TRANSFERKIT_HOME"] = tempfile.mkdtemp()

import time

import keras
import numpy as np

import transferkit as tk

parser = argparse.ArgumentParser(description="Steps with some layers frozen, side by side")
parser.add_argument("--freeze", default="conv_pw_5_relu", help="layer up to which the backbone is frozen")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=1_280)
parser.add_argument("--rounds", type=int, default=4)
arguments = parser.parse_args()

EPOCHS, BATCH = 2, 64
print(machine.describe_machine(), "\n")
full, count = tk.load_fashion_mnist(), arguments.images
data = tk.Dataset.from_arrays(
    train=(full.train.images[:count], full.train.labels[:count]),
    test=(full.test.images[:1_000], full.test.labels[:1_000]),
    name="Fashion-MNIST",
    allow_overlap=True,
)


class Clock(keras.callbacks.Callback):
    """Seconds of each step after the first epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, *_: object, **__: object) -> None:
        self._counts = epoch > 0

    def on_train_batch_begin(self, *_: object, **__: object) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, *_: object, **__: object) -> None:
        if self._counts:
            self.seconds.append(time.perf_counter() - self._start)


def build() -> keras.Model:
    model = tk.build_transfer_model("mobilenet", image_size=arguments.size, freeze=arguments.freeze)
    # AdamW divides small gradients by their own size, so that differences of rounding grow in deep layers; SGD does not.
    model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit() -> list[float]:
    clock = Clock()
    build().fit(*data.train, batch_size=BATCH, epochs=EPOCHS, callbacks=[clock], verbose=0)
    return clock.seconds


def train(engine: str) -> tuple[list[float], np.ndarray, float]:
    model, clock = build(), Clock()
    run = tk.train(model, data, epochs=EPOCHS, batch_size=BATCH, engine=engine, callbacks=[clock], verbose=False)
    softmax = np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])
    return clock.seconds, softmax, run.metrics["accuracy"]


steps: dict[str, list[float]] = {
    "Keras, `model.fit`": [],
    'transferkit, `engine="plain"`': [],
    "transferkit, kept feature maps": [],
}
theirs, plain, kept = steps.values()
train("auto")  # converts the frozen part and computes its feature maps
for _ in range(arguments.rounds):
    theirs += fit()
    seconds, expected, plain_accuracy = train("plain")
    plain += seconds
    seconds, weights, accuracy = train("auto")
    kept += seconds
rows = []
for name, seconds in steps.items():
    low, median, high = np.quantile(seconds, [0.1, 0.5, 0.9]) * 1e3
    rows.append([name, f"{median:.0f}", f"{low:.0f} to {high:.0f}", f"{np.median(theirs) * 1e3 / median:.2f}"])
machine.print_table(["training", "ms a step, median", "10% to 90%", "times faster"], rows)
print(
    f"\nFrozen up to {arguments.freeze}, {arguments.size} px, steps of {BATCH} images, {arguments.rounds} rounds of {len(kept) // arguments.rounds}. "
    f"Largest difference of the softmax layer between transferkit's two, after {EPOCHS} epochs: {machine.largest_difference(weights, expected):.0e}; "
    f"test accuracy {accuracy:.3f} and {plain_accuracy:.3f}"
)
