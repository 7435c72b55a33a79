"""Epochs, batch size and warm-up from the number of images: enough steps, never too many, written into the record."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferkit as tk
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.training.options import FineTuneRecipe, TrainRecipe
from transferkit.training.step_counts import MANY_EPOCHS, steps_an_epoch


@given(st.integers(1, 200_000), st.booleans())
def test_there_are_enough_steps_or_many_epochs(images, frozen):
    recipe = (TrainRecipe(epochs="auto") if frozen else FineTuneRecipe()).settled(images, frozen=frozen)
    steps = recipe.epochs * steps_an_epoch(images, recipe.batch_size)
    assert steps >= (300 if frozen else 100) or recipe.epochs == (60 if frozen else MANY_EPOCHS)
    assert recipe.epochs >= 5
    assert 0 <= recipe.warmup_epochs < recipe.epochs
    for phase in recipe.phases:
        phase.check()


@given(st.integers(1, 200_000))
def test_more_images_never_mean_more_epochs_or_smaller_batches(images):
    fewer, more = FineTuneRecipe().settled(images), FineTuneRecipe().settled(2 * images)
    assert more.epochs <= fewer.epochs
    assert more.batch_size >= fewer.batch_size
    assert more.head_epochs <= fewer.head_epochs


def test_many_images_keep_the_recipe_of_before():
    recipe = FineTuneRecipe().settled(60_000)
    assert (recipe.head_epochs, recipe.epochs, recipe.batch_size, recipe.warmup_epochs) == (1, 5, 64, 0.5)


def test_epochs_that_are_stated_leave_everything_else_at_its_default():
    recipe = FineTuneRecipe(epochs=6).settled(200)
    assert (recipe.head_epochs, recipe.epochs, recipe.batch_size, recipe.warmup_epochs) == (1, 6, 64, 0.5)
    assert FineTuneRecipe(epochs=6, schedule="constant").settled(200).warmup_epochs == 0


def test_what_is_stated_stays():
    recipe = FineTuneRecipe(batch_size=8, head_epochs=0, warmup_epochs=2).settled(200)
    assert (recipe.head_epochs, recipe.batch_size, recipe.warmup_epochs) == (0, 8, 2)
    recipe = FineTuneRecipe(learning_rate=1e-3).settled(200)
    assert (recipe.learning_rate, recipe.batch_norm) == (1e-3, False)


@pytest.mark.long
def test_fine_tuning_records_what_auto_became_and_is_found_by_it(digits, transfer, tmp_path):
    small = digits.subset(20)
    run = tk.fine_tune(transfer(True), small, name="run", folder=tmp_path, verbose=False)
    assert [(phase["name"], phase["epochs"]) for phase in run.phases] == [("head", 1), ("all", 15)]
    assert (run.recipe["epochs"], run.recipe["batch_size"], run.recipe["warmup_epochs"]) == (16, 16, 1.5)
    assert (run.recipe["head"], run.recipe["learning_rate"]) == ("logistic", 3e-4)
    assert run.recipe["augment"] == ["shift", "rotate", "zoom"]
    assert run.recipe["phases"][1]["batch_norm"] is False
    assert run.model_info["settings_tried"] == 5  # penalties
    stated = {"epochs": 15, "head": "logistic", "batch_size": 16, "warmup_epochs": 1.5, "augment": "centred"}
    again = tk.fine_tune(transfer(True), small, name="run", folder=tmp_path, batch_norm=False, verbose=False, **stated)
    assert again.created == run.created


@pytest.mark.long
def test_head_of_fine_tuning_is_the_exact_one_and_never_lost(digits, transfer, capsys):
    small, model = digits.subset(20), transfer(True)
    exact = tk.fit_head(model, small, verbose=False)
    run = tk.fine_tune(transfer(True), small, learning_rate=10.0, batch_norm=False, head="logistic", epochs=2)
    assert run.selected_epoch == 1
    assert "no epoch of fine-tuning was better" in capsys.readouterr().out
    assert run.metrics["loss"] == pytest.approx(exact.metrics["loss"], rel=1e-4)
    assert run.history[0]["val_loss"] == pytest.approx(min(row["val_loss"] for row in exact.history), rel=1e-5)


@pytest.mark.slow
def test_killed_after_an_exact_head_goes_on(digits, transfer, tmp_path):
    small, options = digits.subset(5), {"name": "run", "epochs": 3, "head": "logistic", "verbose": False}
    whole = tk.fine_tune(transfer(True), small, **options)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").touch()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tk.fine_tune(transfer(True), small, folder=tmp_path, callbacks=[Stop()], **options)
    run = tk.fine_tune(transfer(True), small, folder=tmp_path, callbacks=[Stop()], **options)
    assert [row["phase"] for row in run.history] == ["head", "all", "all", "all"]
    np.testing.assert_allclose(run.test_probabilities, whole.test_probabilities, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"head": "svm"}, {"head": "logistic", "head_epochs": 3}, {"batch_norm": "no"}])
def test_wrong_heads_are_refused(wrong):
    with pytest.raises((InvalidInputError, UnknownNameError)):
        FineTuneRecipe(**wrong)


@pytest.mark.slow
def test_a_head_that_is_no_softmax_layer_learns_in_steps(digits, transfer):
    model = transfer(True)
    model.compile("adam", "categorical_focal_crossentropy", metrics=["accuracy"])
    run = tk.fine_tune(model, digits.subset(20), verbose=False)
    assert [(phase["name"], phase["epochs"]) for phase in run.phases] == [("head", 8), ("all", 15)]
    assert "head" not in run.recipe


@pytest.mark.long
def test_head_on_a_frozen_backbone_gets_its_steps(digits, transfer):
    run = tk.train(transfer(True), digits.subset(20), epochs="auto", verbose=False)
    assert (run.recipe["epochs"], run.recipe["batch_size"]) == (24, 16)


@pytest.mark.slow
def test_without_epochs_a_pretrained_or_partly_frozen_network_gets_them_chosen_and_another_gets_ten(digits, transfer):
    small = digits.subset(3)
    chosen = tk.train(transfer("relu"), small, verbose=False)
    assert chosen.recipe["epochs"] == FineTuneRecipe().settled(30).epochs
    scratch = tk.train(tk.build_cnn((16, 16, 1), filters=(4,), dense_units=8), small, verbose=False)
    assert (scratch.recipe["epochs"], scratch.recipe["batch_size"]) == (10, 64)


@pytest.mark.long
def test_a_frozen_network_behind_augmentation_in_the_model_counts_as_frozen(digits):
    """As in tutorials of Keras: its features cannot be kept, but a head is what trains."""
    inputs, images = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    base = keras.Model(images, keras.layers.Conv2D(4, 3, strides=4)(images))
    base.trainable = False
    x = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)])(inputs)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = tk.train(model, digits.subset(32), verbose=False)
    assert (len(run.history), run.recipe["batch_size"]) == (30, 32)  # 10 steps an epoch


@pytest.mark.parametrize("epochs", ["auto", "many", 0, 2.5])
def test_epochs_of_a_network_that_learns_from_nothing_must_be_stated(digits, epochs):
    with pytest.raises(InvalidInputError, match="epochs"):
        tk.train(tk.build_cnn((16, 16, 1), filters=(4,), dense_units=8), digits, epochs=epochs, verbose=False)


class Forget(keras.callbacks.Callback):
    """Spoil the weights in every epoch after the first."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= 3:
            self.model.get_layer("predictions").kernel.assign(-self.model.get_layer("predictions").kernel * 9)


