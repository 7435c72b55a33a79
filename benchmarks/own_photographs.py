"""What the defaults make of a folder of photographs: frozen features, fine-tuning, `tune`, and Keras's own `fit` by hand.

    python benchmarks/own_photographs.py FOLDER [--per-class 20] [--seeds 0 1 2] [--minutes 5] [--weights PATH]
    python benchmarks/own_photographs.py --quick

40% of the photographs are the test images, 15% validate, and the rest, or some of each class of it, train. One split for all
seeds. Each row is written to `docs/benchmarks/own_photographs.json` when it is done; rows that are there are not run again. The table of
all of them goes to a CSV file beside it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import machine
import numpy as np
import pandas as pd

import transferkit as tk

parser = argparse.ArgumentParser(description="Accuracy on photographs of one's own")
parser.add_argument("folder", nargs="?", help="of photographs; with --quick, noise if left out")
parser.add_argument("--per-class", type=int, help="training images of each class; all if left out")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--minutes", type=float, default=5)
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
parser.add_argument("--ways", nargs="+", help="some of the ways; all if left out")
parser.add_argument("--weights", default=True, help="a file of MobileNet's ImageNet weights")
arguments = machine.parse(parser, size=64, seeds=[0], ways=["frozen, logistic", "fine_tune"])
if arguments.folder is None and not arguments.quick:
    parser.error("give the folder of photographs")
output, scratch = arguments.output / "own_photographs.json", tempfile.TemporaryDirectory()
if arguments.folder is None:
    machine.make_photographs(Path(scratch.name), classes=2, per_class=12)

data = tk.load_image_folder(
    arguments.folder or scratch.name,
    image_size=arguments.size,
    validation=0.15,
    test=0.4,
    labels_per_class=arguments.per_class,
)
print(data, "\n")
size, shape, classes = arguments.size, data.image_shape, data.num_classes
quiet, fewer = {"verbose": False}, {"epochs": 1} if arguments.quick else {}


def build(seed):
    options = {"num_classes": classes, "input_shape": shape, "image_size": size, "seed": seed}
    return tk.build_transfer_model("mobilenet", pretrained=arguments.weights, **options)


def fit_by_hand(seed):
    """What a careful user of Keras writes: a new head first, then everything, augmentation layers, a falling rate."""
    keras.utils.set_random_seed(seed)
    base = keras.applications.MobileNet(input_shape=(size, size, 3), include_top=False, weights=None, pooling="avg")
    source = arguments.weights
    base.load_weights(source) if isinstance(source, str) else base.set_weights(
        build(seed).get_layer("backbone").get_weights()
    )
    inputs = keras.Input(shape)
    x = keras.layers.RandomRotation(0.05, fill_mode="nearest")(inputs)
    x = keras.layers.RandomZoom(0.2, fill_mode="nearest")(x)
    x = keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(x)
    x = keras.layers.RandomBrightness(0.2, value_range=(0, 255))(x)
    x = keras.layers.RandomContrast(0.2, value_range=(0, 255))(x)
    x = base(keras.layers.Rescaling(1 / 127.5, offset=-1)(x))
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
    train = np.asarray(data.train.images, np.float32), data.train.labels
    validation = np.asarray(data.validation.images, np.float32), data.validation.labels
    fitting = {"batch_size": 32, "validation_data": validation, "verbose": 0}
    base.trainable = False
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*train, epochs=5, **fitting)
    base.trainable = True
    steps = 15 * -(-len(train[1]) // 32)
    falling = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(falling), "sparse_categorical_crossentropy", metrics=["accuracy"])
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=15, restore_best_weights=True)
    model.fit(*train, epochs=15, callbacks=[best], **fitting)
    answers = model.predict(np.asarray(data.test.images, np.float32), verbose=0).argmax(axis=1)
    return float((answers == data.test.labels).mean())


ways = {
    "frozen, logistic": lambda seed: tk.fit_head(build(seed), data, seed=seed, **quiet).metrics["accuracy"],
    "fine_tune": lambda seed: tk.fine_tune(build(seed), data, seed=seed, **quiet, **fewer).metrics["accuracy"],
    "Keras by hand": fit_by_hand,
    f"tune(minutes={arguments.minutes:g})": lambda seed: tk.tune(
        data, arguments.minutes, pretrained=arguments.weights, seed=seed, **quiet
    ).run.metrics["accuracy"],
}
found = json.loads(output.read_text()) if output.is_file() and not arguments.quick else []
images = len(data.train.labels)
for seed in arguments.seeds:
    for way in arguments.ways or ways:
        key = {"way": way, "images": images, "size": size, "seed": seed}
        if any(key.items() <= row.items() for row in found):
            continue
        start = time.perf_counter()
        accuracy = ways[way](seed)
        row = {
            **key,
            "accuracy": accuracy,
            "seconds": time.perf_counter() - start,
            "machine": machine.describe_machine(),
        }
        found.append(row)
        if not arguments.quick:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{way}, seed {seed}: {accuracy:.1%} after {row['seconds']:.0f} s", flush=True)

table = pd.DataFrame(found).sort_values(["images", "seed"], kind="stable")
shown = [
    {
        "training images": images,
        "way": way,
        "test accuracy, each seed": ", ".join(f"{accuracy:.1%}" for accuracy in rows["accuracy"]),
        "mean": f"{rows['accuracy'].mean():.1%}",
        "seconds": f"{rows['seconds'].mean():.0f}",
    }
    for (images, way), rows in table.groupby(["images", "way"], sort=False)
]
if not arguments.quick:
    pd.DataFrame(shown).to_csv(output.with_suffix(".csv"), index=False)
print(pd.DataFrame(shown).to_string(index=False))
