"""Pipes in place of files: refused by name, never waited for."""

import os

import pytest

import transferkit as tk
from transferkit.data.idx import read_payload
from transferkit.errors import DataError, WeightsError
from transferkit.models.hdf5 import BadFileError, check_hdf5

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX's")


@pytest.fixture
def make_pipe(tmp_path):
    def make(name):
        os.mkfifo(tmp_path / name)
        return tmp_path / name

    return make


def test_files_of_data(make_pipe):
    for read in (
        read_payload,
        lambda path: tk.load_image(path, image_size=8),
        lambda path: tk.load_image_table(path, path="file", label="kind", image_size=8),
        lambda path: tk.load_fashion_mnist(path=path),
    ):
        path = make_pipe(f"{id(read)}.png")
        with pytest.raises(DataError, match="named pipe"):
            read(path)


def test_folder_of_an_idx_file(make_pipe, tmp_path):
    make_pipe("train-images-idx3-ubyte")
    with pytest.raises(DataError, match="named pipe"):
        tk.load_fashion_mnist(path=tmp_path)


def test_weights(make_pipe):
    with pytest.raises(BadFileError, match="named pipe"):
        check_hdf5(make_pipe("a.h5"), max_bytes=1000)
    with pytest.raises(WeightsError, match="not a file"):
        tk.build_transfer_model("mobilenet", make_pipe("b.weights.h5"))


@pytest.mark.parametrize("path", [None, 3, b"photos", "a\0b", "a" * 300])
def test_path_that_is_none_is_refused(path):
    for load in (
        lambda: tk.load_image_folder(path, image_size=8),
        lambda: tk.load_image(path, image_size=8),
        lambda: tk.load_model(path),
    ):
        with pytest.raises(tk.errors.InvalidInputError, match="^path "):
            load()
    if path is not None:
        with pytest.raises(tk.errors.InvalidInputError, match="^path "):
            tk.load_fashion_mnist(path=path)
