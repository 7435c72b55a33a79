"""Augmentations keep shape and type, move what they say, and are drawn from the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import transferkit as tk
from transferkit.errors import UnknownNameError
from transferkit.training.augmentation import (
    AUGMENTATIONS,
    PRESETS,
    VIEWS,
    apply,
    check_augmentations,
    colour,
    count_views,
    crop,
    erase,
    flip,
    move,
    rotate,
    shift,
    zoom,
)

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


@pytest.mark.slow
@given(images, st.integers(0, 99), st.sampled_from(sorted(PRESETS)), st.integers(1, 6))
def test_a_view_of_an_image_is_the_same_in_every_batch(pixels, seed, preset, views):
    names = check_augmentations(preset)
    alone = [
        {apply(names, image[None], np.random.default_rng(draw), views=views).tobytes() for draw in range(40)}
        for image in pixels
    ]
    together = apply(names, pixels, np.random.default_rng(seed), views=views)
    assert all(len(found) <= views for found in alone)
    assert together.dtype == np.uint8
    if views == 1:
        assert all(image.tobytes() in found for image, found in zip(together, alone, strict=True))


@pytest.mark.parametrize("kind", [crop, rotate, zoom])
def test_moves_are_what_scipy_makes_of_the_same_matrix(kind):
    rng = np.random.default_rng(0)
    pixels = ndimage.gaussian_filter(rng.integers(0, 256, (9, 40, 52, 3)).astype(float), (0, 2, 2, 0))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    matrices = kind(rng.random((9, 4)), 40, 52)
    centre = np.array([19.5, 25.5])
    for image, matrix, found in zip(pixels, matrices, move(pixels, matrices), strict=True):
        turn = matrix[:2, :2]
        offset = centre + matrix[:2, 2] - turn @ centre
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float), turn, offset, order=1, mode="nearest"
            )
            np.testing.assert_allclose(found[..., channel], expected, atol=0.51)


@given(images)
def test_no_move_changes_nothing(pixels):
    for kind in (rotate, zoom):
        still = kind(np.full((len(pixels), 1), 0.5), *pixels.shape[1:3])
        np.testing.assert_array_equal(move(pixels, still), pixels)
    np.testing.assert_allclose(colour(pixels, np.full((len(pixels), 2), 0.5)), pixels, atol=1)


def test_crop_shows_a_part_that_lies_in_the_image():
    height, width = 30, 60
    draws = np.random.default_rng(0).random((500, 4))
    matrices = crop(draws, height, width)
    corners = np.array([[y, x, 1] for y in (-height / 2, height / 2) for x in (-width / 2, width / 2)])
    seen = np.einsum("nij,cj->nci", matrices, corners)[..., :2]
    assert (np.abs(seen) <= [height / 2 + 1e-9, width / 2 + 1e-9]).all()
    areas = np.prod(seen.max(axis=1) - seen.min(axis=1), axis=1) / (height * width)
    assert 0.45 < areas.min() < areas.max() <= 1


def test_rotate_turns_by_at_most_15_degrees_and_zoom_by_a_fifth():
    turned = rotate(np.array([[0.0], [1.0]]), 8, 8)
    np.testing.assert_allclose(np.degrees(np.arccos(turned[:, 0, 0])), [15, 15])
    assert turned[0, 0, 1] == -turned[1, 0, 1] != 0
    np.testing.assert_allclose(zoom(np.array([[0.0], [1.0]]), 8, 8)[:, 0, 0], [1 / 1.2, 1.2])


def test_colour_changes_brightness_and_contrast_and_nothing_else():
    pixels = np.full((2, 4, 4, 3), 100, np.uint8)
    np.testing.assert_array_equal(colour(pixels, np.array([[0, 0.5], [1, 0.5]]))[:, 0, 0, 0], [49, 151])
    pixels[:, :2] = 140
    found = colour(pixels, np.array([[0.5, 0.0], [0.5, 1.0]])).astype(int)
    np.testing.assert_array_equal(found[:, 0, 0, 0] - found[:, 3, 0, 0], [32, 48])


def test_erase_hides_a_rectangle_of_the_stated_size_in_half_of_the_images():
    pixels = np.random.default_rng(0).integers(0, 250, (400, 40, 40, 1)).astype(np.uint8)
    pixels[:, 0, 0] = 255
    changed = (erase(pixels, np.random.default_rng(1).random((400, 5))) != pixels)[..., 0]
    share = changed.mean(axis=(1, 2))
    assert 0.4 < (share > 0).mean() < 0.6
    assert share.max() < 0.23
    for one in changed[share > 0]:
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        assert one.sum() > 0.9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_presets_stand_for_their_parts_and_can_be_mixed():
    assert set(check_augmentations("photo")) == {"flip", "crop", "colour"}
    assert check_augmentations(["garment", "erase"]) == ("flip", "shift", "erase")
    assert count_views(check_augmentations("photo"), epochs=9, limit=VIEWS) == VIEWS


@pytest.mark.long
@pytest.mark.parametrize("augment", ["photo", "centred"])
def test_training_records_the_parts_and_kept_features_see_a_stated_number_of_views(digits, transfer, augment):
    small = digits.subset(5)
    run = tk.train(transfer(True), small, epochs=6, augment=augment, verbose=False)
    assert run.recipe["augment"] == list(check_augmentations(augment))
    assert run.recipe["phases"][0]["views"] == VIEWS
    kept = len(small.validation.labels) + len(small.train.labels) * VIEWS
    assert run.phases[0]["features_computed"] <= kept
