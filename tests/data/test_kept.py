"""Decoded images in the cache: whatever is changed there is found, and built anew."""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from transferkit import files
from transferkit.data import decoding, folders
from transferkit.data.dataset import Split
from transferkit.data.decoding import Decoding
from transferkit.data.folders import load_image_folder
from transferkit.data.kept import read_kept


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Write a folder of noise, and return what is kept of it."""
    root = tmp_path_factory.mktemp("pets")
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (root / "photos" / kind).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / kind / f"{number}.png")
    return root


@pytest.fixture
def load(pets, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_HOME", str(pets / "home"))
    return lambda: load_image_folder(pets / "photos", image_size=8)


@pytest.fixture
def kept(load):
    load()
    (folder,) = (child for child in (files.cache_home() / "folders").iterdir() if child.is_dir())
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """Count how often the folder is decoded."""
    calls = []
    decode_all = folders.decode_all
    monkeypatch.setattr(folders, "decode_all", lambda *given: calls.append(1) or decode_all(*given))
    return calls


def in_memory(dataset):
    """Copy what is mapped, since the files are written over."""
    return [Split(np.array(split.images), split.labels, split.paths) for split in dataset]


def assert_same(one, other):
    for split, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(split.images, same.images)
        np.testing.assert_array_equal(split.labels, same.labels)
        assert split.paths == same.paths


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_anywhere_cost_decoding_and_nothing_else(load, kept, decoded, data):
    before = in_memory(load())
    decoded.clear()
    file = kept / data.draw(st.sampled_from(["images.npy", "index.json"]))
    content = bytearray(file.read_bytes())
    whole = bytes(content)
    for bit in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=3, unique=True)):
        content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    assert_same(load(), before)
    if file.name == "images.npy" or not says_the_same(content, whole):
        assert decoded == [1]
    assert_same(load(), before)
    assert len(decoded) <= 1


def says_the_same(content, whole):
    try:
        return json.loads(content) == json.loads(whole)  # one blank for another
    except ValueError:
        return False


@pytest.mark.parametrize(
    "edit",
    [
        {"split_sizes": [12, 6, 6]},
        {"shape": [24, 8, 8, 1]},
        {"labels": [0] * 24},
        {"paths": [f"{i}.png" for i in range(24)]},
        {"skipped": {"cat/1.png": "no reason"}},
        {"fingerprints": {}},
    ],
)
def test_edited_index_is_found(load, kept, decoded, edit):
    before = in_memory(load())
    record = json.loads((kept / "index.json").read_text(encoding="utf-8")) | edit
    (kept / "index.json").write_text(json.dumps(record), encoding="utf-8")
    assert_same(load(), before)
    assert decoded == [1]


def test_images_of_another_size_are_found_even_with_a_right_seal(load, kept, decoded):
    before = in_memory(load())
    images = np.load(kept / "images.npy")
    for other in (images[:-1], images[::-1], images.astype(np.uint16), images.transpose(0, 2, 1, 3)):
        np.save(kept / "images.npy", other)
        assert read_kept(kept) is None
        assert_same(load(), before)
    record = files.read_sealed_json(kept / "index.json")
    np.save(kept / "images.npy", images[:, :4])
    files.write_sealed_json(kept / "index.json", record | {"shape": [24, 4, 8, 3]})
    assert read_kept(kept) is None
    assert_same(load(), before)


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX's")
@pytest.mark.parametrize("name", ["images.npy", "index.json"])
def test_pipe_in_place_of_a_file_is_replaced_and_never_waited_for(load, kept, decoded, name):
    before = in_memory(load())
    (kept / name).unlink()
    os.mkfifo(kept / name)
    assert_same(load(), before)
    assert decoded == [1]


def test_the_check_at_reading_is_the_fingerprint(load, kept, monkeypatch):
    dataset = load()
    computed = {
        name: files.sha256_arrays(*split) for name, split in zip(("train", "validation", "test"), dataset, strict=True)
    }
    monkeypatch.setattr(files, "sha256_arrays", pytest.fail)  # nothing is hashed again
    assert dataset.fingerprints == computed


def test_read_only_cache_is_read(pets, load, kept, decoded, make_read_only):
    before = in_memory(load())
    make_read_only(pets / "home")
    assert_same(load(), before)
    assert not decoded


@given(
    height=st.integers(1, 16_384),
    width=st.integers(1, 16_384),
    color_mode=st.sampled_from(["rgb", "grayscale"]),
    cores=st.integers(1, 64),
)
def test_images_under_way_stay_within_the_stated_memory(height, width, color_mode, cores):
    image_bytes = int(np.prod(Decoding(height, width, color_mode, "stretch", 10**9).shape))
    workers, batch, waiting = decoding._share_memory(image_bytes, cores)
    assert min(workers, batch, waiting) >= 1
    assert workers <= cores
    assert waiting * batch * image_bytes * decoding._COPIES <= decoding.MEMORY_BYTES
    if image_bytes <= 3 * 512 * 512 and cores <= 8:
        assert (workers, batch) == (cores, 32)


@pytest.mark.parametrize("memory", [1, 5000, 10**9])
def test_little_memory_changes_nothing_but_the_time(pets, tmp_path, monkeypatch, memory):
    results = []
    for limit in (memory, decoding.MEMORY_BYTES):
        monkeypatch.setattr(decoding, "MEMORY_BYTES", limit)
        monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / str(limit)))
        results.append(load_image_folder(pets / "photos", image_size=8))
    assert_same(*results)
