"""Every image once an epoch, in an order that seed and epoch decide."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transferkit.data.dataset import Split
from transferkit.training.batches import Batches


def make_batches(count, batch_size, **options):
    labels = np.arange(count, dtype=np.int64)
    images = np.broadcast_to((labels % 256).astype(np.uint8)[:, None, None, None], (count, 2, 2, 1))
    return Batches(Split(images, labels), batch_size=batch_size, num_classes=count, **{"seed": 0} | options)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 5), st.booleans())
def test_every_image_comes_once_with_its_label(count, batch_size, epoch, shuffle):
    batches = make_batches(count, batch_size, first_epoch=epoch, shuffle=shuffle)
    parts = [batches[i] for i in range(len(batches))]
    labels = np.concatenate([labels for _, labels in parts])
    assert sorted(labels) == list(range(count))
    np.testing.assert_array_equal(np.concatenate([images[:, 0, 0, 0] for images, _ in parts]), labels % 256)


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(2, 30))
def test_no_batch_of_one_image(count, batch_size):
    batches = make_batches(count, batch_size)
    assert all(len(batches[i][1]) > 1 for i in range(len(batches)))


def test_epochs_differ_and_can_be_entered_anywhere():
    first = make_batches(50, 50)
    before = first[0][0].copy()
    first_labels = first._order.copy()
    first.on_epoch_end()
    entered = make_batches(50, 50, first_epoch=1)
    assert not np.array_equal(first_labels, first._order)
    np.testing.assert_array_equal(first._order, entered._order)
    assert before.shape == first[0][0].shape


class CountingCache:
    """Stand in for kept features: the mean of each image, and which images were asked for."""

    def __init__(self):
        self.means = []

    def locate(self, pieces):
        found = [image.mean() for piece in pieces for image in piece]
        first, self.means = len(self.means), self.means + found
        return np.arange(first, first + len(found))

    def take(self, rows):
        return np.array(self.means)[rows]


def test_a_look_at_the_first_batches_does_not_compute_a_whole_epoch():
    cache = CountingCache()
    batches = make_batches(50, 10, augment=("flip",), cache=cache)
    looked = [batches[i][0] for i in range(2)]
    assert len(cache.means) == 20
    batches.on_epoch_begin()
    np.testing.assert_array_equal([batches[i][0] for i in range(2)], looked)
    assert len(cache.means) == 20 + 50


def test_smoothed_targets_are_rows_that_sum_to_one():
    batches = make_batches(10, 10, smoothing=0.1, shuffle=False)
    rows = batches[0][1]
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.diag(rows), 0.91, rtol=1e-6)
