"""A model is compiled again as it was."""

import keras
import pytest

from transferkit.errors import InvalidInputError
from transferkit.models.compiling import fresh_optimizer, recompile


def test_fresh_optimiser_has_the_settings_and_no_state():
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=2.0)
    optimizer.build([keras.Variable([1.0])])
    fresh = fresh_optimizer(optimizer, 0.5)
    assert (type(fresh), fresh.weight_decay, fresh.clipnorm) == (keras.optimizers.AdamW, 0.1, 2.0)
    assert fresh.learning_rate.numpy() == pytest.approx(0.5)
    assert not fresh.built


def test_optimiser_under_mixed_precision_is_unwrapped():
    wrapped = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    assert isinstance(fresh_optimizer(wrapped), keras.optimizers.SGD)


def test_model_that_was_never_compiled_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(InvalidInputError, match=r"not compiled\. Call model\.compile"):
        recompile(model)