@pytest.mark.long
def test_it_is_said_if_fine_tuning_was_no_better_than_the_head(digits, transfer):
    options = {"head_epochs": 3, "epochs": 1, "learning_rate": 1e-9, "callbacks": Forget(), "verbose": False}
    run = tk.fine_tune(transfer(True), digits.subset(20), **options)
    assert run.selected_epoch <= 3
    assert "no epoch of fine-tuning was better" in run.notes[0]


def test_a_batch_left_to_the_machine_is_large_on_an_accelerator_with_many_images(monkeypatch):
    from transferkit.backends import chosen_backend
    from transferkit.training.options import TrainRecipe

    recipe = TrainRecipe(epochs=1, batch_size="auto")
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: None)
    assert [recipe.settled(images).batch_size for images in (100, 1_000, 50_000)] == [16, 32, 64]
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")
    assert [recipe.settled(images).batch_size for images in (100, 1_000, 50_000)] == [16, 32, 256]


@pytest.mark.long
def test_a_short_training_is_said_at_its_beginning(digits, capsys, monkeypatch):
    def net():
        model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
        kind = keras.metrics.SparseCategoricalAccuracy()
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=[kind])
        return model

    few = digits.subset(4)
    tk.train(net(), few, epochs=2, batch_size=20, name="net")
    first, second, *epochs = capsys.readouterr().out.splitlines()
    assert first.startswith("net: few training steps: 4 (2 an epoch).")
    assert second.startswith("net: nothing in the network scales the pixels")
    assert [line.partition("  ")[0] for line in epochs] == ["net: epoch 1/2", "net: epoch 2/2"]
    assert all("  val accuracy 0." in line for line in epochs)
    tk.train(net(), few, epochs=2, batch_size=20, name="net", verbose=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("transferkit.training.steps.least_steps", lambda unfrozen: 4)
    tk.train(net(), few, epochs=2, batch_size=20, name="net")
    assert "few" not in capsys.readouterr().out
