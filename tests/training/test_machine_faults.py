"""Trainings on full and read-only disks, and with checkpoints that were damaged."""

import errno

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, StorageError, TransferKitWarning
from transferkit.training.checkpoint import Progress, load_progress, save_checkpoint


def small(seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        keras.Input((16, 16, 1)), keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(4), keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax", name="predictions"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model, data, folder, **options):
    return tk.train(model, data, epochs=2, name="small", folder=folder, verbose=False, **options)


@pytest.mark.long
def test_finished_run_is_found_in_a_read_only_folder(digits, tmp_path, make_read_only):
    folder = tmp_path / "runs"
    first = train(small(), digits, folder)
    make_read_only(folder)
    again = train(small(), digits, folder)
    assert again.created == first.created
    np.testing.assert_array_equal(again.test_probabilities, first.test_probabilities)
    with pytest.raises(StorageError, match="may not be written to"):
        tk.train(small(), digits, epochs=2, name="other", folder=folder, verbose=False)


class FillDisk(keras.callbacks.Callback):
    """Leave no room after the first epoch."""

    def __init__(self, disk):
        super().__init__()
        self.disk = disk

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            with pytest.raises(OSError, match="No space"):
                (self.disk / "big").write_bytes(b"x" * 10**6)


@pytest.mark.long
def test_full_disk_in_a_training_is_a_clear_error_and_the_run_before_stays(digits, small_disk):
    train(small(), digits, small_disk)
    with pytest.raises(StorageError, match=r"(checkpoint|run 'small') .*cannot be kept: the disk .* is full") as error:
        train(small(), digits, small_disk, overwrite=True, callbacks=[FillDisk(small_disk)])
    assert error.value.errno == errno.ENOSPC
    assert tk.load_run(small_disk / "small").status == "completed"
    (small_disk / "big").unlink()
    with pytest.warns(TransferKitWarning, match="was cut off, and this one is another"):  # without the callback
        assert train(small(), digits, small_disk, overwrite=True).status == "completed"


@pytest.mark.parametrize("folder", [3, b"runs", "a\0b"])
def test_folder_that_is_none_is_refused_before_anything_is_trained(digits, folder):
    with pytest.raises(InvalidInputError, match="^folder "):
        train(small(), digits, folder)


@pytest.mark.parametrize("name", ["a" * 10_000, "가" * 1000])
def test_run_of_any_name_has_a_folder(digits, tmp_path, name):
    for ending in "12":
        run = tk.train(small(), digits, epochs=1, name=name + ending, folder=tmp_path, verbose=False)
        assert run.path is not None
        assert tk.load_run(run.path).name == name + ending
    assert len(tk.load_runs(tmp_path)) == 2


def test_flipped_bits_in_a_checkpoint_start_the_training_again(tmp_path, rng):
    model = small()
    model.optimizer.build(model.trainable_variables)
    file = tmp_path / "checkpoint"
    save_checkpoint(
        file, model.weights, model.optimizer, Progress(finished=1, best_weights=model.get_weights()), key="k"
    )
    whole = file.read_bytes()
    assert load_progress(file, key="k")[0].finished == 1
    with pytest.warns(TransferKitWarning, match="this one is another"):
        assert load_progress(file, key="other") is None
    for bit in rng.integers(0, 8 * len(whole), 300):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        assert load_progress(file, key="k") is None
    file.write_bytes(whole[: len(whole) // 2])
    assert load_progress(file, key="k") is None
