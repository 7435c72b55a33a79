"""Contracts that every registered backbone keeps."""

import importlib
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.models.backbones import backbone_info, list_backbones

NAMES = list_backbones()
_SAME = {"none": lambda x: x, "unit": lambda x: x / 255}


def test_every_family_of_keras_applications_is_registered():
    published = {name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))}
    assert {backbone_info(name).keras_name for name in NAMES} == published


@pytest.mark.parametrize("name", NAMES)
def test_record_is_complete_and_consistent(name):
    info = backbone_info(name)
    assert info.name == name
    assert 32 <= info.minimum_size <= info.default_size <= 128
    assert info.features >= 512
    assert info.parameters > 900_000
    assert "arXiv:" in info.paper
    assert info.licence
    assert len({file.name for file in info.weights}) == len(info.weights)
    for file in info.weights:
        assert file.url.startswith("https://storage.googleapis.com/")
        assert file.name.endswith(".h5")
        assert (file.md5 is None) or len(file.md5) == 32
        assert (file.sha256 is None) or len(file.sha256) == 64
        assert (file.width is None) == (not info.widths)


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_that_of_the_family(name, rng):
    info = backbone_info(name)
    module = importlib.import_module(getattr(keras.applications, info.keras_name).__module__)
    pixels = rng.integers(0, 256, (1, 4, 4, 3)).astype("float32")
    expected = pixels
    if info.preprocessing != "none":
        expected = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=info.preprocessing)
    np.testing.assert_array_equal(module.preprocess_input(pixels.copy()), expected)


@pytest.mark.parametrize(("size", "nearest"), [(32, 128), (128, 128), (140, 128), (176, 192), (200, 192), (500, 224)])
def test_weights_trained_nearest_to_the_size_come_first(size, nearest):
    files = backbone_info("mobilenet").weight_files(width=1.0, image_size=size)
    assert files[0].resolution == nearest
    assert files[0].name == f"mobilenet_1_0_{nearest}_tf_no_top.h5"
    assert {file.resolution for file in files} == {128, 160, 192, 224}


def test_width_without_published_weights_is_refused():
    with pytest.raises(InvalidInputError, match=r"0\.3.*0\.25, 0\.5, 0\.75, 1\.0, or pretrained=False"):
        backbone_info("mobilenet").weight_files(width=0.3, image_size=64)


def test_unknown_name_lists_close_matches():
    with pytest.raises(UnknownNameError, match="Did you mean 'mobilenet'"):
        backbone_info("mobilnet")


def test_pattern_selects_names():
    assert list_backbones("vgg1?") == ["vgg16", "vgg19"]
    assert list_backbones("nothing*") == []
    assert sorted(NAMES) == NAMES


def test_registry_needs_no_keras():
    code = "import sys, transferkit as tk; tk.list_backbones(); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if backbone_info(name).parameters < 9e6])
def test_published_file_is_the_one_that_keras_downloads(name, monkeypatch):
    info = backbone_info(name)
    asked = []

    def get_file(fname, origin, *, cache_subdir, file_hash=None):
        asked.append((fname, origin, file_hash))
        raise InterruptedError

    module = importlib.import_module(getattr(keras.applications, info.keras_name).__module__)
    monkeypatch.setattr(module.file_utils, "get_file", get_file)
    size = max(info.resolutions)
    with pytest.raises(InterruptedError):
        getattr(keras.applications, info.keras_name)(include_top=False, input_shape=(size, size, 3))
    width = 1.0 if info.widths else None
    (file,) = [file for file in info.weights if file.resolution == size and file.width == width]
    assert asked == [(file.name, file.url, file.md5 or file.sha256)]
    keras.backend.clear_session()
