"""Features of many small images in Parquet shards, on two workers of each engine, of which one is killed half-way.

    python benchmarks/sharded_features.py [--images 100000] [--engines loky dask ray spark] [--write docs/results/clusters/features.json]
    python benchmarks/sharded_features.py --quick

The images are made on the spot. One process computes all of them first; each engine must give the same bit for bit, keep what was
finished before the kill, and compute nothing of it again.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import keras
import machine
import numpy as np

import transferkit as tk

SHARD = 2_000
SIDE = 32
PACKAGES = {"dask": "distributed", "ray": "ray", "spark": "pyspark"}


def is_installed(engine: str) -> bool:
    found = find_spec(PACKAGES.get(engine, "joblib")) is not None
    if not found:
        print(f"{engine} is left out: it is not installed (pip install 'transferkit[clusters]')", flush=True)
    return found


def write_shard(file: Path, number: int, count: int) -> None:
    """Write a shard of JPEG files: smooth colours with some noise."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (count, 4, 4, 3))
    images = np.kron(coarse, np.ones((1, SIDE // 4, SIDE // 4, 1))) + rng.normal(0, 8, (count, SIDE, SIDE, 3))
    contents = []
    for image in images.clip(0, 255).astype(np.uint8):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=90)
        contents.append(stream.getvalue())
    keys = [f"{number:05d}-{row:04d}" for row in range(count)]
    pq.write_table(pa.table({"key": keys, "image": contents}), file)


def memory_mb(pid: int | str) -> float:
    """Return the memory that a process has for itself, without files that it maps."""
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e3
    return 0.0


class Watch(threading.Thread):
    """Looks which workers are at work, what memory they take, and kills one of them half-way."""

    def __init__(self, output: Path, shards: int, *, kill: bool) -> None:
        super().__init__(daemon=True)
        self.output, self.shards, self.kill = output, shards, kill
        self.killed: int | None = None
        self.before: dict[str, int] = {}  # what was finished before the kill, and when
        self.memory: list[tuple[float, float]] = []  # share of shards finished, the largest worker's memory
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            finished = {file.name: file.stat().st_mtime_ns for file in self.output.glob("*.parquet")}
            workers = set()
            for file in (self.output / "_locks").glob("*.holder"):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    workers.add(int(json.loads(file.read_text())["pid"]))
            share = len(finished) / self.shards
            with contextlib.suppress(OSError):
                self.memory.append((share, max(map(memory_mb, workers), default=0.0)))
            if self.kill and self.killed is None and share >= 0.5 and workers - {os.getpid()}:
                self.before, self.killed = finished, (workers - {os.getpid()}).pop()
                os.kill(self.killed, signal.SIGKILL)

    def highest(self, low: float, high: float) -> float:
        return max((taken for share, taken in self.memory if low <= share < high), default=0.0)


@contextlib.contextmanager
def engine(name: str, scratch: Path):
    """Start two workers; yield the options of extract_features."""
    if name == "one process":
        yield {"n_jobs": 1}
    elif name == "loky":
        yield {"backend": "loky", "n_jobs": 2}
    elif name == "dask":
        import distributed

        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(scratch / "dask")
        )
        with cluster, distributed.Client(cluster):
            yield {"backend": "dask"}
    elif name == "ray":
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
        yield {"backend": "ray"}
        ray.shutdown()
    else:
        from pyspark.sql import SparkSession

        # Two workers with one core each; a task whose Python process is killed is tried again.
        builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
        for place in ("spark.driver.host", "spark.driver.bindAddress"):
            builder = builder.config(place, "127.0.0.1")
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield {"backend": "spark"}
        session.stop()


def measure(name: str, model, shards: Path, scratch: Path, count: int, images: int, expected: dict | None) -> dict:
    output = scratch / "features" / name
    watch = Watch(output, count, kill=expected is not None)
    with engine(name, scratch) as options:
        watch.start()
        start = time.perf_counter()
        found = tk.extract_features(model, shards, output=output, verbose=False, **options)
        seconds = time.perf_counter() - start
        watch.over.set()
        watch.join()
        times = {file.name: file.stat().st_mtime_ns for file in found}
        start = time.perf_counter()
        again = tk.extract_features(model, shards, output=output, verbose=False, **options)
        again_seconds = time.perf_counter() - start
    digests = {file.record["name"]: file.record["rows_sha256"] for file in map(open_file, found)}
    return {
        "engine": name,
        "images": images,
        "shards": count,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "killed": watch.killed is not None,
        "finished_before": len(watch.before),
        "computed_again": sum(times.get(file) != when for file, when in watch.before.items()),
        "lost_rows": images - sum(open_file(file).rows for file in found),
        "found_again": again == found and all(file.stat().st_mtime_ns == times[file.name] for file in again),
        "again_seconds": again_seconds,
        "memory_mb_first_half": watch.highest(0.05, 0.5),
        "memory_mb_second_half": watch.highest(0.5, 1.1),
        "memory_mb_caller": memory_mb("self"),
        "equal": expected is None or digests == expected,
        "digests": digests,
        "output_bytes": sum(file.stat().st_size for file in found),
    }


def open_file(file: Path):
    from transferkit.features.feature_file import FeatureFile

    return FeatureFile.open(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--engines", nargs="*")
    parser.add_argument("--write", type=Path, help="keep the numbers in this JSON file")
    arguments = machine.parse(parser, keeps=False, images=2_000, engines=["loky"])
    images, size = arguments.images, 200 if arguments.quick else SHARD
    engines = [name for name in arguments.engines or ("loky", *PACKAGES) if is_installed(name)]
    kept = tempfile.TemporaryDirectory()
    scratch = Path(kept.name)
    os.environ["TRANSFERKIT_HOME"] = str(scratch / "home")
    shards = scratch / "shards"
    shards.mkdir()
    count = -(-images // size)
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(lambda n: write_shard(shards / f"{n:05d}.parquet", n, min(size, images - n * size)), range(count))
        )
    backbone = tk.build_cnn((SIDE, SIDE, 3), preset="modern", filters=(16, 32), seed=0)
    backbone = keras.Model(backbone.inputs, backbone.get_layer("pool").output)
    model = tk.build_transfer_model(backbone, freeze=True, input_shape=(SIDE, SIDE, 3))
    columns = {"engine": "{}", "images": "{:,}", "images/s": "{:,.0f}", "worker killed, finished by then": "{}"}
    columns |= {"computed again": "{}", "rows lost": "{}", "equal to one process": "{}", "found again": "{}"}
    columns |= {"again, s": "{:.1f}", "worker's memory, 1st and 2nd half": "{}"}
    results, rows = machine.Results(None, columns, arguments), []
    for name in ["one process", *engines]:
        row = measure(name, model, shards, scratch, count, images, rows[0]["digests"] if rows else None)
        rows.append(row)
        results.add(
            name, images, row["images_per_second"],
            f"{row['finished_before']} of {row['shards']} shards" if row["killed"] else "-",
            row["computed_again"], row["lost_rows"], "bit for bit" if row["equal"] else "NO",
            "all" if row["found_again"] else "NO", row["again_seconds"],
            f"{row['memory_mb_first_half']:.0f} and {row['memory_mb_second_half']:.0f} MB",
        )  # fmt: skip
        faults = row["computed_again"] + row["lost_rows"] + (not row["equal"]) + (not row["found_again"])
        results.check(
            f"{name}: what was computed again, lost, other than in one process, or not found again", faults, 0
        )
    if arguments.write:
        rows = [{name: value for name, value in row.items() if name != "digests"} for row in rows]
        shard_bytes = sum(file.stat().st_size for file in shards.iterdir())
        record = {"machine": machine.describe_machine(), "side": SIDE, "shard_bytes": shard_bytes, "rows": rows}
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
