"""Fixtures on real small data: scikit-learn's digits always, Fashion-MNIST where it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transferkit.data.dataset import Dataset
from transferkit.errors import DownloadError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_digits() -> Dataset:
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
def digits() -> Dataset:
    """Return the digits."""
    return make_digits()


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


def _mount(folder: Path, *options: str) -> None:
    if subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")


@pytest.fixture
def make_read_only():
    """Return a function that lets nobody write to a folder, not even root, until the test is over."""
    mounted = []

    def apply(folder: Path) -> Path:
        if os.geteuid():
            for child in [folder, *folder.rglob("*")]:
                child.chmod(0o555 if child.is_dir() else 0o444)
        else:
            _mount(folder, "--bind", str(folder))
            mounted.append(folder)
            _mount(folder, "-o", "remount,ro,bind")
        return folder

    if os.name != "posix":
        pytest.skip("permissions are POSIX's")
    yield apply
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 256 KB and 200 files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("only root can mount a small disk")
    _mount(folder, "-t", "tmpfs", "-o", "size=256k,nr_inodes=200", "tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
