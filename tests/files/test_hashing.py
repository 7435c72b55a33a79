import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays, integer_dtypes

from transferkit import files
from transferkit.files import hashing

CONTENT = bytes(range(256)) * 400


def test_file_hash_equals_hashlib(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert files.sha256_file(tmp_path / "x") == hashlib.sha256(CONTENT).hexdigest()


@settings(deadline=None)
@given(arrays(integer_dtypes(), array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
def test_array_hash_depends_on_values_shape_and_dtype_not_on_layout(array):
    digest = files.sha256_arrays(array)
    assert digest == files.sha256_arrays(np.asfortranarray(array))
    assert digest == files.sha256_arrays(array.copy())
    assert digest != files.sha256_arrays(array[None])
    assert digest != files.sha256_arrays(array, array)
    if array.size:
        changed = array.copy()
        changed.flat[-1] ^= 1
        assert digest != files.sha256_arrays(changed)


def test_array_hash_is_the_same_in_one_piece_and_in_many(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 256, (1000, 7), dtype=np.uint8)
    whole = files.sha256_arrays(array)
    monkeypatch.setattr(hashing, "_CHUNK_BYTES", 50)
    np.save(tmp_path / "x.npy", array)
    assert files.sha256_arrays(np.load(tmp_path / "x.npy", mmap_mode="r")) == whole


def test_bfloat16_arrays_have_a_digest():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    ones, twos = (np.full((3, 2), value, ml_dtypes.bfloat16) for value in (1.0, 2.0))
    digest = files.sha256_arrays
    assert digest(ones) == digest(ones.copy()) != digest(twos)
