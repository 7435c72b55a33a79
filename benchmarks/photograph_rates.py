"""Processor time of decoding a photograph and computing its MobileNet features, to plan with.

    python benchmarks/photograph_rates.py [--quick] [--write docs/results/clusters/rates.json]

Processor seconds, not those of the clock: they hardly depend on what else the machine does.
"""

import argparse
import io
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"

import machine
import numpy as np
import pyarrow as pa
from PIL import Image

import transferkit as tk

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--write", type=Path)
arguments = machine.parse(parser, keeps=False)

rng = np.random.default_rng(0)
contents = []
for _ in range(16):  # 640 x 480 pixels, with as much detail as makes some 100 KB
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse, np.float32) + rng.normal(0, 9, (480, 640, 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    contents.append(stream.getvalue())
record = {
    "machine": machine.describe_machine(),
    "photograph_bytes": int(np.mean(list(map(len, contents)))),
    "sizes": [],
}
columns = {"px": "{}", "photographs per core and second": "{:.0f}", "bytes of features": "{:,}"}
results = machine.Results(None, columns, arguments)
for side, count in ((64, 8),) if arguments.quick else ((96, 128), (224, 64)):
    model = tk.build_transfer_model(
        "mobilenet", pretrained=False, freeze=True, input_shape=(side, side, 3), image_size=side
    )
    mapper = tk.FeatureMapper(model)
    table = pa.table({"key": range(count), "image": (contents * 8)[:count]})
    mapper(table.slice(0, 64))  # warm up
    start = time.process_time()
    features = mapper(table)
    seconds = (time.process_time() - start) / count
    record["sizes"].append(
        {"side": side, "cpu_seconds": seconds, "feature_bytes": features["features"].nbytes // count}
    )
    results.add(side, 1 / seconds, record["sizes"][-1]["feature_bytes"])
if arguments.write:
    arguments.write.parent.mkdir(parents=True, exist_ok=True)
    arguments.write.write_text(json.dumps(record, indent=1) + "\n")
