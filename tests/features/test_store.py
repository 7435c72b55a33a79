"""Rows of features on disk: computed once, never lost, never half-read."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transferkit.errors import CacheError
from transferkit.features import store as store_module
from transferkit.features.store import FeatureStore


def make_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)


def features_of(images):
    flat = images.reshape(len(images), 16).astype(np.float32)
    return np.stack([flat.sum(axis=1), flat[:, 0], flat.max(axis=1, initial=0)], axis=1)


class Counting:
    """Compute features and count the images."""

    def __init__(self):
        self.images = 0

    def __call__(self, images):
        self.images += len(images)
        return features_of(images)


def ask(folder, images, compute, chunk=None):
    store = FeatureStore(folder, (3,))
    if chunk:
        store.chunk_images = chunk
    return store.take(store.locate([images], compute))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 30), max_size=40), min_size=1, max_size=4), st.integers(1, 9))
def test_each_image_is_computed_once_whatever_is_asked(tmp_path_factory, requests, chunk):
    folder, images, compute = tmp_path_factory.mktemp("store"), make_images(31), Counting()
    for request in requests:
        chosen = images[request]
        np.testing.assert_array_equal(ask(folder, chosen, compute, chunk), features_of(chosen))
    assert compute.images == len({index for request in requests for index in request})


def test_pieces_make_no_difference(tmp_path):
    images = make_images(20)
    store = FeatureStore(tmp_path, (3,))
    rows = store.locate((images[start : start + 3] for start in range(0, 20, 3)), features_of)
    np.testing.assert_array_equal(store.take(rows), features_of(images))


def test_no_images_no_rows(tmp_path):
    assert ask(tmp_path, make_images(0), features_of).shape == (0, 3)


def test_interrupted_extraction_goes_on_where_it_stopped(tmp_path):
    images, compute = make_images(25), Counting()

    def fail_at_third(batch):
        if compute.images == 10:
            raise KeyboardInterrupt
        return compute(batch)

    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, images, fail_at_third, chunk=5)
    np.testing.assert_array_equal(ask(tmp_path, images, compute, chunk=5), features_of(images))
    assert compute.images == 25


@pytest.mark.parametrize(
    "damage", ["flip a byte", "cut the rows", "garbage in the index", "lose the index", "lose the rows"]
)
def test_damage_is_found_and_computed_again(tmp_path, damage):
    images, compute = make_images(20), Counting()
    ask(tmp_path, images, compute, chunk=5)
    rows, index = tmp_path / "rows.f32", sorted(tmp_path.glob("*.index"))[1]
    if damage == "flip a byte":
        content = bytearray(rows.read_bytes())
        content[5 * 12 + 7] ^= 1
        rows.write_bytes(content)
    elif damage == "cut the rows":
        os.truncate(rows, 15 * 12 + 5)
    elif damage == "garbage in the index":
        index.write_bytes(b"PK\x03\x04 nothing of use")
    elif damage == "lose the index":
        index.unlink()
    else:
        rows.unlink()
    np.testing.assert_array_equal(ask(tmp_path, images, compute, chunk=5), features_of(images))
    assert compute.images == (40 if damage == "lose the rows" else 25)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_anywhere_cost_a_computation_and_nothing_else(tmp_path_factory, data):
    folder, images = tmp_path_factory.mktemp("store"), make_images(20)
    ask(folder, images, features_of, chunk=5)
    stored = sorted(file for file in folder.iterdir() if file.stat().st_size)
    for file in data.draw(st.lists(st.sampled_from(stored), min_size=1, max_size=3, unique=True)):
        content = bytearray(file.read_bytes())
        for bit in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=3, unique=True)):
            content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
    compute = Counting()
    np.testing.assert_array_equal(ask(folder, images, compute, chunk=5), features_of(images))
    assert 0 < compute.images <= 20
    again = Counting()
    np.testing.assert_array_equal(ask(folder, images, again), features_of(images))
    assert again.images == 0


def test_shuffled_digests_are_found(tmp_path):
    images, compute = make_images(5), Counting()
    ask(tmp_path, images, compute)
    (index,) = tmp_path.glob("*.index")
    content = index.read_bytes()
    index.write_bytes(content[:-32] + content[-16:] + content[-32:-16])
    np.testing.assert_array_equal(ask(tmp_path, images, compute), features_of(images))
    assert compute.images == 10


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX's")
@pytest.mark.parametrize("pattern", ["rows.f32", "*.index"])
@pytest.mark.parametrize("make", ["mkfifo", "mkdir"])
def test_what_is_no_file_is_removed_and_never_waited_for(tmp_path, pattern, make):
    images, compute = make_images(5), Counting()
    ask(tmp_path, images, compute)
    (file,) = tmp_path.glob(pattern)
    file.unlink()
    getattr(os, make)(file)
    np.testing.assert_array_equal(ask(tmp_path, images, compute), features_of(images))
    assert compute.images == 10


def test_features_in_a_read_only_folder_are_read_and_others_are_a_clear_error(tmp_path, make_read_only):
    folder, images, compute = tmp_path / "features", make_images(20), Counting()
    ask(folder, images[:15], compute, chunk=5)
    make_read_only(folder)
    np.testing.assert_array_equal(ask(folder, images[:15], compute), features_of(images[:15]))
    assert compute.images == 15
    with pytest.raises(CacheError, match=r"may not be written to .* TRANSFERKIT_HOME"):
        ask(folder, images, compute)
    np.testing.assert_array_equal(ask(folder, images[:15], compute), features_of(images[:15]))


def test_features_of_another_shape_than_the_folders_are_refused(tmp_path):
    with pytest.raises(CacheError, match="do not fit"):
        ask(tmp_path, make_images(5), lambda images: features_of(images)[:, :2])


CHILD = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_store import features_of, make_images
    from transferkit.features.store import FeatureStore

    def slow(images):
        time.sleep(0.02)
        return features_of(images)

    store = FeatureStore(Path(sys.argv[1]), (3,))
    store.chunk_images = 5
    print("ready", flush=True)
    store.locate([make_images(200)], slow)
    """
)


