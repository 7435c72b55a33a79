"""A loopback server, and a small collection with the form of MNIST."""

import functools
import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
from hypothesis import settings

from transferkit.data.idx import encode_idx
from transferkit.data.mnist import Collection, IdxFile

settings.register_profile("shared-machine", deadline=None, max_examples=50)
settings.load_profile("shared-machine")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requests.append(self.path)


@pytest.fixture
def mirror(tmp_path):
    """Serve a folder over loopback HTTP; yield (folder, base URL, list of requested paths)."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    server.requests = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/", server.requests
    server.shutdown()
    server.server_close()


@pytest.fixture
def small_arrays():
    """Return images and labels of 60 training and 20 test images, in the order of the four files."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (80, 6, 6), dtype=np.uint8)
    labels = (np.arange(80) % 10).astype(np.uint8)
    return images[:60], labels[:60], images[60:], labels[60:]


@pytest.fixture
def small_collection(small_arrays, tmp_path):
    """Return a `Collection` of `small_arrays` without mirrors, with a Debian folder of its own."""
    stems = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    entries = []
    for stem, key, array in zip(stems, ("x_train", "y_train", "x_test", "y_test"), small_arrays, strict=True):
        payload = encode_idx(array)
        packed = gzip.compress(payload, mtime=0)
        entries.append(
            IdxFile(stem, key, array.shape, hashlib.sha256(payload).hexdigest(), hashlib.md5(packed).hexdigest())
        )
    return Collection(
        name="small", title="Small", class_names=tuple("abcdefghij"), files=tuple(entries), mirrors=(),
        keras_path="small", debian_folder=tmp_path / "debian", cure="Give a folder with path=",
    )  # fmt: skip


@pytest.fixture
def write_files(small_arrays, small_collection):
    """Return a function that writes the four files into a folder, compressed or not."""

    def write(folder, *, compress=True, arrays=small_arrays):
        folder.mkdir(parents=True, exist_ok=True)
        for file, array in zip(small_collection.files, arrays, strict=True):
            payload = encode_idx(array)
            name = f"{file.stem}.gz" if compress else file.stem
            (folder / name).write_bytes(gzip.compress(payload, mtime=0) if compress else payload)
        return folder

    return write
