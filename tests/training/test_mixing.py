"""mixup and cutmix: images that are two at once, targets that say how much of each, and who may learn from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferkit as tk
from transferkit.data.dataset import Split
from transferkit.errors import InvalidInputError, RunError
from transferkit.training.batches import Batches
from transferkit.training.mixing import cutmix, mix, mixup

OPTIONS = {"epochs": 2, "batch_size": 32, "verbose": False}
names = st.sampled_from([("mixup",), ("cutmix",), ("mixup", "cutmix")])


def plain_images(count, height=6, width=9):
    """Return images of one value each, which say afterwards what they were mixed of."""
    values = np.linspace(0, 255, count).astype(np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, height, width, 3)).copy()


@given(st.integers(1, 12), st.integers(0, 999), names)
def test_targets_say_how_much_of_each_image_is_there(count, seed, ways):
    images, targets = plain_images(count), np.eye(count, dtype=np.float32)
    mixed, rows, weights = mix(ways, images, targets, None, np.random.default_rng(seed))
    assert mixed.dtype == np.uint8
    assert mixed.shape == images.shape
    assert rows.dtype == np.float32
    assert weights is None
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    # The mean of a mixed image is what its target says, of images that have one value each.
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), rows @ images[:, 0, 0, 0].astype(float), atol=0.51)
    again = mix(ways, images, targets, None, np.random.default_rng(seed))
    np.testing.assert_array_equal(mixed, again[0])


@given(st.integers(2, 12), st.integers(0, 999), names, st.data())
def test_weighted_loss_is_that_of_both_parts_each_with_its_own_weight(count, seed, ways, data):
    weights = np.float32(data.draw(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=count, max_size=count)))
    images, targets = plain_images(count), np.eye(count, dtype=np.float32)
    _, shares, _ = mix(ways, images, targets, None, np.random.default_rng(seed))
    _, rows, total = mix(ways, images, targets, weights, np.random.default_rng(seed))
    np.testing.assert_allclose(rows * total[:, None], shares * weights, atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)


def test_shares_are_those_of_the_papers_distributions():
    images = plain_images(20_000, 2, 2)
    _, shares = mixup(images, images[::-1], np.random.default_rng(0))
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(0.25 / 1.4, abs=0.01)  # of Beta(0.2, 0.2): 1 / (4 (2 * 0.2 + 1))


def test_cutmix_pastes_one_rectangle_of_the_partner_in_its_place():
    images, partners = np.zeros((300, 20, 30, 1), np.uint8), np.full((300, 20, 30, 1), 9, np.uint8)
    partners[:, :, 15:] = 7
    mixed, shares = cutmix(images, partners, np.random.default_rng(0))
    for image, partner, share in zip(mixed[..., 0], partners[..., 0], shares, strict=True):
        pasted = image > 0
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        assert pasted.sum() == (len(rows) and np.ptp(rows) + 1) * (len(columns) and np.ptp(columns) + 1)
        np.testing.assert_array_equal(image[pasted], partner[pasted])
        assert share == pytest.approx(1 - pasted.mean(), abs=1e-6)
    assert shares.min() < 0.2
    assert shares.max() > 0.9


def test_batches_smooth_mix_and_weight_together():
    labels = np.arange(12) % 3
    split = Split(plain_images(12), labels)
    options = {"batch_size": 6, "num_classes": 3, "seed": 4, "augment": ("mixup", "cutmix")}
    _, mixed = Batches(split, **options)[0]
    _, smoothed = Batches(split, smoothing=0.3, **options)[0]
    np.testing.assert_allclose(smoothed, mixed * 0.7 + 0.1, atol=1e-6)
    weights = np.float32([1, 2, 4])
    _, rows, total = Batches(split, smoothing=0.3, class_weight=weights, **options)[0]
    np.testing.assert_allclose(total, mixed @ weights, atol=1e-5)
    np.testing.assert_allclose(rows * total[:, None], (mixed * weights) @ (np.eye(3) * 0.7 + 0.1), atol=1e-5)


def test_an_epoch_draws_other_partners_and_other_augmentations_stay_what_they_are():
    split = Split(np.random.default_rng(0).integers(0, 256, (8, 6, 6, 1)).astype(np.uint8), np.arange(8))
    options = {"batch_size": 8, "num_classes": 8, "seed": 0, "shuffle": False}
    shifted, _ = Batches(split, augment=("shift",), **options)[0]
    mixed, rows = Batches(split, augment=("shift", "cutmix"), **options)[0]
    whole = np.isclose(rows.max(axis=1), 1)
    np.testing.assert_array_equal(mixed[whole], shifted[rows.argmax(axis=1)][whole])
    later = Batches(split, augment=("shift", "cutmix"), first_epoch=1, **options)[0][1]
    assert not np.array_equal(rows, later)


@pytest.mark.parametrize(
    "loss",
    ["sparse_categorical_crossentropy", pytest.param("categorical_crossentropy", marks=pytest.mark.slow)],
)
def test_training_learns_from_mixed_images_and_leaves_the_model_compiled_as_it_was(digits, loss):
    model = tk.build_cnn((16, 16, 1), filters=(8,), dense_units=16)
    model.compile("adam", loss, metrics=["accuracy"])
    run = tk.train(model, digits, augment=["cutmix", "mixup"], **OPTIONS | {"epochs": 5})
    assert run.recipe["augment"] == ["mixup", "cutmix"]
    assert run.metrics["accuracy"] > 0.6
    assert run.history[-1]["val_accuracy"] > run.history[-1]["accuracy"]
    assert model.loss == loss


@pytest.mark.long
def test_other_losses_and_kept_features_are_refused(digits, transfer):
    model = tk.build_cnn((16, 16, 1), filters=(8,), dense_units=16)
    model.compile("adam", "kl_divergence", metrics=["accuracy"])
    with pytest.raises(InvalidInputError, match="mixup: mixed targets are for cross-entropy.*kl_divergence"):
        tk.train(model, digits, augment="mixup", **OPTIONS)
    for freeze in (True, "relu"):
        with pytest.raises(InvalidInputError, match="cutmix: .*engine='plain'"):
            tk.train(transfer(freeze), digits, augment="cutmix", **OPTIONS)
    run = tk.train(transfer(True), digits.subset(10), augment="cutmix", engine="plain", **OPTIONS)
    assert run.status == "completed"


@pytest.mark.slow
def test_fine_tuning_mixes_in_its_second_phase_and_goes_on_after_a_cut(digits, transfer, tmp_path, ctrl_c):
    data = digits.subset(10)
    options = OPTIONS | {"head_epochs": 1, "augment": ("flip", "mixup", "cutmix"), "name": "net"}
    options |= {"unfreeze_last": 1, "layer_decay": 0.5}
    whole = tk.fine_tune(transfer(True), data, folder=tmp_path / "whole", **options)
    head, upper = whole.phases
    assert not head["engine"].startswith("plain")
    assert upper["engine"] == "plain: mixed images are other ones in every epoch"
    assert (whole.recipe["layer_decay"], whole.recipe["phases"][1]["unfreeze_last"]) == (0.5, 1)
    with ctrl_c(2):
        tk.fine_tune(transfer(True), data, folder=tmp_path / "cut", **options)
    resumed = tk.fine_tune(transfer(True), data, folder=tmp_path / "cut", **options)
    assert [row["phase"] for row in resumed.history] == ["head", "upper layers", "upper layers"]
    np.testing.assert_allclose(resumed.test_probabilities, whole.test_probabilities, atol=1e-3)
    for other in ({"augment": "flip"}, {"layer_decay": 0.6}, {"layer_decay": None}, {"unfreeze_last": 2}):
        with pytest.raises(RunError, match="made with"):
            tk.fine_tune(transfer(True), data, folder=tmp_path / "whole", **options | other)
