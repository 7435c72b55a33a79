"""How long Keras's `fit` waits between epochs on TensorFlow, beside a training by transferkit with the same batches.

    python benchmarks/epoch_ends.py [--quick] [--images 20000] [--epochs 12]

Keras lets tf.data look for a faster way to read batches. The thread that looks sleeps ever longer, and is told to stop when an epoch
ends; if it looks whether it should before the order is complete, it falls asleep again, and `fit` waits until it wakes up. How often
that happens depends on the cores: on two it does so often.
"""

import argparse
import time
from statistics import median

import machine
import numpy as np


def epochs_of(fit, images: int, epochs: int) -> tuple[list[float], float]:
    """Return the seconds of each epoch after the first, from its begin to the next one's, and the loss of the last."""
    import keras

    import transferkit as tk
    from transferkit.training.batches import Batches

    data = machine.fashion_mnist(train=images, validation=0, test=1_000)
    model = tk.build_cnn()
    batches = Batches(data.train, batch_size=64, num_classes=data.num_classes, seed=0)
    begun: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: begun.append(time.perf_counter()))
    history = fit(model)(batches, epochs=epochs, shuffle=False, callbacks=[note], validation_data=None, verbose=0)
    begun.append(time.perf_counter())
    # The first epoch traces the steps.
    return np.diff(begun[1:]).tolist(), history.history["loss"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=12)
    options = machine.parse(parser, images=500, epochs=3)
    from transferkit.models.keras_internals import fit_of

    columns = ("fastest epoch, s", "median, s", "slowest, s", "all, s")
    results = machine.Results("epoch_ends", {"training": "{}", **dict.fromkeys(columns, "{:.2f}")}, options)
    losses = []
    for name, fit in {"Keras `fit`": lambda model: model.fit, "transferkit": fit_of}.items():
        seconds, loss = epochs_of(fit, options.images, options.epochs)
        results.add(name, min(seconds), median(seconds), max(seconds), sum(seconds))
        losses.append(loss)
    results.check("loss after the last epoch", abs(losses[0] - losses[1]), 1e-6)


if __name__ == "__main__":
    main()
