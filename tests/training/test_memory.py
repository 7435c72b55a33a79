"""What an accelerator asks of the batches: they fit into its memory, and all have one shape."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferkit as tk
from transferkit.backends import chosen_backend
from transferkit.errors import DivergedError, TransferKitWarning
from transferkit.models.devices import size_of_looks
from transferkit.training import memory, steps
from transferkit.training.batches import Batches
from transferkit.training.callbacks import DivergenceGuard
from transferkit.training.options import TrainRecipe


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(4, seed=0)


@pytest.fixture
def tried(monkeypatch):
    """Return the sizes of the steps that were tried on a GPU whose memory is too small for each."""
    sizes = []

    def step(*arguments, images, **named):
        sizes.append(images)
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9.1 GiB.")

    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
    monkeypatch.setattr(memory, "probe_network", step)
    return sizes


def build():
    return tk.build_cnn((16, 16, 1), filters=(4,), dense_units=4)


def test_the_batch_is_halved_once_and_recorded(data, tried):
    model = build()
    before = model.get_weights()
    with pytest.warns(TransferKitWarning, match="16 images does not fit"):
        run = tk.train(model, data, epochs=1, batch_size="auto", verbose=False)
    assert tried == [16]
    assert run.recipe["batch_size"] == 8
    assert any(not np.array_equal(one, two) for one, two in zip(before, model.get_weights(), strict=True))


def test_a_number_is_taken_as_it_is(data, tried):
    run = tk.train(build(), data, epochs=1, batch_size=16, verbose=False)
    assert (tried, run.recipe["batch_size"]) == ([], 16)


def test_a_step_that_fits_changes_nothing(data, monkeypatch):
    model = build()
    before = model.get_weights()
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
    recipe = TrainRecipe(epochs=1, batch_size=16).settled(40)
    assert memory.fit_into_memory(model, data, recipe) is recipe
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_error_is_raised(data, tried, monkeypatch):
    def step(*arguments, **named):
        raise ValueError("a shape")

    monkeypatch.setattr(memory, "probe_network", step)
    with pytest.raises(ValueError, match="a shape"):
        tk.train(build(), data, epochs=1, batch_size="auto", verbose=False)


@pytest.mark.long
def test_an_epoch_has_whole_batches_on_an_accelerator_and_other_images_in_each(data, monkeypatch):
    shapes, seen = set(), []

    class Watched(Batches):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            if self._shuffle:
                shapes.add(batch[0].shape)
                seen.append(batch[0])
            return batch

    monkeypatch.setattr(steps, "Batches", Watched)
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
    run = tk.train(build(), data, epochs=8, batch_size=16, verbose=False)
    assert shapes == {(16, 16, 16, 1)}
    assert run.recipe["left_out_of_an_epoch"] == 40 % 16
    assert len(run.test_probabilities) == len(data.test.labels)
    assert len(np.unique(np.concatenate(seen), axis=0)) == len(np.unique(data.train.images, axis=0))
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: None)
    shapes.clear()
    assert "left_out_of_an_epoch" not in tk.train(build(), data, epochs=1, batch_size=16, verbose=False).recipe
    assert (8, 16, 16, 1) in shapes


@pytest.mark.parametrize("validation", [0, 20])
def test_a_loss_that_is_no_number_is_found_between_looks(data, monkeypatch, tmp_path, validation):
    """Looking at each step's loss would keep an accelerator waiting, so only some are looked at, and the last."""
    looked_at = []

    class Loss:
        def __init__(self, value):
            self.value = value

        def __float__(self):
            looked_at.append(self.value)
            return self.value

    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
    guard = DivergenceGuard()
    for step in range(70):
        guard.on_train_batch_end(step, {"loss": Loss(1.0)})
    assert len(looked_at) == 2
    guard.on_train_batch_end(70, {"loss": Loss(float("nan"))})
    with pytest.raises(DivergedError, match="nan at step 71"):
        guard.on_test_begin() if validation else guard.on_epoch_end(0)
    few = tk.Dataset.from_arrays(data.train, data.test, validation=validation, allow_overlap=True)
    with pytest.warns(TransferKitWarning, match="diverged in epoch 1"):
        run = tk.train(build(), few, epochs=2, learning_rate=1e30, batch_size=8, verbose=False, folder=tmp_path)
    assert run.status == "diverged"


@given(st.integers(1, 100_000))
def test_validation_has_one_shape_of_batches_where_there_is_a_size_for_it(count):
    model = build_once()
    assert size_of_looks(count, model) == 256
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
        size = size_of_looks(count, model)
    assert 128 < size <= 512
    if size != 256 and count > 256:
        assert count % size == 0


build_once = functools.cache(build)
