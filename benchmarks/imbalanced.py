"""Whether `class_weight="balanced"` helps on an imbalanced folder of photographs: macro F1 on a balanced test set.

    python benchmarks/imbalanced.py FOLDER [--counts 200 60 20 20] [--size 96] [--seeds 0 1 2] [--weights PATH] [--csv FILE]
    python benchmarks/imbalanced.py --quick

Each seed draws four classes of FOLDER, of which the first is the frequent one, and their photographs. Of the counts 70% train, 15% validate. The test images are as many of
each class as 15% of the largest count; those of the rare classes are photographs beyond the counts.
"""

import argparse
import tempfile
from pathlib import Path

import machine
import numpy as np
import pandas as pd

import transferkit as tk

parser = argparse.ArgumentParser(description="Class weights on an imbalanced folder")
parser.add_argument("folder", nargs="?", help="of photographs; with --quick, noise if left out")
parser.add_argument("--counts", type=int, nargs="+", default=[200, 60, 20, 20])
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
parser.add_argument("--weights", default=True, help="a file of MobileNet's ImageNet weights")
parser.add_argument("--csv", type=Path, help="where to write one row a training")
arguments = machine.parse(parser, keeps=False, counts=[12, 6, 4, 4], size=64, seeds=[0])
if arguments.folder is None and not arguments.quick:
    parser.error("give the folder of photographs")

scratch = tempfile.TemporaryDirectory()
if arguments.folder is None:
    machine.make_photographs(Path(scratch.name), classes=4, per_class=14)
whole = tk.load_image_folder(arguments.folder or scratch.name, image_size=arguments.size)
images = np.concatenate([split.images for split in whole])
labels = np.concatenate([split.labels for split in whole])


def draw(seed):
    """Return the imbalanced data of a seed."""
    rng = np.random.default_rng(seed)
    tested = round(0.15 * max(arguments.counts))
    rows = {"train": [], "validation": [], "test": []}
    classes = rng.permutation(whole.num_classes)[: len(arguments.counts)]
    for label, count in zip(classes, arguments.counts, strict=True):
        order = rng.permutation(np.flatnonzero(labels == label))
        ends = np.cumsum([tested, round(0.15 * count), round(0.7 * count)])
        for name, part in zip(("test", "validation", "train"), np.split(order, ends), strict=False):
            rows[name].append(part)
    parts = {name: np.concatenate(found) for name, found in rows.items()}
    number = {label: index for index, label in enumerate(classes)}
    arrays = {name: (images[part], np.array([number[label] for label in labels[part]])) for name, part in parts.items()}
    return tk.Dataset.from_arrays(
        **arrays, class_names=[whole.class_names[label] for label in classes], name="imbalanced"
    )


def build(data, seed):
    options = {"num_classes": data.num_classes, "input_shape": data.image_shape, "image_size": arguments.size}
    return tk.build_transfer_model("mobilenet", pretrained=arguments.weights, seed=seed, **options)


ways = {"frozen, logistic": (tk.fit_head, {}), "fine_tune": (tk.fine_tune, {"epochs": 1} if arguments.quick else {})}
found = []
for seed in arguments.seeds:
    data = draw(seed)
    for way, (train, options) in ways.items():
        for weight in (None, "balanced")[arguments.quick :]:
            run = train(build(data, seed), data, seed=seed, class_weight=weight, verbose=False, **options)
            recall = [run.test_correct[run.test_labels == label].mean() for label in range(data.num_classes)]
            found.append(
                {
                    "way": way,
                    "class_weight": weight or "none",
                    "seed": seed,
                    "macro_f1": run.metrics["f1_macro"],
                    "accuracy": run.metrics["accuracy"],
                    "recall_of_frequent": recall[0],
                    "recall_of_rarest": np.mean(recall[-2:]),
                    "log_loss": run.metrics["loss"],
                }
            )
            print(found[-1], flush=True)

table = pd.DataFrame(found).round(4)
if arguments.csv is not None:
    table.to_csv(arguments.csv, index=False)
columns = {"way": "{}", "class_weight": "{}", f"macro F1, seeds {arguments.seeds}": "{}", "mean": "{:.1f}"}
columns |= {"recall of the frequent class": "{:.1f}", "of the two rarest": "{:.1f}", "log-loss": "{:.3f}"}
results = machine.Results(None, columns, arguments)
for (way, weight), part in table.groupby(["way", "class_weight"], sort=False):
    means = [100 * part[name].mean() for name in ("macro_f1", "recall_of_frequent", "recall_of_rarest")]
    results.add(
        way, weight, ", ".join(f"{100 * value:.1f}" for value in part["macro_f1"]), *means, part["log_loss"].mean()
    )
