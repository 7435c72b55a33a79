"""Time to accuracy on Fashion-MNIST, from raw files to a test accuracy, in the manner of DAWNBench (Coleman et al. 2017).

    python benchmarks/time_to_accuracy.py [--quick] [NAMES ...] [--seeds 3] [--curves]

Every way fine-tunes the ImageNet MobileNet in a process of its own, which loads the images, builds, trains on all 60,000 and predicts
the 10,000 test images once; imports are not counted. With ``--curves`` each trains once on 50,000, for the accuracy on the 10,000
validation images after each epoch; recipes were chosen by such runs. Their minutes are those of the epochs so far, and of everything
outside of the training steps as if it came first, validation and test included. Rows that this machine wrote into the file are kept, so a run
that was stopped goes on. Keras's own `fit` follows its guide to transfer learning, with the learning rates of our recipe: the head on the frozen
network, then all layers with BatchNorm in inference mode. PyTorch trains all layers with our recipe, channels_last and in automatic mixed
precision (bfloat16), as its own guide has it.
"""

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

import machine
import torch_mobilenet

OURS = {"augment": "flip", "label_smoothing": 0.1, "head_epochs": 0, "matmul_precision": "auto"}
UPPER = {"unfreeze_from": "conv_pw_6", "batch_size": 128, "learning_rate": 2e-3, **OURS}
ALL = {"image_size": 64, "epochs": 4, "batch_size": 64, "learning_rate": 1e-3}
WAYS: dict[str, dict[str, Any]] = {
    "upper blocks, 64 px": {"image_size": 64, "epochs": 4, **UPPER},
    "upper blocks, 96 px": {"image_size": 96, "epochs": 3, **UPPER},
    "all layers, 64 px": {**ALL, **OURS},
    "Keras `fit`": ALL,
    "PyTorch": {**ALL, "label_smoothing": 0.1},
}


def load(*, validates: bool, images: int | None) -> Any:
    """Return Fashion-MNIST, the first images of each split if `images` is given."""
    import transferkit as tk

    if images is not None:
        return machine.fashion_mnist(train=images, validation=images, test=images)
    return tk.load_fashion_mnist(validation=10_000 if validates else 0)


def fine_tune(data: Any, recipe: dict[str, Any], seed: int) -> tuple[float, list[float], list[float]]:
    """Return test accuracy, seconds of each epoch and accuracies on validation."""
    import transferkit as tk

    options = dict(recipe)
    model = tk.build_transfer_model("mobilenet", image_size=options.pop("image_size"), seed=seed)
    run = tk.fine_tune(model, data, seed=seed, verbose=False, **options)
    rows = [row for row in run.history if row["phase"] != "head"]
    return run.metrics["accuracy"], [row["seconds"] for row in rows], [row.get("val_accuracy") for row in rows]


