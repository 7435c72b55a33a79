"""Test images of Fashion-MNIST that resemble a training image, and what accuracy becomes without them.

    python examples/duplicates.py [FOLDER_OF_SAVED_RUNS]

Without a folder it uses the records in ``docs/results/quick``.
"""

import sys
from pathlib import Path

import transferkit as tk

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "results" / "quick"
data = tk.load_fashion_mnist(validation=0)
runs = tk.load_runs(folder)

for euclidean in (300, 400, 500):  # over the 784 pixels
    found = tk.find_duplicates(data, max_distance=euclidean / 28, splits=["test"])
    print(f"\n{found}")
    for run in runs:
        print(f"  {tk.accuracy_without(run, found)}")
