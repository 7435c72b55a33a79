"""Dask, Ray and Spark, each with two workers: runs and features are those of one process, and survive what happens to workers.

Run with ``make test-clusters``; ``TRANSFERKIT_CLUSTER_TABLE=docs/results/clusters/engines.json`` keeps what was shown.
"""

import functools
import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import FailedRunsError, FailedShardsError
from transferkit.features.workers import joblib_backend

pytestmark = pytest.mark.clusters

FAST = {"epochs": 1, "batch_size": 32, "verbose": False, "name": "CNN"}
PACKAGES = {"dask": "distributed", "spark": "joblibspark", "ray": "ray"}
SHOWN: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="module", params=PACKAGES)
def engine(request, tmp_path_factory):
    """Start two workers of an engine; joblib hands out to them."""
    name = request.param
    pytest.importorskip(PACKAGES[name])
    folder = tmp_path_factory.mktemp(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERKIT_HOME", str(folder / "home"))
        if name == "dask":
            import distributed

            cluster = distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(folder / "dask")
            )
            with cluster, distributed.Client(cluster), joblib_backend(name):
                yield name
        elif name == "ray":
            import ray

            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            patch.setenv(
                "RAY_worker_niceness", "0"
            )  # of 15 otherwise: on a busy machine the tests would wait for minutes
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=200 << 20,
                _node_ip_address="127.0.0.1",
            )
            with joblib_backend(name):
                yield name
            ray.shutdown()
        else:
            patch.setenv("PYSPARK_PYTHON", sys.executable)
            session = start_spark()
            with joblib_backend(name):
                yield name
            session.stop()


def start_spark():
    """Start a Spark cluster of two workers with one core each; a task whose Python process is killed is tried again."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
    for place in ("spark.driver.host", "spark.driver.bindAddress"):
        builder = builder.config(place, "127.0.0.1")
    try:
        session = builder.getOrCreate()
    except Exception as error:
        if "JAVA" in str(error).upper():
            pytest.skip("Spark needs Java")
        raise
    session.sparkContext.setLogLevel("OFF")
    return session


@pytest.fixture(scope="module", autouse=True)
def table():
    """Keep what was shown, where the environment says so; what other engines showed in another run stays."""
    yield
    if SHOWN and "TRANSFERKIT_CLUSTER_TABLE" in os.environ:
        file = Path(os.environ["TRANSFERKIT_CLUSTER_TABLE"])
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        file.write_text(json.dumps(kept | SHOWN, indent=1) + "\n", encoding="utf-8")


def show(engine, what):
    """Note that the assertions of a test hold for an engine."""
    SHOWN.setdefault(engine, {})[what] = "yes"


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(30)


@pytest.fixture(scope="module")
def cnn():
    return functools.partial(tk.build_cnn, (16, 16, 1), filters=(4,), dense_units=8)


@pytest.fixture(scope="module")
def alone(cnn, data):
    """Return the runs of one process."""
    return {run.seed: run for run in tk.repeat(cnn, data, seeds=(0, 1, 2), n_jobs=1, **FAST)}


def check(runs, alone):
    for run in runs:
        assert run.key == alone[run.seed].key
        np.testing.assert_allclose(run.test_probabilities, alone[run.seed].test_probabilities, atol=1e-5)


def test_runs_are_those_of_one_process_and_survive_a_killed_worker(engine, cnn, data, alone, tmp_path):
    (finished,) = tk.repeat(cnn, data, seeds=[0], folder=tmp_path / "runs", n_jobs=1, **FAST)
    marker, parent = tmp_path / "killed", os.getpid()

    def killed_once(seed):
        if seed == 1 and os.getpid() != parent and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return cnn(seed=seed)

    runs = tk.repeat(killed_once, data, seeds=(0, 1, 2), folder=tmp_path / "runs", **FAST)
    assert marker.exists()
    check(runs, alone)
    assert runs[0].created == finished.created
    show(engine, "killed worker survived")
    again = tk.repeat(killed_once, data, seeds=(2, 1, 0), folder=tmp_path / "runs", **FAST)
    assert [run.created for run in again] == [run.created for run in reversed(runs)]
    show(engine, "runs found again")


def test_a_slow_worker_does_not_keep_the_others(engine, cnn, data, alone, tmp_path):
    parent = os.getpid()

    def slow(seed):
        if seed == 0 and os.getpid() != parent:
            deadline = time.monotonic() + 60
            while not list(tmp_path.glob("*/run.json")) and time.monotonic() < deadline:
                time.sleep(0.1)
        return cnn(seed=seed)

    runs = tk.repeat(slow, data, seeds=(0, 1), folder=tmp_path, **FAST)
    check(runs, alone)
    assert [run.seed for run in runs] == [0, 1]
    assert runs[0].created >= runs[1].created
    show(engine, "slow worker kept nobody")


def test_a_worker_without_the_data_is_named_and_loses_nothing(engine, cnn, data, alone, tmp_path):
    parent, there = os.getpid(), tmp_path / "there"

    def load(seed):
        if seed == 1 and os.getpid() != parent and not there.exists():
            raise FileNotFoundError(2, "No such file", "/data/photos")
        return data

    with pytest.raises(FailedRunsError, match="/data/photos") as caught:
        tk.repeat(cnn, load, seeds=(0, 1), folder=tmp_path / "runs", **FAST)
    assert list(caught.value.failures) == ["CNN-seed-1"]
    there.touch()
    runs = tk.repeat(cnn, load, seeds=(0, 1), folder=tmp_path / "runs", n_jobs=1, **FAST)
    assert runs[0].created == caught.value.runs[0].created
    check(runs, alone)
    show(engine, "worker without the data named")


# Features


def encode(image):
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def model():
    import keras

    cnn = tk.build_cnn((32, 32, 3), preset="modern", filters=(8, 16), seed=0)
    backbone = keras.Model(cnn.inputs, cnn.get_layer("pool").output)
    return tk.build_transfer_model(backbone, freeze=True, num_classes=2, input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Return a folder with Parquet files of images."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for number in range(6):
        contents = [encode(image) for image in rng.integers(0, 256, (400, 32, 32, 3), np.uint8)]
        keys = [f"{number}-{row}" for row in range(len(contents))]
        pq.write_table(pa.table({"key": keys, "image": contents}), folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(model, shards, tmp_path_factory):
    """Return keys and features as one process computes them."""
    found = tk.extract_features(model, shards, output=tmp_path_factory.mktemp("alone"), backend="sequential")
    return read(found)


def read(paths):
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in paths]
    keys = [key for table in tables for key in table["key"].to_pylist()]
    return keys, np.concatenate([np.stack(table["features"].to_numpy()) for table in tables])


def kill_one(output):
    """Kill the first worker that is seen at work on a shard."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for file in (output / "_locks").glob("*.holder"):
            try:
                pid = json.loads(file.read_text(encoding="utf-8"))["pid"]
            except (OSError, ValueError, KeyError):
                continue
            if pid != os.getpid() and list(output.glob("*.parquet")):
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.002)


