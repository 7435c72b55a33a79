"""What the builders share: the loss by its name."""

import functools

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.compare.table import differing_settings
from transferkit.errors import UnknownNameError

small_cnn = functools.partial(tk.build_cnn, (16, 16, 1), filters=(8,), dense_units=16)


def build_small_transfer(**options):
    inputs = keras.Input((8, 8, 3))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    return tk.build_transfer_model(backbone, preprocessing="unit", input_shape=(8, 8, 1), **options)


@pytest.mark.parametrize("build", [small_cnn, build_small_transfer, functools.partial(tk.build_googlenet, width=0.1)],
                         ids=["cnn", "transfer", "googlenet"])  # fmt: skip
def test_focal_loss_is_that_of_the_paper_and_an_unknown_one_is_refused(build):
    loss = build(loss="focal").loss
    probabilities = np.float32([[0.9, 0.1], [0.4, 0.6]])
    found = keras.ops.convert_to_numpy(loss(np.eye(2, dtype=np.float32), probabilities))
    assert found == pytest.approx(np.mean([-(0.1**2) * np.log(0.9), -(0.4**2) * np.log(0.6)]), rel=1e-4)
    with pytest.raises(UnknownNameError, match="Did you mean 'focal'"):
        build(loss="fokal")


@pytest.mark.long
def test_a_network_learns_by_focal_loss_with_weighted_classes_and_its_run_says_so(digits, tmp_path):
    options = {"epochs": 3, "batch_size": 32, "verbose": False, "class_weight": "balanced", "name": "net"}
    run = tk.train(small_cnn(loss="focal"), digits, folder=tmp_path, **options)
    assert run.recipe["loss"] == "CategoricalFocalCrossentropy"
    assert run.metrics["accuracy"] > 0.6
    options |= {"epochs": 1, "name": "plain"}
    compared = tk.compare_runs([run, tk.train(small_cnn(), digits, **options)])
    assert "CategoricalFocalCrossentropy" in compared.to_markdown()
    assert "loss" in differing_settings(compared.runs)
    assert tk.load_model(tmp_path / "net").loss.gamma == 2
