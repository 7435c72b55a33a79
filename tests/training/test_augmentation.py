"""Augmentations keep shape and type, move what they say, and are drawn from the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from transferkit.errors import UnknownNameError
from transferkit.training.augmentation import AUGMENTATIONS, apply, check_augmentations, flip, shift

images = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.integers(2, 12), st.integers(2, 12), st.sampled_from([1, 3]))
)


@given(images, st.integers(0, 99), st.sampled_from(sorted(AUGMENTATIONS)))
def test_shape_and_type_stay_and_the_seed_decides(pixels, seed, name):
    first = apply([name], pixels, np.random.default_rng(seed))
    again = apply([name], pixels, np.random.default_rng(seed))
    assert first.shape == pixels.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


@given(images, st.integers(0, 99))
def test_flip_mirrors_or_leaves(pixels, seed):
    for before, after in zip(pixels, flip(pixels, np.random.default_rng(seed)), strict=True):
        assert np.array_equal(after, before) or np.array_equal(after, before[:, ::-1])


def test_flip_mirrors_about_half():
    pixels = np.tile(np.arange(4, dtype=np.uint8)[None, None, :, None], (1000, 2, 1, 1))
    mirrored = flip(pixels, np.random.default_rng(0))[:, 0, 0, 0] == 3
    assert 0.4 < mirrored.mean() < 0.6


def test_shift_moves_by_at_most_two_of_28_pixels_in_every_direction():
    pixels = np.zeros((500, 28, 28, 1), np.uint8)
    pixels[:, 14, 14] = 255
    rows, columns = np.nonzero(shift(pixels, np.random.default_rng(0))[..., 0])[1:]
    assert set(rows - 14) == set(columns - 14) == {-2, -1, 0, 1, 2}


def test_unknown_augmentation_lists_close_matches():
    with pytest.raises(UnknownNameError, match="Did you mean 'flip'"):
        check_augmentations(["flipp"])


def test_order_of_names_does_not_matter():
    assert check_augmentations(["shift", "flip"]) == check_augmentations(["flip", "shift"]) == ("flip", "shift")
