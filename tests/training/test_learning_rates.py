"""The range test of learning rates: what it finds, and that it leaves no trace."""

import keras
import matplotlib as mpl
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, TransferKitWarning
from transferkit.features import cache as caches


def small_cnn(**options):
    return tk.build_cnn((16, 16, 1), filters=(8,), dense_units=16, **options)


def everything(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def check_same(before, after):
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.long
def test_finds_a_rate_at_which_the_network_learns_and_leaves_no_trace(digits):
    model = small_cnn()
    model.fit(digits.train.images[:64], digits.train.labels[:64], verbose=0)  # the optimiser has a state
    optimizer, before = model.optimizer, everything(model)
    found = tk.find_learning_rate(model, digits, steps=60)
    assert model.optimizer is optimizer
    check_same(before, everything(model))
    table = found.table
    assert list(table.columns) == ["rate", "loss", "smoothed"]
    np.testing.assert_allclose(table["rate"], np.geomspace(1e-6, 1, 60)[: len(table)])
    assert 1e-4 < found.suggestion < 1e-1
    lowest = table["rate"][table["smoothed"].idxmin()]
    assert found.suggestion == pytest.approx(lowest / 10)
    assert f"{lowest:.1e}" in found.reason
    for language in ("en", "ko"):
        figure = found.plot(language=language)
        assert isinstance(figure, mpl.figure.Figure)
        assert figure.axes[0].get_xscale() == "log"
        assert len(figure.axes[0].get_lines()) == 3


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:find_learning_rate")  # eight random features tell little
def test_frozen_layers_are_computed_once_and_give_what_plain_steps_give(digits, transfer, monkeypatch):
    losses = {}
    for engine in ("plain", "auto"):
        model = transfer(True)
        before = everything(model)
        losses[engine] = tk.find_learning_rate(model, digits, lowest=1e-3, steps=20, engine=engine).table["loss"]
        check_same(before, everything(model))
    np.testing.assert_allclose(losses["auto"], losses["plain"], atol=1e-3)

    def fail(*_, **__):
        raise AssertionError("features were computed again")

    monkeypatch.setattr(caches, "load_engine", fail)
    tk.find_learning_rate(transfer(True), digits, lowest=1e-3, steps=20)


@pytest.mark.filterwarnings("ignore:find_learning_rate")  # twelve decades in forty steps
def test_ends_where_the_loss_diverges(digits):
    model = small_cnn(loss="focal")
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))
    model.compile(optimizer, model.loss, metrics=["accuracy"], steps_per_execution=4)
    before = everything(model)
    table = tk.find_learning_rate(model, digits, lowest=1e-3, highest=1e9, steps=40).table
    assert 2 < len(table) < 40
    assert np.isfinite(table["loss"]).all()
    check_same(before, everything(model))
    assert model.steps_per_execution == 4


def test_says_so_where_nothing_is_learned(digits):
    with pytest.warns(TransferKitWarning, match="did not fall at any rate"):
        found = tk.find_learning_rate(small_cnn(), digits, lowest=1e-9, highest=1e-8, steps=20)
    assert found.suggestion is None
    assert len(found.plot().axes[0].get_lines()) == 2


class Bare(keras.optimizers.SGD):
    """An optimiser of which no second one can be made."""

    def get_config(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lowest": 1, "highest": 1}, "lowest must be below highest"),
        ({"lowest": 0}, "lowest must be a finite number above 0"),
        ({"steps": 5}, "steps must be an integer of 20 or more"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"seed": -1}, "seed"),
        ({"engine": "fast"}, "unknown engine"),
    ],
)
def test_other_values_are_refused(digits, options, says):
    with pytest.raises(InvalidInputError, match=says):
        tk.find_learning_rate(small_cnn(), digits, **options)


def test_models_that_do_not_train_are_refused(digits):
    frozen, bare = small_cnn(), small_cnn()
    frozen.trainable = False
    with pytest.raises(InvalidInputError, match="nothing of the model"):
        tk.find_learning_rate(frozen, digits)
    bare.compile(Bare(0.1), "sparse_categorical_crossentropy")
    with pytest.raises(InvalidInputError, match="Write get_config"):
        tk.find_learning_rate(bare, digits)
    with pytest.raises(InvalidInputError, match="not compiled"):
        tk.find_learning_rate(keras.Model(bare.inputs, bare.outputs), digits)
