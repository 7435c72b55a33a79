import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import transferkit as tk
from transferkit import files
from transferkit.data import mnist
from transferkit.data.idx import encode_idx
from transferkit.data.mnist import DEBIAN_FOLDER, FASHION_MNIST, MNIST, load_collection
from transferkit.errors import DataError, DownloadError, InvalidInputError, TransferKitWarning

needs_fashion_mnist = pytest.mark.skipif(not DEBIAN_FOLDER.exists(), reason="needs the package dataset-fashion-mnist")


@pytest.fixture(autouse=True)
def no_keras_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def load(collection, **options):
    return load_collection(
        collection, **{"validation": 10, "seed": 0, "labels_per_class": None, "path": None, **options}
    )


def kept(collection, index=0):
    return files.cache_home() / "datasets" / collection.name / collection.files[index].stem


# The real Fashion-MNIST


@pytest.mark.slow
@needs_fashion_mnist
def test_fashion_mnist_has_the_official_form_and_loads_fast_again():
    dataset = tk.load_fashion_mnist()
    assert repr(dataset) == (
        "Dataset('fashion-mnist', 10 classes, 28x28x1, train 50,000, validation 10,000, test 10,000)"
    )
    assert np.bincount(dataset.validation.labels).tolist() == [1000] * 10
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    assert dataset.test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    payload = gzip.decompress((DEBIAN_FOLDER / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert dataset.test.images.tobytes() == payload[16:]
    started = time.perf_counter()
    again = tk.load_fashion_mnist()
    assert time.perf_counter() - started < 3  # 0.2 s on an idle machine
    assert again.fingerprint == dataset.fingerprint


@needs_fashion_mnist
def test_fashion_mnist_as_mnist_is_refused_by_name():
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte\.gz is train-images-idx3-ubyte of Fashion-MNIST; .* of MNIST"
    ):
        tk.load_mnist(path=DEBIAN_FOLDER)


def test_mnist_as_fashion_mnist_is_refused_by_name(tmp_path, monkeypatch):
    first, *others = mnist.MNIST.files
    payload = encode_idx(np.zeros(first.shape, np.uint8))  # MNIST itself is not installed everywhere
    known = dataclasses.replace(first, sha256=hashlib.sha256(payload).hexdigest())
    stand_in = dataclasses.replace(mnist.MNIST, files=(known, *others))
    monkeypatch.setattr(mnist, "_COLLECTIONS", (mnist.FASHION_MNIST, stand_in))
    (tmp_path / f"{first.stem}.gz").write_bytes(gzip.compress(payload, 1))
    with pytest.raises(DataError, match=r"is train-images-idx3-ubyte of MNIST; expected .* of Fashion-MNIST"):
        tk.load_fashion_mnist(path=tmp_path)


@needs_fashion_mnist
def test_swapped_train_and_test_are_refused_by_name(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").symlink_to(DEBIAN_FOLDER / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=r"is t10k-images-idx3-ubyte of Fashion-MNIST; expected train-images"):
        tk.load_fashion_mnist(path=tmp_path)


def test_sums_have_the_length_of_sums_and_are_all_different():
    entries = [*FASHION_MNIST.files, *MNIST.files]
    assert {len(file.sha256) for file in entries} == {64}
    assert {len(file.gz_md5) for file in entries} == {32}
    assert len({file.sha256 for file in entries}) == len({file.gz_md5 for file in entries}) == 8


# Splits and options


def test_zero_validation_trains_on_everything(small_collection, write_files):
    write_files(small_collection.debian_folder)
    dataset = load(small_collection, validation=0)
    assert len(dataset.train.labels) == 60
    assert len(dataset.validation.labels) == 0


def test_labels_per_class_are_nested_subsets_of_the_training_split(small_collection, write_files):
    write_files(small_collection.debian_folder)
    full, four, two = (load(small_collection, labels_per_class=k, seed=7) for k in (None, 4, 2))
    rows = [{image.tobytes() for image in dataset.train.images} for dataset in (full, four, two)]
    assert rows[2] < rows[1] < rows[0]
    assert np.bincount(two.train.labels).tolist() == [2] * 10
    assert two.validation.images.tobytes() == full.validation.images.tobytes()


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": None}, {"validation": 60}, {"validation": -1}, {"labels_per_class": 0}]
)
def test_wrong_options_are_refused_before_any_file_is_touched(small_collection, options):
    with pytest.raises(InvalidInputError):
        load(small_collection, **options)


# Sources


def test_sources_are_tried_in_order_and_the_result_is_the_same(small_collection, write_files, tmp_path):
    write_files(small_collection.debian_folder)
    from_debian = load(small_collection)
    kept(small_collection).unlink()
    for file in small_collection.debian_folder.iterdir():
        file.unlink()
    write_files(tmp_path / "keras" / "datasets" / "small", compress=False)
    assert load(small_collection).fingerprint == from_debian.fingerprint
    assert load(small_collection).describe() == from_debian.describe()


@pytest.mark.parametrize("compress", [True, False])
def test_path_takes_a_folder_of_idx_files(small_collection, small_arrays, write_files, tmp_path, compress):
    dataset = load(small_collection, path=str(write_files(tmp_path / "my files ü", compress=compress)))
    assert np.array_equal(dataset.test.images[..., 0], small_arrays[2])
    assert np.array_equal(dataset.test.labels, small_arrays[3])


def test_path_takes_names_with_a_dot(small_collection, write_files, tmp_path):
    folder = write_files(tmp_path / "files", compress=False)
    for file in list(folder.iterdir()):
        file.rename(folder / file.name.replace("-idx", ".idx"))
    assert len(load(small_collection, path=folder).test.labels) == 20


def test_recompressed_files_are_accepted_by_their_content(small_collection, write_files, tmp_path):
    folder = write_files(tmp_path / "files")
    for file in folder.iterdir():
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=99))
    assert len(load(small_collection, path=folder).test.labels) == 20


