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


class Boosted(keras.optimizers.SGD):
    """An optimiser as users write it: with an argument of its own, and without ``get_config``."""

    def __init__(self, learning_rate=0.1, boost=1.0, **options):
        super().__init__(learning_rate=learning_rate, **options)
        self.boost = boost
        self.first_rate = learning_rate

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * self.boost, variable, learning_rate)


def test_fresh_optimiser_has_what_its_configuration_lacks():
    optimizer = Boosted(0.1, boost=5.0)
    optimizer.set_afterwards = 3
    optimizer.build([keras.Variable([1.0])])
    fresh = fresh_optimizer(optimizer, 0.5)
    assert (fresh.boost, fresh.set_afterwards, fresh.first_rate, fresh.built) == (5.0, 3, 0.5, False)


def test_fresh_optimiser_decays_what_the_first_decays():
    optimizer, variables = keras.optimizers.SGD(0.1, weight_decay=0.5), [keras.Variable([1.0], name="kernel")]
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer.build(variables)
    fresh = fresh_optimizer(optimizer)
    fresh.apply([keras.ops.zeros(1)], variables)
    assert float(variables[0].value[0]) == 1.0
