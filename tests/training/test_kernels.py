"""Lent kernels give Keras's numbers, and are given back."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferkit as tk
from transferkit.models.freezing import leaves
from transferkit.training.kernels import fast_kernels


def borrowing(model):
    return [layer for layer in leaves(model) if {"call", "convolution_op"} & set(vars(layer))]


def step(model, data, **options):
    """Return the loss of one step and what it changed the weights to."""
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    with fast_kernels(model, **options) if options else nullcontext():
        loss = model.train_on_batch(data.train.images[:64], data.train.labels[:64])
    return [np.asarray(loss), *model.get_weights()]


def test_a_step_is_the_one_that_keras_takes(transfer, digits):
    plain, fast = step(transfer(False), digits), step(transfer(False), digits, matmul_precision="float32")
    for expected, found in zip(plain, fast, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=15)
@given(
    kernel=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["same", "valid"]),
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.integers(3, 6),
    bias=st.booleans(),
    precision=st.sampled_from(["float32", "bfloat16"]),
)
def test_convolutions_and_their_gradients_are_those_of_keras(kernel, stride, padding, channels, size, bias, precision):
    inputs, outputs = channels
    layer = keras.layers.Conv2D(outputs, kernel, stride, padding=padding, use_bias=bias, activation="tanh")
    model = keras.Sequential([keras.Input((size, size, inputs)), layer])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    images = np.random.default_rng(0).normal(size=(5, size, size, inputs)).astype(np.float32)
    targets, start = np.ones((5, *model.output_shape[1:]), np.float32), model.get_weights()
    found = []
    for context in (nullcontext(), fast_kernels(model, precision)):
        model.set_weights(start)
        model.make_train_function(force=True)
        with context:
            model.train_on_batch(images, targets)
            found.append([model(images).numpy(), *model.get_weights()])
    tolerance = 1e-4 if precision == "float32" else 0.05  # of 8 bits, with some sums of them
    for plain, fast in zip(*found, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance)


def test_layers_are_plain_keras_layers_afterwards(transfer):
    model = transfer(False)

    def fail():
        with fast_kernels(model, "bfloat16"):
            assert borrowing(model)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not borrowing(model)


@pytest.mark.long
def test_only_what_differs_from_keras_stands_in_the_record(digits):
    def trained(**options):
        model = tk.build_cnn((16, 16, 1), preset="modern", filters=(32,))
        return tk.train(model, digits, epochs=1, batch_size=128, verbose=False, **options)

    usual, rounded = trained(), trained(matmul_precision="bfloat16")
    assert "matmul_precision" not in usual.recipe
    assert rounded.recipe["matmul_precision"] == "bfloat16"
    assert usual.history[-1]["loss"] == pytest.approx(rounded.history[-1]["loss"], abs=0.1)
    assert trained(matmul_precision="auto").recipe in (usual.recipe, rounded.recipe)


def test_unknown_precisions_are_refused_at_once(transfer, digits):
    with pytest.raises(tk.errors.UnknownNameError, match="matmul_precision"):
        tk.train(transfer(False), digits, matmul_precision="float16")


def test_frozen_layers_are_converted_with_kernels_of_their_own(digits):
    """The head trains on shifted images, whose features are computed while the others' convolutions are rounded."""
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(32, 3)(inputs)
    x = keras.layers.Conv2D(32, 1, activation="relu")(x)
    backbone = keras.Model(inputs, keras.layers.Conv2D(32, 3, strides=2, activation="relu")(x))
    model = tk.build_transfer_model(backbone, input_shape=(16, 16, 1), image_size=16, preprocessing="unit", seed=0)
    options = {"augment": "shift", "matmul_precision": "bfloat16", "batch_size": 64, "verbose": False}
    run = tk.fine_tune(model, digits, head_epochs=1, epochs=1, **options)  # warnings are errors
    assert run.phases[0]["engine"] == "litert"
