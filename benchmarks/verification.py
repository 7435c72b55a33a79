"""What it costs to verify kept images and features at each use, beside making them and beside an epoch of their use.

    python benchmarks/verification.py [--quick] [--photos 500] [--size 96] [--images 10000] [--rounds 5]

Photos of noise are written, decoded and kept; features of random numbers likewise. Each check reads and hashes every byte that is kept.
"""

import argparse
import hashlib
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median

import machine
import numpy as np

import transferkit as tk
from transferkit import files
from transferkit.features.store import FeatureStore

parser = argparse.ArgumentParser(description="Verification of what is kept")
parser.add_argument("--photos", type=int, default=500)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--images", type=int, default=10_000)
parser.add_argument("--rounds", type=int, default=5)
arguments = machine.parse(parser, photos=20, images=200, rounds=1)
machine.use_empty_home()
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)


def timed(run):
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def repeat(run):
    return median(timed(run)[1] for _ in range(arguments.rounds))


rng = np.random.default_rng(0)
block = rng.integers(0, 256, 1 << 26, dtype=np.uint8)
sums = machine.Results("verification_sums", {"sum": "{}", "GB/s": "{:.2f}"}, arguments)
for name, run in {"SHA-256": hashlib.sha256, "BLAKE2b": hashlib.blake2b, "CRC-32": zlib.crc32}.items():
    sums.add(name, len(block) / 1e9 / repeat(lambda r=run: r(block.data)))

machine.make_photographs(folder / "photos", classes=2, per_class=arguments.photos // 2)


def load():
    return tk.load_image_folder(folder / "photos", image_size=arguments.size)


columns = {"what is kept": "{}", "MB": "{:.0f}", "made in, s": "{:.2f}", "opened in, ms": "{:.0f}"}
columns |= {"of that verification, ms": "{:.0f}", "read once, ms": "{:.0f}"}
results = machine.Results("verification", columns, arguments)
data, decoding = timed(load)
again = load()
results.add(
    f"{arguments.photos:,} photos at {arguments.size} px, decoded",
    sum(split.images.nbytes for split in data) / 1e6,
    decoding,
    repeat(load) * 1e3,
    repeat(lambda: [files.sha256_arrays(*split) for split in data]) * 1e3,
    repeat(lambda: [part.images[first : first + 64].sum() for part in data for first in range(0, len(part.images), 64)])
    * 1e3,
)
differing = sum(not np.array_equal(a.images, b.images) for a, b in zip(data, again, strict=True))
results.check("photos that were decoded and those that are kept", differing, 0)

images = rng.integers(0, 256, (arguments.images, 28, 28, 1), dtype=np.uint8)
table = rng.random((arguments.images, 1024), dtype=np.float32)
given = iter(np.array_split(table, range(512, len(table), 512)))


def open_store():
    store = FeatureStore(folder / "features", (1024,))
    return store.take(store.locate([images], lambda _: next(given)))


kept, writing = timed(open_store)
results.add(
    f"1,024 features of {arguments.images:,} images, not computed",
    table.nbytes / 1e6,
    writing,
    repeat(open_store) * 1e3,
    repeat(
        lambda: (
            [hashlib.blake2b(image.data, digest_size=16).digest() for image in images] and hashlib.sha256(table.data)
        )
    )
    * 1e3,
    repeat(lambda: [table[first : first + 64].sum() for first in range(0, len(table), 64)]) * 1e3,
)
results.check("features that were written and those that are kept", machine.largest_difference(kept, table), 0.0)
