"""Peak memory of a whole process that extracts features.

    python benchmarks/memory.py [--size 224] [--images 70000]

The images are those of Fashion-MNIST, all 70,000 if not told otherwise, with an empty cache.
"""

import argparse
import os
import resource
import tempfile

import machine
import numpy as np

os.environ["TRANSFERKIT_HOME"] = tempfile.mkdtemp()

import transferkit as tk

parser = argparse.ArgumentParser(description="Peak memory of feature extraction")
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--images", type=int, default=70_000)
arguments = parser.parse_args()

(x_train, _), (x_validation, _), (x_test, _) = tk.load_fashion_mnist()
images = np.concatenate([x_train, x_validation, x_test])[: arguments.images]
features = tk.extract_features(tk.build_transfer_model("mobilenet", image_size=arguments.size), images)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(machine.describe_machine(), "\n")
machine.print_table(
    ["images", "px", "features", "peak memory"],
    [[f"{len(images):,}", f"{arguments.size}", str(features.shape), f"{peak:.2f} GB"]],
)