def start_child(folder):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_ten_moments_it_loses_at_most_a_chunk(tmp_path, rng):
    images = make_images(200)
    finished = 0
    for _ in range(10):
        child = start_child(tmp_path)
        time.sleep(rng.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept = FeatureStore(tmp_path, (3,))
        kept._refresh()
        assert len(kept._known) >= finished
        finished = len(kept._known)
    compute = Counting()
    np.testing.assert_array_equal(ask(tmp_path, images, compute, chunk=5), features_of(images))
    assert compute.images == 200 - finished


ONE_OF_EIGHT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_store import Counting, ask, features_of, make_images
    compute = Counting()

    def slow(images):
        time.sleep(0.02)
        return compute(images)

    features = ask(Path(sys.argv[1]), make_images(60), slow, chunk=10)
    assert (features == features_of(make_images(60))).all()
    print(compute.images)
    """
)


@pytest.mark.long
def test_of_eight_processes_one_computes_and_all_get_the_same(tmp_path):
    command = [sys.executable, "-c", ONE_OF_EIGHT, str(tmp_path), str(Path(__file__).parent)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    counts = sorted(int(child.communicate()[0]) for child in children)
    assert counts == [0] * 7 + [60]


FULL = textwrap.dedent(
    """
    import resource, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import numpy as np
    from test_store import features_of, make_images
    from transferkit.errors import CacheError
    from transferkit.features.store import FeatureStore

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3010, resource.RLIM_INFINITY))  # amid a chunk: it is written in part
    store, images = FeatureStore(Path(sys.argv[1]), (3,)), make_images(500)
    store.chunk_images = 5
    try:
        store.locate([images], features_of)
    except CacheError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # space again
    some = images[:300]
    np.testing.assert_array_equal(store.take(store.locate([some], features_of)), features_of(some))
    """
)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX's")
def test_full_disk_is_a_clear_error_and_loses_nothing(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path), str(Path(__file__).parent)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "is full" in output
    assert "clear_cache" in output
    compute = Counting()
    np.testing.assert_array_equal(ask(tmp_path, make_images(500), compute, chunk=5), features_of(make_images(500)))
    assert compute.images < 500


def test_error_of_a_full_disk_is_an_os_error():
    assert issubclass(CacheError, OSError)


def test_features_that_are_removed_while_in_use_are_read_to_the_end_and_never_mixed_up(tmp_path):
    images = make_images(30)
    store = FeatureStore(tmp_path / "features", (3,))
    rows = store.locate([images[:20]], features_of)
    shutil.rmtree(tmp_path / "features")
    np.testing.assert_array_equal(store.take(rows), features_of(images[:20]))
    # Another process computes other images in the same place.
    np.testing.assert_array_equal(ask(tmp_path / "features", images[20:], features_of), features_of(images[20:]))
    with pytest.raises(CacheError, match="were removed"):
        store.locate([images[:5]], features_of)
    np.testing.assert_array_equal(store.take(rows), features_of(images[:20]))


def test_store_that_is_removed_before_anything_is_read_is_made_again(tmp_path):
    images, compute = make_images(10), Counting()
    ask(tmp_path / "features", images, compute)
    store = FeatureStore(tmp_path / "features", (3,))
    shutil.rmtree(tmp_path / "features")
    np.testing.assert_array_equal(store.take(store.locate([images], compute)), features_of(images))
    assert compute.images == 20


def test_few_large_images_wait_for_a_chunk(tmp_path, monkeypatch):
    images = make_images(200)
    monkeypatch.setattr(store_module, "_WAITING_BYTES", 70 * images[0].nbytes)
    asked = []
    store = FeatureStore(tmp_path, (3,))
    rows = store.locate([images], lambda some: (asked.append(len(some)), features_of(some))[1])
    assert asked == [128, 72]  # whole batches
    np.testing.assert_array_equal(store.take(rows), features_of(images))
