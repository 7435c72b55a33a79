"""Images a second of transferkit's arms and of plain Keras ``fit``, in one call of a few minutes on a machine with a GPU.

    KERAS_BACKEND=jax python benchmarks/accelerator.py [--quick]

``--quick`` takes a small network and few images, to see on a CPU that everything runs; there, Keras's own backend computes. Compilation is
left out of the rates: the first epoch is not counted.
"""

import argparse
import os
import time

import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--image-size", type=int, default=None)
    options = machine.parse(parser, keeps=False)
    if not options.quick:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    machine.use_empty_home()
    measure(options)


def measure(options: argparse.Namespace) -> None:
    import keras
    import numpy as np

    import transferkit as tk
    from transferkit.training.environment import describe_environment

    environment = describe_environment()
    accelerator = environment["accelerator"]
    images = 256 if options.quick else 40_000
    batch = options.batch_size or (64 if options.quick else 256)
    side = options.image_size or (28 if options.quick else 96)
    if accelerator and keras.config.dtype_policy().name == "float32":
        keras.config.set_dtype_policy("mixed_bfloat16")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images + 200, 28, 28, 1), dtype=np.uint8)
    labels = np.arange(len(pixels)) % 10
    data = tk.Dataset.from_arrays(
        (pixels[:images], labels[:images]),
        (pixels[images + 100 :], labels[images + 100 :]),
        validation=(pixels[images : images + 100], labels[images : images + 100]),
    )

    def network(**given):
        backbone = "mobilenet"
        if options.quick:
            small = tk.build_cnn((side, side, 1), preset="modern", filters=(8, 16))
            backbone = keras.Model(small.inputs, small.get_layer("pool").output)
        return tk.build_transfer_model(backbone, pretrained=False, image_size=side, seed=0, **given)

    class Plain(keras.utils.PyDataset):
        def __len__(self):
            return images // batch

        def __getitem__(self, index):
            chosen = slice(index * batch, (index + 1) * batch)
            return data.train.images[chosen], data.train.labels[chosen]

    def plain(model):
        seconds = []

        class Clock(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
                self.start = time.perf_counter()

            def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
                seconds.append(time.perf_counter() - self.start)

        model.fit(Plain(), epochs=2, verbose=0, callbacks=[Clock()])
        return len(Plain()) * batch / seconds[-1]

    def ours(model, **given):
        run = tk.train(model, data, epochs=2, batch_size=batch, verbose=False, engine="plain", **given)
        return images / run.history[-1]["seconds"]

    what = f"{'small network' if options.quick else 'MobileNet'} {side} px"
    arms = {
        "CNN": (lambda: tk.build_cnn(seed=0), {}),
        f"{what}, all layers": (network, {}),
        f"{what}, flips and shifts": (network, {"augment": ("flip", "shift")}),
        f"{what}, frozen, in every step": (lambda: network(freeze=True), {}),
    }
    policy = keras.config.dtype_policy().name
    print(f"{environment['backend']}, {accelerator or 'no accelerator'}, {policy}, batch {batch}, {images:,} images")
    columns = {"arm": "{}", "plain Keras fit, images/s": "{:,.0f}", "transferkit, images/s": "{:,.0f}"}
    results = machine.Results(None, columns | {"share": "{:.0%}"}, options)
    for name, (build, given) in arms.items():
        one, two = plain(build()), ours(build(), **given)
        results.add(name, one, two, two / one)
    frozen = network(freeze=True)
    start = time.perf_counter()
    features = tk.extract_features(frozen, pixels[:images])
    results.add(f"{what}, features kept once", None, images / (time.perf_counter() - start), None)
    expected = keras.Model(frozen.inputs, frozen.get_layer("pool").output).predict(pixels[:64], verbose=0)
    limit = 1e-3 if policy == "float32" else 0.1 * float(np.abs(expected).max())
    results.check("kept features and those of Keras", machine.largest_difference(features[:64], expected), limit)


if __name__ == "__main__":
    main()