def test_features_survive_a_killed_worker_bit_for_bit(engine, model, shards, expected, tmp_path):
    killer = threading.Thread(target=kill_one, args=(tmp_path,))
    killer.start()
    found = tk.extract_features(model, shards, output=tmp_path, verbose=False)
    killer.join()
    keys, features = read(found)
    assert keys == expected[0]
    assert np.array_equal(features, expected[1])
    show(engine, "features equal bit for bit")
    times = [file.stat().st_mtime_ns for file in found]
    assert tk.extract_features(model, shards, output=tmp_path, verbose=False) == found
    assert [file.stat().st_mtime_ns for file in found] == times
    show(engine, "features found again")


def test_a_shard_that_no_worker_sees_is_named_and_loses_nothing(engine, model, shards, tmp_path):
    given = [shards / "0.parquet", shards / "missing.parquet"]
    with pytest.raises(FailedShardsError, match="missing.parquet is not on") as caught:
        tk.extract_features(model, given, output=tmp_path, verbose=False)
    assert len(caught.value.files) == 1


def test_ray_data_and_spark_give_the_same_features(engine, model, shards, expected):
    mapper = tk.FeatureMapper(model)
    if engine == "ray":
        import ray

        rows = ray.data.read_parquet(str(shards)).map_batches(mapper, batch_format="pyarrow", batch_size=100).take_all()
        found = {row["key"]: row["features"] for row in rows}
    elif engine == "spark":
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
        frame = session.read.parquet(str(shards)).mapInPandas(mapper.map_in_pandas, mapper.spark_schema)
        found = {row["key"]: row["features"] for row in frame.collect()}
    else:
        pytest.skip("Dask runs extract_features")
    features = np.stack([np.asarray(found[key], np.float32) for key in expected[0]])
    assert np.array_equal(features, expected[1])
    show(engine, "tables mapped bit for bit")
