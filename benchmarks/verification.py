"""What it costs to verify kept images and features at each use, beside making them and beside an epoch of their use.

    python benchmarks/verification.py [--photos 500] [--size 96] [--images 10000] [--rounds 5]

Photos of noise are written, decoded and kept; features of random numbers likewise. Each check reads and hashes every byte that is kept.
"""

import argparse
import hashlib
import os
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median

import machine
import numpy as np
from PIL import Image

folder = Path(tempfile.mkdtemp())
os.environ["TRANSFERKIT_HOME"] = str(folder / "home")

import transferkit as tk
from transferkit import files
from transferkit.features.store import FeatureStore

parser = argparse.ArgumentParser(description="Verification of what is kept")
parser.add_argument("--photos", type=int, default=500)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=10_000)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()


def timed(run):
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def repeat(run):
    return median(timed(run)[1] for _ in range(arguments.rounds))


print(machine.describe_machine(), "\n")
rng = np.random.default_rng(0)
block = rng.integers(0, 256, 1 << 26, dtype=np.uint8)
rates = {"SHA-256": hashlib.sha256, "BLAKE2b": hashlib.blake2b, "CRC-32": zlib.crc32}
machine.print_table(
    ["sum", "GB/s"],
    [[name, f"{len(block) / 1e9 / repeat(lambda r=run: r(block.data)):.2f}"] for name, run in rates.items()],
)

for kind in ("cat", "dog"):
    (folder / "photos" / kind).mkdir(parents=True)
    for number in range(arguments.photos // 2):
        coarse = Image.fromarray(rng.integers(0, 256, (25, 25, 3), dtype=np.uint8))
        coarse.resize((400, 400)).save(folder / "photos" / kind / f"{number}.jpg")


def load():
    return tk.load_image_folder(folder / "photos", image_size=arguments.size)


data, decoding = timed(load)
bytes_of_images = sum(split.images.nbytes for split in data)
loading = repeat(load)
hashing = repeat(lambda: [files.sha256_arrays(*split) for split in data])
epoch = repeat(
    lambda: [split.images[start : start + 64].sum() for split in data for start in range(0, len(split.images), 64)]
)

images = rng.integers(0, 256, (arguments.images, 28, 28, 1), dtype=np.uint8)
table = rng.random((arguments.images, 1024), dtype=np.float32)


def open_store():
    store = FeatureStore(folder / "features", (1024,))
    return store.take(store.locate([images], lambda batch: table[: len(batch)]))


_, writing = timed(open_store)
opening = repeat(open_store)
digests = repeat(lambda: [hashlib.blake2b(image.data, digest_size=16).digest() for image in images])
rows_check = repeat(lambda: hashlib.sha256(table.data).digest())
machine.print_table(
    ["what is kept", "MB", "made in", "opened in", "of that verification"],
    [
        [
            f"{len(data.train.labels) + len(data.validation.labels) + len(data.test.labels)} photos at {arguments.size} px",
            f"{bytes_of_images / 1e6:.0f}",
            f"{decoding:.2f} s",
            f"{loading * 1e3:.0f} ms",
            f"{hashing * 1e3:.0f} ms",
        ],
        [
            f"1,024 features of {arguments.images:,} images",
            f"{table.nbytes / 1e6:.0f}",
            f"{writing:.2f} s without computing them",
            f"{opening * 1e3:.0f} ms",
            f"{rows_check * 1e3:.0f} ms rows, {digests * 1e3:.0f} ms images",
        ],
    ],
)
print(f"\nReading all photos once, as an epoch does: {epoch * 1e3:.0f} ms.")