@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64])
def test_path_takes_an_npz_file(small_collection, small_arrays, tmp_path, label_dtype):
    x, y, x_test, y_test = small_arrays
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x_train=x[..., None], y_train=y.astype(label_dtype), x_test=x_test, y_test=y_test)
    assert len(load(small_collection, path=path).train.labels) == 50


def test_path_is_the_only_source_then(small_collection, write_files, tmp_path):
    write_files(small_collection.debian_folder)
    load(small_collection)
    with pytest.raises(DataError, match="holds neither train-images-idx3-ubyte nor"):
        load(small_collection, path=tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load(small_collection, path=tmp_path / "absent")


WRONG_FILES = {
    "web page": (b"<!DOCTYPE html><html>sign in</html>", "is a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS pointer"),
    "empty": (b"", "not an IDX file"),
    "half": (gzip.compress(os.urandom(3000))[:1500], "damaged or cut short"),
    "other": (gzip.compress(b"\0\0\x08\x03" + b"\0\0\0\x3c\0\0\0\6\0\0\0\6" + bytes(2160)), "though it has its shape"),
    "shape": (gzip.compress(b"\0\0\x08\x01\0\0\0\1\0"), r"has shape \(1,\); expected \(60, 6, 6\)"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files_are_refused_with_their_name(small_collection, write_files, tmp_path, case):
    content, message = WRONG_FILES[case]
    folder = write_files(tmp_path / "files")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        load(small_collection, path=folder)
    assert "train-images-idx3-ubyte.gz" in str(error.value)


def test_wrong_labels_of_the_right_length_are_refused(small_collection, small_arrays, write_files, tmp_path):
    x, y, x_test, y_test = small_arrays
    folder = write_files(tmp_path / "files", arrays=(x, y, x_test, np.zeros_like(y_test)))
    with pytest.raises(DataError, match=r"t10k-labels.*though it has its shape"):
        load(small_collection, path=folder)


def test_npz_with_pickled_objects_is_never_unpickled(small_collection, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    path = tmp_path / "evil.npz"
    np.savez(path, x_train=np.array([Trap()], dtype=object))
    with pytest.raises(DataError, match="holds objects instead of numbers"):
        load(small_collection, path=path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros(3)}, "holds no single 'x_train'; it has images.npy"),
        ({"x_train": np.zeros((60, 6, 6), np.float32)}, "is float32 of shape"),
        ({"x_train": np.zeros((2, 6, 6), np.uint8)}, r"of shape \(2, 6, 6\); expected uint8"),
        ({"x_train": np.full((60, 6, 6), 256)}, "goes from 256"),
        ({"x_train": np.zeros(10**7, np.uint8)}, "larger than"),
    ],
)
def test_wrong_npz_files_are_refused(small_collection, tmp_path, arrays, message):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(DataError, match=message):
        load(small_collection, path=path)


def test_damaged_npz_and_other_files_are_refused(small_collection, small_arrays, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"not an \.npz file"):
        load(small_collection, path=path)
    np.savez(path, x_train=small_arrays[0])
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError):
        load(small_collection, path=path)


def test_failure_names_every_source_and_the_cures(tmp_path, mirror, monkeypatch):
    _, url, _ = mirror
    collection = dataclasses.replace(FASHION_MNIST, debian_folder=tmp_path / "debian", mirrors=(url, url + "second/"))
    with pytest.raises(DownloadError) as error:
        load(collection)
    message = str(error.value)
    for part in (
        "Fashion-MNIST", "train-images-idx3-ubyte", "transferkit's cache", "Keras's cache", str(tmp_path / "keras"),
        "Debian's package", str(tmp_path / "debian"), f"{url}train-images-idx3-ubyte.gz", "404", "second/",
        "path=", "apt-get install dataset-fashion-mnist",
    ):  # fmt: skip
        assert part in message
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")
    with pytest.raises(DownloadError, match="TRANSFERKIT_OFFLINE is set"):
        load(collection)


