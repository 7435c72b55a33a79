"""One seed on each backend of Keras: test accuracy, initial weights and seconds of a CNN and of a frozen MobileNet.

Each backend runs in a process of its own, all in one run: python benchmarks/backends.py [--quick] [--python jax=PATH torch=PATH]
"""

import argparse
import json
import os
import subprocess
import sys
import time

BACKENDS = ("tensorflow", "jax", "torch")


def measure(images: int, epochs: int) -> None:
    """Train both arms on the backend of this process and print what came out as one line of JSON."""
    import numpy as np

    import transferkit as tk

    data = tk.load_fashion_mnist(labels_per_class=images // 10, validation=images // 2)
    test = tk.Split(data.test.images[: 2 * images], data.test.labels[: 2 * images])
    data = tk.Dataset.from_arrays(tuple(data.train), tuple(test), validation=tuple(data.validation), allow_overlap=True)
    found = {}
    for name in ("CNN", "frozen MobileNet"):
        model = tk.build_cnn(seed=0) if name == "CNN" else tk.build_transfer_model("mobilenet", image_size=64, seed=0)
        initial = float(sum(np.abs(np.asarray(w, np.float64)).sum() for w in model.get_weights()))
        start = time.perf_counter()
        run = tk.train(model, data, epochs=epochs, seed=0, name=name, verbose=False)
        seconds = time.perf_counter() - start
        found[name] = {"accuracy": run.metrics["accuracy"], "initial": initial, "seconds": seconds}
    print("RESULT " + json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 images and 2 epochs instead of 2,000 and 10")
    parser.add_argument("--python", nargs="*", default=[], help="interpreters, by backend: jax=.venv-jax/bin/python")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    images, epochs = (200, 2) if options.quick else (2_000, 10)
    if options.one:
        measure(images, epochs)
        return
    pythons = dict(given.split("=", 1) for given in options.python)
    print(f"{images:,} training images, {2 * images:,} test images, {epochs} epochs, seed 0\n")
    print("| backend | arm | test accuracy | sum of initial weights | seconds |\n|---|---|---|---|---|")
    for backend in BACKENDS:
        command = [pythons.get(backend, sys.executable), __file__, "--one", *(["--quick"] if options.quick else [])]
        environment = os.environ | {"KERAS_BACKEND": backend}
        done = subprocess.run(  # noqa: S603 - our own file
            command, env=environment, capture_output=True, text=True, check=False
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            print(f"| {backend} | not measured: {(done.stderr.splitlines() or ['no output'])[-1][:100]} | | | |")
            continue
        for arm, found in json.loads(lines[0].removeprefix("RESULT ")).items():
            print(
                f"| {backend} | {arm} | {100 * found['accuracy']:.2f} | {found['initial']:.3f} | {found['seconds']:.1f} |"
            )


if __name__ == "__main__":
    main()
