"""A training step of MobileNet, with none or the first of its layers frozen: Keras's own fit, all layers computed, kept feature maps, and
the latter with convolutions in bfloat16.

    python benchmarks/partial_freezing.py [--quick] [--freeze nothing conv_dw_6_relu] [--sizes 64 96] [--batch-size 64] [--rounds 4]

They train in turn, round by round, since the speed of a machine varies; the first epoch of each is not counted. A step is what lies
between Keras's callbacks for the begin and the end of a batch; the table has medians. With the same batches, order and seed, the weights
that are trained on kept feature maps are compared with those of `engine="plain"`, which computes the frozen layers in every step.
"""

import argparse
import time
from statistics import median

import keras
import machine
import numpy as np

import transferkit as tk

EPOCHS = 2


class Clock(keras.callbacks.Callback):
    """Milliseconds of each step after the first epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[float] = []

    def on_epoch_begin(self, epoch: int, *_: object, **__: object) -> None:
        self._counts = epoch > 0

    def on_train_batch_begin(self, *_: object, **__: object) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, *_: object, **__: object) -> None:
        if self._counts:
            self.steps.append(1e3 * (time.perf_counter() - self._start))


def build(freeze: str, size: int) -> keras.Model:
    model = tk.build_transfer_model("mobilenet", image_size=size, freeze=freeze != "nothing" and freeze)
    # AdamW divides small gradients by their own size, so that differences of rounding grow in deep layers; SGD does not.
    model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(freeze: str, size: int) -> list[float]:
    clock = Clock()
    build(freeze, size).fit(*data.train, batch_size=arguments.batch_size, epochs=EPOCHS, callbacks=[clock], verbose=0)
    return clock.steps


def train(freeze: str, size: int, **options: str) -> tuple[list[float], np.ndarray]:
    model, clock = build(freeze, size), Clock()
    tk.train(model, data, epochs=EPOCHS, batch_size=arguments.batch_size, callbacks=[clock], verbose=False, **options)
    return clock.steps, np.concatenate([np.ravel(array) for array in model.trainable_variables[-2:]])


parser = argparse.ArgumentParser(description="Steps with some layers frozen, side by side")
parser.add_argument(
    "--freeze", nargs="+", default=["nothing", "conv_pw_5_relu", "conv_dw_6_relu"], help="up to which layer"
)
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96])
parser.add_argument("--images", type=int, default=1_280)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--rounds", type=int, default=4)
arguments = machine.parse(parser, freeze=["conv_pw_12_relu"], sizes=[64], images=64, rounds=1)

machine.use_empty_home()
data = machine.fashion_mnist(train=arguments.images, validation=64, test=100 if arguments.quick else 1_000)
ways = ("Keras `fit`", '`engine="plain"`', "kept feature maps", "kept, `bfloat16`")
columns = {"frozen up to": "{}", "px": "{}", **dict.fromkeys(ways, "{:.0f}")}
columns |= {"times faster than `fit`": "{:.2f}", "with `bfloat16`": "{:.2f}"}
columns |= {"largest difference of the softmax layer": "{:.0e}"}
results = machine.Results("partial_freezing", columns, arguments)
for freeze in arguments.freeze:
    for size in arguments.sizes:
        theirs, plain, kept, rounded = [], [], [], []
        if not arguments.quick:
            train(freeze, size)  # converts the frozen part and computes its feature maps
        for _ in range(arguments.rounds):
            theirs += fit(freeze, size)
            steps, expected = train(freeze, size, engine="plain")
            plain += steps
            steps, weights = train(freeze, size)
            kept += steps
            steps, _ = train(freeze, size, matmul_precision="bfloat16")
            rounded += steps
        medians = [median(steps) for steps in (theirs, plain, kept, rounded)]
        difference = machine.largest_difference(weights, expected)
        results.add(freeze, size, *medians, medians[0] / medians[2], medians[0] / medians[3], difference)
        results.check(f"the softmax layer of the second and the third, {freeze}, {size} px", difference, 2e-3)
