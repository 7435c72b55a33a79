import hashlib

import ml_dtypes
import numpy as np
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


def test_dtypes_that_numpy_only_knows_from_others_are_hashed():
    ones = np.ones((2, 3), ml_dtypes.bfloat16)
    assert files.sha256_arrays(ones) == files.sha256_arrays(ones.copy()) != files.sha256_arrays(ones * 2)
    assert files.sha256_arrays(ones[0, 0]) != files.sha256_arrays(np.ones((), np.float32))