def test_damaged_source_is_passed_over_and_named_if_all_fail(small_collection, write_files, tmp_path):
    bad = write_files(tmp_path / "keras" / "datasets" / "small")
    (bad / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bhalf")
    with pytest.raises(DownloadError, match=r"Keras.s cache: .*damaged or cut short"):
        load(small_collection)
    write_files(small_collection.debian_folder)
    assert len(load(small_collection).train.labels) == 50


# Mirrors and the cache


def test_download_is_verified_kept_and_not_repeated(small_collection, write_files, mirror):
    folder, url, requests = mirror
    write_files(folder)
    collection = dataclasses.replace(small_collection, mirrors=("http://127.0.0.1:9/", url))
    first = load(collection)
    assert len(requests) == 4
    assert load(collection).fingerprint == first.fingerprint
    assert len(requests) == 4
    names = {file.name for file in kept(collection).parent.iterdir() if not file.name.endswith(".lock")}
    assert names == {file.stem for file in collection.files}


def test_wrong_download_is_refused_and_the_next_mirror_taken(small_collection, write_files, mirror):
    folder, url, _ = mirror
    write_files(folder / "good")
    write_files(folder / "bad")
    (folder / "bad" / "train-images-idx3-ubyte.gz").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    bad = dataclasses.replace(small_collection, mirrors=(f"{url}bad/",))
    with pytest.raises(DownloadError, match="web page"):
        load(bad)
    assert len(load(dataclasses.replace(bad, mirrors=(f"{url}bad/", f"{url}good/"))).train.labels) == 50


@pytest.mark.parametrize("damage", ["cut", "flip", "folder"])
def test_damaged_cache_file_is_rebuilt(small_collection, write_files, damage):
    write_files(small_collection.debian_folder)
    before = load(small_collection)
    target = kept(small_collection)
    content = bytearray(target.read_bytes())
    if damage == "cut":
        target.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[500] ^= 1
        target.write_bytes(content)
    else:
        target.unlink()
        target.mkdir()
        with pytest.warns(TransferKitWarning, match="cannot be kept"):
            assert load(small_collection).fingerprint == before.fingerprint
        return
    assert load(small_collection).fingerprint == before.fingerprint
    assert hashlib.sha256(target.read_bytes()).hexdigest() == small_collection.files[0].sha256


def test_unwritable_cache_warns_and_loads_all_the_same(small_collection, write_files, mirror, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "file"))
    folder, url, _ = mirror
    write_files(folder)
    collection = dataclasses.replace(small_collection, mirrors=(url,))
    with pytest.warns(TransferKitWarning, match="Set TRANSFERKIT_HOME"):
        assert len(load(collection).train.labels) == 50


def test_symlinked_cache_works(small_collection, write_files, monkeypatch, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "link"))
    write_files(small_collection.debian_folder)
    load(small_collection)
    assert (tmp_path / "real" / "datasets" / "small" / small_collection.files[0].stem).exists()


LOADER = """
import json, sys
from pathlib import Path
from transferkit.data.mnist import Collection, IdxFile, load_collection
facts = json.loads(sys.argv[1])
facts["files"] = tuple(IdxFile(**{**file, "shape": tuple(file["shape"])}) for file in facts["files"])
facts["class_names"] = tuple(facts["class_names"])
collection = Collection(**{**facts, "debian_folder": None})
dataset = load_collection(collection, validation=10, seed=0, labels_per_class=None, path=None)
sys.stdout.write(dataset.fingerprint)
"""


def start_loader(collection):
    facts = json.dumps(dataclasses.asdict(collection), default=str)
    return subprocess.Popen(
        [sys.executable, "-c", LOADER, facts], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_eight_processes_fetch_each_file_once(small_collection, write_files, mirror):
    folder, url, requests = mirror
    write_files(folder)
    collection = dataclasses.replace(small_collection, mirrors=(url,))
    loaders = [start_loader(collection) for _ in range(8)]
    results = [(*loader.communicate(timeout=120), loader.returncode) for loader in loaders]
    assert {code for *_, code in results} == {0}, results
    assert {out for out, *_ in results} == {load(collection).fingerprint}
    assert sorted(requests) == sorted(f"/{file.stem}.gz" for file in collection.files)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_download_leaves_nothing_that_is_read(small_collection, write_files, mirror):
    folder, url, _ = mirror
    write_files(folder)
    collection = dataclasses.replace(small_collection, mirrors=(url,))
    with half_a_file(folder / "train-images-idx3-ubyte.gz") as stalling_url:
        loader = start_loader(dataclasses.replace(collection, mirrors=(stalling_url,)))
        scratch = kept(collection).with_name(f".{collection.files[0].stem}.download")
        wait_for(lambda: scratch.exists() and any(scratch.iterdir()))
        loader.send_signal(signal.SIGKILL)
        loader.communicate(timeout=30)
    assert scratch.exists()
    assert not kept(collection).exists()
    assert len(load(collection).train.labels) == 50
    assert not scratch.exists()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@contextlib.contextmanager
def half_a_file(path):
    """Serve half of a file, then nothing more; yield the base URL."""
    content, done = path.read_bytes(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            done.wait(60)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    done.set()
    server.shutdown()
    server.server_close()