def fit(data: Any, recipe: dict[str, Any], seed: int) -> tuple[float, list[float], list[float]]:
    """Do what https://keras.io/guides/transfer_learning/ does."""
    import keras

    import transferkit as tk

    keras.utils.set_random_seed(seed)
    size = recipe["image_size"]
    model = tk.build_transfer_model("mobilenet", image_size=size)  # finds the weights that are at hand
    backbone = model.get_layer("backbone")
    backbone.trainable = False
    inputs = keras.Input(data.image_shape)
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Resizing(size, size)(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(keras.layers.Concatenate()([x, x, x]))
    x = keras.layers.GlobalAveragePooling2D()(backbone(x, training=False))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(keras.layers.Dropout(0.2)(x)))
    given = {"batch_size": recipe["batch_size"], "verbose": 0}
    validation = tuple(data.validation) if len(data.validation.labels) else None
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data.train, epochs=1, **given)
    backbone.trainable = True
    steps = -(-len(data.train.labels) // recipe["batch_size"])
    rate = keras.optimizers.schedules.CosineDecay(recipe["learning_rate"], steps * recipe["epochs"])
    model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    seconds, found = [], []
    for epoch in range(recipe["epochs"]):
        start = time.perf_counter()
        model.fit(*data.train, initial_epoch=epoch, epochs=epoch + 1, **given)
        seconds.append(time.perf_counter() - start)
        found.append(model.evaluate(*validation, verbose=0)[1] if validation else None)
    right = model.predict(data.test.images, verbose=0).argmax(axis=1) == data.test.labels
    return float(right.mean()), seconds, found


def fine_tune_in_torch(
    data: Any, recipe: dict[str, Any], seed: int, *, python: str
) -> tuple[float, list[float], list[float]]:
    """Do the same in PyTorch, with all layers and BatchNorm in training mode."""
    import transferkit as tk

    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    arrays = {f"{name}_images": split.images for name, split in splits.items()}
    arrays |= {f"{name}_labels": split.labels for name, split in splits.items()}
    settings = {name: recipe[name] for name in ("epochs", "batch_size", "learning_rate", "label_smoothing")}
    backbone = tk.build_transfer_model("mobilenet", image_size=recipe["image_size"]).get_layer("backbone")
    peer = torch_mobilenet.start(python, backbone, size=recipe["image_size"], seed=seed, **arrays, **settings)
    done = peer.fine_tune()
    peer.close()
    return done["accuracy"], done["epochs"], done["validation"]


def measure(name: str, seed: int, *, validates: bool, quick: bool, python: str) -> dict[str, Any]:
    """Return what one way does with one seed; `python` has PyTorch."""
    import transferkit as tk  # noqa: F401 - imports are not counted

    recipe = WAYS[name] | ({"epochs": 1} if quick else {})
    peers = {"Keras `fit`": fit, "PyTorch": partial(fine_tune_in_torch, python=python)}
    start = time.perf_counter()
    data = load(validates=validates, images=256 if quick else None)
    accuracy, seconds, found = peers.get(name, fine_tune)(data, recipe, seed)
    return {"accuracy": accuracy, "seconds": time.perf_counter() - start, "epochs": seconds, "validation": found}


def main() -> None:
    """Measure what is asked for and is not in the file yet."""
    parser = argparse.ArgumentParser(description="Wall time to a test accuracy")
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(WAYS)}; all if none is given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--curves", action="store_true", help="train on 50,000 images once, for accuracies by epoch")
    parser.add_argument("--again", action="store_true", help="measure what is in the file too")
    torch_mobilenet.add_option(parser)
    options = machine.parse(parser, seeds=1)
    if unknown := set(options.names) - set(WAYS):
        parser.error(f"there are no ways {', '.join(sorted(unknown))}")
    name = "time_to_accuracy_curves" if options.curves else "time_to_accuracy"
    file = options.output / f"{name}.json"
    kept = [] if options.quick or options.again else machine.kept_rows(file)
    columns = {"way": "{}", "px": "{}", "layers that train": "{}", "epochs": "{}", "seed": "{}"}
    columns |= {"minutes": "{:.1f}", "validation accuracy" if options.curves else "test accuracy": "{:.2%}"}
    results = machine.Results(name, columns, options)
    for row in kept:
        results.add(*row.values())
    quick = ["upper blocks, 64 px", "PyTorch"]
    asked = options.names or (quick if options.quick else list(WAYS))
    if "PyTorch" in asked and not torch_mobilenet.is_in(options.torch_python):
        asked.remove("PyTorch")
    for way in asked:
        recipe, done = WAYS[way], {row["seed"] for row in kept if row["way"] == way}
        about = (way, recipe["image_size"], recipe.get("unfreeze_from", "all"))
        for seed in set(range(1 if options.curves else options.seeds)) - done:
            given = [json.dumps([way, seed, options.curves, options.quick, options.torch_python])]
            found = machine.in_process(__file__, given)
            if not options.curves:
                results.add(*about, recipe["epochs"], seed, found["seconds"] / 60, found["accuracy"])
                continue
            before = found["seconds"] - sum(found["epochs"])
            for epoch, accuracy in enumerate(found["validation"], start=1):
                results.add(*about, epoch, seed, (before + sum(found["epochs"][:epoch])) / 60, accuracy)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("["):  # the process of one measurement
        machine.use_empty_home()
        way, seed, validates, quick, python = json.loads(sys.argv[1])
        machine.give_back(measure(way, seed, validates=validates, quick=quick, python=python))
    else:
        main()
