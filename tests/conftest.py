"""Fixtures on real small data: scikit-learn's digits always, Fashion-MNIST where it is installed; honest runs on the digits."""

import os
import subprocess
import sys
from gettext import NullTranslations
from pathlib import Path

import numpy as np
import pytest

from transferkit.data.dataset import Dataset
from transferkit.errors import DownloadError
from transferkit.runs.run import Run

NAMES = tuple(str(digit) for digit in range(10))


class Untranslated(NullTranslations):
    """What is asked where a catalogue lacks a text."""

    def gettext(self, message):
        raise AssertionError(f"no Korean for {message!r}")

    def ngettext(self, one, many, count):
        raise AssertionError(f"no Korean for {one!r}")


@pytest.fixture(scope="session", autouse=True)
def every_text_is_translated():
    """Let a test fail that uses a text without a translation."""
    from transferkit.translation import _read_catalogue

    _read_catalogue("ko").add_fallback(Untranslated())


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


@pytest.fixture(scope="session")
def probabilities_at(digits):
    """Return a function from the strength C of a logistic regression to its test probabilities."""
    from sklearn.linear_model import LogisticRegression

    (x, y), _, (x_test, _) = digits
    kept = {}

    def fit(strength):
        if strength not in kept:
            model = LogisticRegression(C=strength, max_iter=500)
            train, test = (images[:, ::2, ::2].reshape(len(images), -1) / 255 for images in (x, x_test))
            kept[strength] = model.fit(train, y).predict_proba(test).astype(np.float32)
        return kept[strength]

    return fit


@pytest.fixture(scope="session")
def make_run(digits, probabilities_at):
    """Return a function that makes the run of one logistic regression; options replace fields."""

    def make(name="logistic", strength=1.0, **options):
        history = [
            {"epoch": i, "phase": "head" if i < 3 else "all", "loss": 2 / i, "accuracy": 1 - 0.5 / i}
            | {"val_loss": 2.1 / i, "val_accuracy": 1 - 0.6 / i, "learning_rate": 1e-3, "seconds": 0.5}
            for i in range(1, 6)
        ]
        fields = {
            "name": name,
            "class_names": NAMES,
            "test_probabilities": probabilities_at(strength),
            "test_labels": digits.test.labels,
            "dataset": {
                "name": "digits",
                "source": "scikit-learn",
                "fingerprint": "f" * 64,
                "train_fingerprint": "a" * 64,
                "test_fingerprint": "b" * 64,
                "train_size": len(digits.train.labels),
                "validation_size": len(digits.validation.labels),
                "test_size": len(digits.test.labels),
                "labels_per_class": None,
                "split_seed": 0,
                "image_shape": [16, 16, 1],
            },
            "history": history,
            "phases": [
                {"name": "head", "epochs": 2, "trainable_parameters": 650, "seconds": 1.0, "images": 2000},
                {"name": "all", "epochs": 3, "trainable_parameters": 2570, "seconds": 2.0, "images": 3000},
            ],
            "recipe": {"epochs": 5, "batch_size": 64, "optimizer": "Adam", "learning_rate": 1e-3, "augment": ["flip"]},
            "model_info": {"parameters": 2570, "trainable_parameters": 2570, "layers": 1, "provenance": None},
            "seed": 0,
            "selection": "validation",
            "selected_epoch": 5,
            "train_accuracy": 0.99,
            "environment": {"keras": "3.15.1", "python": "3.11.2", "cpu": "AMD EPYC", "cores": 2, "accelerator": None},
            "key": f"{name}-{strength}",
        }
        return Run(**(fields | options))

    return make


@pytest.fixture(scope="session")
def weak(make_run):
    return make_run("weak", 1e-4)


@pytest.fixture(scope="session")
def strong(make_run):
    return make_run("strong", 0.1)


@pytest.fixture(scope="session")
def diverged(make_run):
    history = [{"epoch": 1, "phase": "train", "loss": float("nan"), "accuracy": 0.1}]
    empty = np.empty((0, 10), np.float32)
    return make_run("broken", status="diverged", test_probabilities=empty, history=history, train_accuracy=None)
