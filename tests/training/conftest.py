"""Small models for training tests."""

from contextlib import contextmanager

import keras
import pytest

import transferkit as tk
from transferkit.training import steps
from transferkit.training.checkpoint import save_checkpoint


def make_transfer(freeze, *, seed=0):
    """Return a transfer model on a small backbone of our own, with BatchNorm."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, kernel_initializer=keras.initializers.HeNormal(seed=1), name="first")(
        inputs
    )
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Conv2D(8, 3, kernel_initializer=keras.initializers.HeNormal(seed=2), name="second")(x)
    backbone = keras.Model(inputs, keras.layers.ReLU(name="end")(keras.layers.BatchNormalization(name="norm2")(x)))
    options = {"preprocessing": "unit", "image_size": 16, "seed": seed}
    return tk.build_transfer_model(backbone, input_shape=(16, 16, 1), freeze=freeze, **options)


@pytest.fixture
def transfer():
    return make_transfer


@pytest.fixture
def ctrl_c(monkeypatch):
    """Return a context for a user who presses Ctrl-C in the middle of an epoch, from 0, without a callback that the run would know of."""

    @contextmanager
    def press(at):
        class Guard(steps.DivergenceGuard):
            epoch = 0

            def on_epoch_begin(self, epoch, logs=None):
                self.epoch = epoch

            def on_train_batch_end(self, batch, logs=None):
                super().on_train_batch_end(batch, logs)
                if self.epoch == at and batch >= min(3, self.params["steps"] - 1):
                    raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
            patch.setattr(steps, "DivergenceGuard", Guard)
            yield

    return press


@pytest.fixture
def cut_after(monkeypatch):
    """Return a function that lets an error follow the checkpoint of a number, from 1; it returns a list to which each adds its epochs."""

    def cut(number, error):
        saved = []

        def save_and_cut(*args, **others):
            save_checkpoint(*args, **others)
            saved.append(args[3].finished)
            if len(saved) == number:
                raise error

        monkeypatch.setattr(steps, "save_checkpoint", save_and_cut)
        return saved

    return cut
