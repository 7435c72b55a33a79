"""Layer-wise decay of the learning rate, and unfreezing by blocks, in fine_tune."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, RunError

OPTIONS = {"head_epochs": 0, "epochs": 1, "batch_size": 512, "schedule": "constant", "verbose": False}


@pytest.mark.slow
def test_lower_blocks_move_less_and_the_model_keeps_a_plain_optimiser(digits, transfer, tmp_path):
    data = digits.subset(5)
    moved = {}
    for decay in (None, 0.5):
        model = transfer(True)
        model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
        before = {variable.path: np.array(keras.ops.convert_to_numpy(variable)) for variable in model.trainable_weights}
        before |= {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.get_layer("backbone").weights}
        callback = keras.callbacks.ModelCheckpoint(tmp_path / "during.keras")
        tk.fine_tune(model, data, layer_decay=decay, learning_rate=1e-3, callbacks=[callback], **OPTIONS)
        moved[decay] = {
            v.path: keras.ops.convert_to_numpy(v) - before[v.path]
            for v in model.trainable_weights
            if "kernel" in v.path
        }
    ratios = {path: np.linalg.norm(moved[0.5][path]) / np.linalg.norm(change) for path, change in moved[None].items()}
    found = [
        next(ratio for path, ratio in ratios.items() if name in path) for name in ("first", "second", "predictions")
    ]
    np.testing.assert_allclose(found, [0.25, 0.5, 1.0], rtol=1e-3)
    model.save(tmp_path / "after.keras")
    for file in ("during.keras", "after.keras"):
        assert type(keras.models.load_model(tmp_path / file).optimizer) is keras.optimizers.SGD
    assert "update_step" not in vars(model.optimizer)


@pytest.mark.long
def test_runs_that_unfreeze_from_elsewhere_are_told_apart(digits, transfer, tmp_path):
    data = digits.subset(5)
    options = OPTIONS | {"folder": tmp_path, "name": "net"}
    run = tk.fine_tune(transfer(True), data, unfreeze_from="second", **options)
    assert run.recipe["phases"][0]["unfreeze_from"] == "second"
    assert "layer_decay" not in run.recipe
    with pytest.raises(RunError, match="made with"):
        tk.fine_tune(transfer(True), data, unfreeze_from="norm2", **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layer_decay": 0}, "layer_decay must be above 0, at most 1"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"layer_decay": True}, "layer_decay"),
        ({"unfreeze_last": 0}, "unfreeze_last"),
        ({"unfreeze_last": 3}, "has no 3 blocks.*there are 2: first, second"),
        ({"unfreeze_last": 1, "unfreeze_from": "second"}, "not both"),
    ],
)
def test_other_values_are_refused_before_training(digits, transfer, options, says):
    with pytest.raises(InvalidInputError, match=says):
        tk.fine_tune(transfer(True), digits, **OPTIONS | options)
