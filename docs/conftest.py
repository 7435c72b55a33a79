"""Run every Python block of the README and of the pages in Markdown, on small data: ``pytest docs README.md``.

The blocks of a page run top to bottom in one namespace and one folder, as a reader would run them. What takes long is made
short behind the page's back: few images, one epoch, two seeds. A block that needs what no test has (a cluster, Colab) is
marked by ``% skip: next`` above it, or is not Python for the page.
"""

import contextlib
import dataclasses
import functools
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

import transferkit as tk
from transferkit.errors import TransferKitWarning

# Scripts that the documentation's build makes and runs; here they would be imported in search of doctests.
collect_ignore = ["conf.py", "measured.py", "_build", "api", "course", "homework", "pitfalls", "plots", "results"]

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/index.md", "docs/start/*.md", "docs/guide/*.md"]
# Pages that put the committed runs beside the images they were tested on, so they need all 10,000.
WITH_ALL_TEST_IMAGES = {"looking.md", "reading_the_report.md"}
TRAIN, VALIDATION, TEST = 10, 5, 10  # images of each class


def pytest_configure(config):
    """Register the pages for files outside of this folder too: a conftest's own hooks end at its folder."""
    config.pluginmanager.register(Pages(), "transferkit-pages")


class Pages:
    """Collects the pages, and gives each a folder of its own and short trainings."""

    parse = staticmethod(
        Sybil(
            parsers=[PythonCodeBlockParser(), SkipParser()], path=str(ROOT), pattern="*.md", fixtures=["page"]
        ).pytest()
    )

    def pytest_collect_file(self, file_path, parent):
        """Collect a page."""
        if file_path.is_relative_to(ROOT) and any(file_path.relative_to(ROOT).match(page) for page in PAGES):
            return self.parse(file_path, parent)
        return None

    @pytest.fixture(scope="session")
    def pages_cache(self, tmp_path_factory):
        """Return a cache for all pages, so that none converts the same network again."""
        return tmp_path_factory.mktemp("cache")

    @pytest.fixture(scope="module")
    def page_folder(self, tmp_path_factory):
        """Return the folder that the blocks of one page run in."""
        folder = tmp_path_factory.mktemp("page")
        (folder / "docs").mkdir()
        for name in ("quick", "clusters"):
            shutil.copytree(ROOT / "docs" / "results" / name, folder / "docs" / "results" / name)
        write_photos(folder / "photos")
        yield folder
        import matplotlib.pyplot as plt

        plt.close("all")  # blocks of one page may share a figure; Sybil leaves out fixtures that every test gets

    @pytest.fixture
    def page(self, request, page_folder, pages_cache, private_cache, monkeypatch):
        """Make a page's block small and fast; its value is the name of the page."""
        name = request.node.path.name
        monkeypatch.chdir(page_folder)
        monkeypatch.setenv("TRANSFERKIT_HOME", str(pages_cache))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (page_folder / "mlruns").as_uri())
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its SQLite store needs more than mlflow-skinny
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for loader in ("load_fashion_mnist", "load_mnist"):
            few = functools.partial(load_few, all_test_images=name in WITH_ALL_TEST_IMAGES)
            monkeypatch.setattr(tk, loader, functools.wraps(tk.load_fashion_mnist)(few))
        for function in (tk.train, tk.fine_tune, tk.repeat, tk.train_label_budgets):
            monkeypatch.setattr(tk, function.__name__, shortened(function))
        monkeypatch.setattr(tk, "find_learning_rate", functools.partial(tk.find_learning_rate, steps=20))
        monkeypatch.setattr(tk, "tune", functools.partial(tune_shortly, tk.tune))
        # LiteRT's conversion pays for thousands of images, and here there are a hundred.
        monkeypatch.setattr("transferkit.features.cache.choose_engine", lambda engine="auto": "keras")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TransferKitWarning)  # a page may show one
            with untraced():
                yield name


@contextlib.contextmanager
def untraced():
    """Run TensorFlow's functions step by step: for a few steps, tracing a whole network takes longer than running it."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@functools.cache
def all_images():
    """Return Fashion-MNIST as it is."""
    from transferkit.data.mnist import load_fashion_mnist

    return load_fashion_mnist(validation=0)


def load_few(*, validation=10_000, seed=0, labels_per_class=None, path=None, all_test_images=False):
    """Return a few images of each class, other training images for each seed, with the signature of `load_fashion_mnist`."""
    full = all_images()
    start = seed * (TRAIN + VALIDATION)
    return tk.Dataset.from_arrays(
        train=some(full.train, start, TRAIN),
        validation=some(full.train, start + TRAIN, VALIDATION) if validation else 0,
        test=full.test if all_test_images else some(full.test, 0, TEST),
        class_names=full.class_names,
        name=full.name,
    )


def some(split, start, count):
    """Return as many images of each class, in the split's order."""
    rows = np.sort(
        np.concatenate([np.flatnonzero(split.labels == label)[start : start + count] for label in range(10)])
    )
    return split.images[rows], split.labels[rows]


def shortened(function):
    """Return a training function that runs one epoch, two seeds and two small budgets of labels at most."""

    @functools.wraps(function)
    def short(first, *others, **options):
        if function.__name__ == "train_label_budgets":
            first = {name: dataclasses.replace(arm, options=few_epochs_at(arm)) for name, arm in first.items()}
            options["labels_per_class"] = (TRAIN // 2, TRAIN)
        elif function.__name__ != "repeat" and not hasattr(first, "predict_proba"):
            options.setdefault("epochs", 1)
        if "seeds" in options:
            options["seeds"] = list(options["seeds"])[:2]
        return function(first, *others, **few_epochs(options))

    return short


def tune_shortly(tune, data, minutes=10, **options):
    """Call `tune` with no time for more than one size of frozen features."""
    return tune(data, 0.01, **{"image_sizes": [64], "verbose": False, **options})


def few_epochs(options):
    """Return options of a training with one epoch of each kind."""
    return {name: min(value, 1) if name in ("epochs", "head_epochs") else value for name, value in options.items()}


def few_epochs_at(arm):
    """Return options of an arm by the number of labels, with one epoch."""
    return lambda labels: few_epochs(arm.options_at(labels))


def write_photos(folder):
    """Write a folder of colour images of several sizes in three classes, one of them damaged."""
    from PIL import Image

    full = all_images()
    for label, name in ((3, "dress"), (7, "sneaker"), (8, "bag")):
        (folder / name).mkdir(parents=True)
        for index, row in enumerate(np.flatnonzero(full.train.labels == label)[:14]):
            image = Image.fromarray(full.train.images[row, ..., 0]).convert("RGB")
            image.resize((90 + 10 * index, 120)).save(folder / name / f"{name}-{index}.jpg")
    (folder / "bag" / "broken.jpg").write_bytes(b"not a picture")
