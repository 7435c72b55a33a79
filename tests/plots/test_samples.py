"""Sample grids."""

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.samples import plot_samples


def test_rows_are_classes_and_images_the_first_of_each(digits):
    figure = plot_samples(digits, per_class=3)
    assert len(figure.axes) == 30
    images, labels = digits.train
    for label in range(10):
        for ax, index in zip(figure.axes[3 * label : 3 * label + 3], np.flatnonzero(labels == label)[:3], strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), images[index].squeeze())
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == list(digits.class_names)


def test_pairs_of_arrays_are_drawn_too(digits):
    images, labels = digits.test
    figure = plot_samples((images[..., 0], labels), [f"숫자 {i}" for i in range(10)], per_class=1)
    assert figure.axes[0].get_ylabel() == "숫자 0"
    colour = np.repeat(images, 3, axis=3)
    assert plot_samples((colour, labels), per_class=1).axes[0].images[0].get_array().shape == (16, 16, 3)
    assert len(plot_samples(digits, split="validation").axes) == 80


def test_classes_with_few_images_leave_places_empty(digits):
    images = digits.test.images
    figure = plot_samples((images[:3], np.array([0, 0, 2])), per_class=2)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("images", "labels", "names", "says"),
    [
        (np.zeros((2, 8, 8), np.float32), [0, 1], None, "uint8"),
        (np.zeros((2, 64), np.uint8), [0, 1], None, "shape"),
        (np.zeros((2, 8, 8, 4), np.uint8), [0, 1], None, "shape"),
        (np.zeros((2, 8, 8), np.uint8), [0], None, "equally many"),
        (np.zeros((0, 8, 8), np.uint8), [], None, "at least one"),
        (np.zeros((2, 8, 8), np.uint8), [0, 2], ["a", "b"], "2 class names"),
        (np.zeros((2, 8, 8), np.uint8), [[1, 0], [0, 1]], None, "argmax"),
    ],
)
def test_what_cannot_be_drawn_is_refused(images, labels, names, says):
    with pytest.raises(InvalidInputError, match=says):
        plot_samples((images, np.asarray(labels, int)), names)


def test_wrong_options_are_refused(digits):
    with pytest.raises(UnknownNameError, match="split"):
        plot_samples(digits, split="tests")
    with pytest.raises(InvalidInputError, match="per_class"):
        plot_samples(digits, per_class=0)
    with pytest.raises(InvalidInputError, match="pair"):
        plot_samples(digits.train.images[:3])


def test_samples_are_augmented_as_in_training(digits):
    plain, mirrored = (plot_samples(digits, per_class=4, augment=augment) for augment in (None, "flip"))
    before, after = ([ax.images[0].get_array() for ax in figure.axes] for figure in (plain, mirrored))
    flipped = [np.array_equal(b[:, ::-1], a) and not np.array_equal(a, b) for b, a in zip(before, after, strict=True)]
    same = [np.array_equal(b, a) for b, a in zip(before, after, strict=True)]
    assert any(flipped)
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    again = plot_samples(digits, per_class=4, augment=("flip",), seed=0)
    assert all(np.array_equal(a, ax.images[0].get_array()) for a, ax in zip(after, again.axes, strict=True))
    with pytest.raises(UnknownNameError, match="flip"):
        plot_samples(digits, augment="flipp")
