"""Fixtures on real small data: scikit-learn's digits always, Fashion-MNIST where it is installed."""

import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import settings

from transferkit.data.dataset import Dataset
from transferkit.errors import DownloadError

# How long an example takes says more about the machine than about the code.
settings.register_profile("transferkit", deadline=None)
settings.load_profile("transferkit")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail at once on any connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("127.0.0.1", "localhost", "::1", "local"):
            raise OSError(f"the tests never need the network, but something asked for {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    """Give every test its own cache folder."""
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "transferkit-home"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits, 8x8 pixels enlarged to 16x16."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images * 15, np.ones((2, 2))).astype(np.uint8)[..., None]
    labels = data.target.astype(np.int64)
    return Dataset.from_arrays(
        train=(images[:1200], labels[:1200]),
        test=(images[1200:], labels[1200:]),
        validation=200,
        name="digits",
        allow_overlap=True,
    )


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory) -> Dataset:
    """Return a balanced part of the real Fashion-MNIST, without the network."""
    from transferkit.data.mnist import load_fashion_mnist

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERKIT_OFFLINE", "1")
        patch.setenv("TRANSFERKIT_HOME", str(tmp_path_factory.mktemp("fashion")))
        try:
            return load_fashion_mnist(labels_per_class=100, validation=1000)
        except DownloadError as error:
            pytest.skip(f"Fashion-MNIST is not on this machine: {error}")
