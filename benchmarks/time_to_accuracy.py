"""Time to accuracy on Fashion-MNIST, from raw files to a test accuracy, in the manner of DAWNBench (Coleman et al. 2017).

    python benchmarks/time_to_accuracy.py [--quick] [NAMES ...] [--seeds 3] [--runs FOLDER] [--again]

Every way fine-tunes the ImageNet MobileNet in a process of its own, which loads the images, builds, trains on 50,000, predicts the 10,000
validation images after each epoch and the 10,000 test images once, at the end; imports are not counted. Recipes were chosen by validation,
but for those of all layers; three of them train on all 60,000, without validation and so without a curve. In the curves, the minutes of an
epoch are those of the epochs so far and of everything outside of the training steps, as if that came first.
Rows that this machine wrote into the files are kept, so a run that was stopped goes on. ``--runs`` saves runs of ours in a folder.

Keras's own `fit` follows its guide to transfer learning, with the learning rates of our recipe: the head on the frozen network, then all
layers with BatchNorm in inference mode. PyTorch trains all layers with our recipe, channels_last and in automatic mixed precision
(bfloat16), as its own guide has it.
"""

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

import machine
import torch_mobilenet

OURS = {"image_size": 96, "label_smoothing": 0.1, "matmul_precision": "auto"}
UPPER = {
    "unfreeze_from": "conv_pw_6",
    "batch_size": 128,
    "learning_rate": 2e-3,
    "augment": "flip",
    "head_epochs": 0,
    **OURS,
}
FINAL = {"validation": 0, "average_flips": True}
ALL = {"augment": ("flip", "shift", "erase"), **OURS, **FINAL}
# Names and counts are those of examples/assignment.py, which finds runs that are saved here.
UPPER_96 = {"name": "MobileNet, upper blocks, 96 px", "tuning_trials": 16}
ALL_96 = {"name": "MobileNet, all layers, 96 px", "tuning_trials": 2}
ALL_128 = {"name": "MobileNet, all layers, 128 px", "tuning_trials": 3, "seeds": 1}  # it takes long
PEERS = {"image_size": 64, "epochs": 4, "batch_size": 64, "learning_rate": 1e-3}
WAYS: dict[str, dict[str, Any]] = {
    "upper blocks, 96 px": {"epochs": 3, **UPPER},
    "upper blocks, 96 px, 60,000 images, flips averaged": {"epochs": 5, **UPPER, **FINAL, **UPPER_96},
    "all layers, 96 px, 60,000 images, flips averaged": {"epochs": 11, **ALL, **ALL_96},
    "all layers, 128 px, 60,000 images, flips averaged": {"epochs": 22, **ALL, "image_size": 128, **ALL_128},
    "Keras `fit`": PEERS,
    "PyTorch": {**PEERS, "label_smoothing": 0.1},
}  # fmt: skip


def load(images: int | None, validation: int) -> Any:
    """Return Fashion-MNIST, the first images of each split if `images` is given."""
    import transferkit as tk

    if images is None:
        return tk.load_fashion_mnist(validation=validation)
    return machine.fashion_mnist(train=images, validation=min(images, validation), test=images)


def fine_tune(
    data: Any, recipe: dict[str, Any], seed: int, *, folder: str | None
) -> tuple[float, list[float], list[float | None]]:
    """Return test accuracy, seconds of each epoch and accuracies on validation; save what is named in the folder."""
    import transferkit as tk

    options = dict(recipe)
    averaged = options.pop("average_flips", False)
    if folder and "name" in recipe:
        options |= {"folder": folder, "save_as": f"{recipe['name']}-seed-{seed}"}
    model = tk.build_transfer_model("mobilenet", image_size=options.pop("image_size"), seed=seed)
    run = tk.fine_tune(model, data, seed=seed, verbose=False, **options)
    if averaged:
        run = tk.average_flips(run, data)
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
        found.append(model.evaluate(*data.validation, verbose=0)[1])
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


def measure(name: str, seed: int, *, quick: bool, python: str, folder: str | None) -> dict[str, Any]:
    """Return what one way does with one seed; `python` has PyTorch."""
    import transferkit as tk  # noqa: F401 - imports are not counted

    recipe = {"validation": 10_000} | WAYS[name] | ({"epochs": 1} if quick else {})
    peers = {"Keras `fit`": fit, "PyTorch": partial(fine_tune_in_torch, python=python)}
    start = time.perf_counter()
    data = load(256 if quick else None, recipe.pop("validation"))
    recipe.pop("seeds", None)
    accuracy, seconds, found = peers.get(name, partial(fine_tune, folder=folder))(data, recipe, seed)
    return {"accuracy": accuracy, "seconds": time.perf_counter() - start, "epochs": seconds, "validation": found}


def main() -> None:
    """Measure what is asked for and is not in the file yet."""
    parser = argparse.ArgumentParser(description="Wall time to a test accuracy")
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(WAYS)}; all if none is given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", help="folder in which runs on all 60,000 images are saved")
    parser.add_argument("--again", action="store_true", help="measure what is asked for even if it is in the files")
    torch_mobilenet.add_option(parser)
    options = machine.parse(parser, seeds=1)
    if unknown := set(options.names) - set(WAYS):
        parser.error(f"there are no ways {', '.join(sorted(unknown))}")
    about = {"way": "{}", "px": "{}", "layers that train": "{}", "seed": "{}", "epoch": "{}", "minutes": "{:.1f}"}
    tables = {"time_to_accuracy": "test accuracy", "time_to_accuracy_curves": "validation accuracy"}
    asked = options.names or (["upper blocks, 96 px", "PyTorch"] if options.quick else list(WAYS))
    kept = {} if options.quick else {name: machine.kept_rows(options, name) for name in tables}
    if options.again:
        kept = {name: [row for row in rows if row["way"] not in asked] for name, rows in kept.items()}
    results, curves = (machine.Results(name, {**about, tables[name]: "{:.2%}"}, options) for name in tables)
    for table, name in ((results, "time_to_accuracy"), (curves, "time_to_accuracy_curves")):
        for row in kept.get(name, []):
            table.add(*row.values())
    done = {(row["way"], row["seed"]) for row in kept.get("time_to_accuracy", [])}
    if "PyTorch" in asked and not torch_mobilenet.is_in(options.torch_python):
        asked.remove("PyTorch")
    for way in asked:
        for seed in range(WAYS[way].get("seeds", options.seeds)):
            if (way, seed) in done:
                continue
            given = json.dumps([way, seed, options.quick, options.torch_python, options.runs])
            found = machine.in_process(__file__, [given])
            first = (way, WAYS[way]["image_size"], WAYS[way].get("unfreeze_from", "all"), seed)
            minutes = found["seconds"] / 60
            before = minutes - sum(found["epochs"]) / 60
            for epoch, accuracy in enumerate(found["validation"], start=1):
                if accuracy is None:  # of a way without validation images
                    continue
                curves.add(*first, epoch, before + sum(found["epochs"][:epoch]) / 60, accuracy)
            results.add(*first, len(found["epochs"]), minutes, found["accuracy"])


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("["):  # the process of one measurement
        machine.use_empty_home()
        way, seed, quick, python, folder = json.loads(sys.argv[1])
        machine.give_back(measure(way, seed, quick=quick, python=python, folder=folder))
    else:
        main()
