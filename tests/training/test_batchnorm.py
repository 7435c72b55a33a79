"""BatchNorm statistics belong to the final weights."""

import keras
import numpy as np
import pytest

import transferkit as tk


def batchnorms(model):
    return [layer for layer in model.get_layer("backbone").layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.long
@pytest.mark.parametrize("validates", [True, False])
def test_statistics_are_those_of_the_final_weights(transfer, digits, validates):
    data = digits
    if not validates:
        data = tk.Dataset.from_arrays(
            train=digits.train, test=digits.test, validation=0, name="digits", allow_overlap=True
        )
    model = transfer(False)
    for layer in batchnorms(model):
        layer.momentum = 0.999  # the trap: after 40 steps 96% of the initial statistics would remain
    run = tk.train(model, data, epochs=2, batch_size=64, verbose=False)
    first = keras.Model(model.get_layer("backbone").inputs, model.get_layer("backbone").get_layer("first").output)
    pixels = np.repeat(data.train.images, 3, axis=-1) / np.float32(255)
    outputs = first.predict(pixels, verbose=0)
    norm = batchnorms(model)[0]
    np.testing.assert_allclose(norm.moving_mean, outputs.mean(axis=(0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(norm.moving_variance, outputs.var(axis=(0, 1, 2)), rtol=0.1)
    assert [layer.momentum for layer in batchnorms(model)] == [0.999, 0.999]
    assert run.recipe["batchnorm_images"] == 1024


def test_frozen_statistics_stay(transfer, digits):
    model = transfer(True)
    before = [np.array(layer.moving_mean) for layer in batchnorms(model)]
    tk.train(model, digits, epochs=1, verbose=False)
    for layer, old in zip(batchnorms(model), before, strict=True):
        np.testing.assert_array_equal(layer.moving_mean, old)
