"""Peak memory of a whole process that extracts features.

    python benchmarks/memory.py [--quick] [--size 224] [--images 70000]

The images are those of Fashion-MNIST, all 70,000 if not told otherwise, with an empty cache.
"""

import argparse

import machine
import numpy as np

import transferkit as tk

parser = argparse.ArgumentParser(description="Peak memory of feature extraction")
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--images", type=int, default=70_000)
arguments = machine.parse(parser, size=64, images=256)

machine.use_empty_home()
images = np.concatenate([split.images for split in tk.load_fashion_mnist()])[: arguments.images]
model = tk.build_transfer_model("mobilenet", image_size=arguments.size)
features = tk.extract_features(model, images)
results = machine.Results(
    "memory", {"images": "{:,}", "px": "{}", "features": "{:,} numbers each", "peak memory": "{:.2f} GB"}, arguments
)
results.add(len(images), arguments.size, features.shape[1], machine.peak_gb())
again = tk.extract_features(tk.build_transfer_model("mobilenet", image_size=arguments.size), images[:64])
results.check(
    "features that were computed and those that are found again", machine.largest_difference(features[:64], again), 0.0
)
