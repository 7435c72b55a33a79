"""What holds for every test, the examples in docstrings and those in the documentation: no network, a cache of their own."""

import contextlib
import ctypes
import doctest
import os
import socket
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

from transferkit.errors import DownloadError, MissingDependencyError, WeightsError

# How long an example takes says more about the machine than about the code.
settings.register_profile("transferkit", deadline=None)
settings.load_profile("transferkit")


# Examples that train several networks or convert one.
SLOW_EXAMPLES = {"fine_tune", "repeat", "tune", "train_label_budgets", "extract_features"}


def pytest_collection_modifyitems(items):
    """Mark the examples that take long."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name.rpartition(".")[2] in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)


def pytest_runtest_teardown(item, nextitem):
    """Give the memory of a file's networks back to the system after its last test; glibc keeps it otherwise."""
    if sys.platform == "linux" and (nextitem is None or nextitem.path != item.path):
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


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
def private_cache(request, tmp_path_factory, monkeypatch):
    """Give every test its own cache folder, so that none reads or clears the user's."""
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path_factory.mktemp("transferkit-home")))
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("example_folder")


@pytest.fixture(scope="session")
def example_home(tmp_path_factory):
    """Return one cache for all examples: each of them would unpack Fashion-MNIST again."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def example_folder(example_home, tmp_path, monkeypatch):
    """Run an example in an empty folder, in which it may write, and without the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERKIT_HOME", str(example_home))
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Skip an example whose images or ImageNet weights are not on this machine; any other failure stays one."""
    try:
        return (yield)
    except doctest.UnexpectedException as error:
        cause = error.exc_info[1]
        if isinstance(cause, DownloadError | WeightsError | MissingDependencyError):
            pytest.skip(str(cause))
        raise


@pytest.fixture(autouse=True)
def close_figures():
    """Close what a test drew: open figures pile up."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
