"""Networks compute in the precision that they are built with, and runs record it."""

import keras
import pytest

import transferkit as tk
from transferkit.backends import chosen_backend
from transferkit.errors import UnknownNameError


def build(**options):
    return tk.build_cnn((16, 16, 1), preset="modern", filters=(4,), **options)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: "a GPU")


@pytest.mark.parametrize(
    "builder",
    [
        build,
        lambda **options: tk.build_transfer_model("mobilenet", False, width=0.25, image_size=64, **options),
        lambda **options: tk.build_googlenet(width=0.25, **options),
    ],
    ids=["cnn", "transfer", "googlenet"],
)
def test_auto_is_half_precision_on_an_accelerator_for_what_is_between_pixels_and_probabilities(builder, gpu):
    model = builder(precision="auto")
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.get_layer("predictions").compute_dtype == "float32"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_auto_changes_nothing_on_a_processor_nor_what_was_set(monkeypatch):
    monkeypatch.setattr(chosen_backend(), "accelerator", lambda: None)
    assert build(precision="auto").dtype_policy.name == "float32"
    assert build().dtype_policy.name == "float32"


def test_an_unknown_precision_is_refused_and_keras_left_as_it_was():
    with pytest.raises(UnknownNameError, match="mixed_bfloat16"):
        build(precision="bfloat16")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_a_run_records_the_precision_of_its_network(digits):
    data = digits.subset(4, seed=0)
    run = tk.train(build(precision="mixed_bfloat16"), data, epochs=1, verbose=False)
    assert run.environment["precision"] == "mixed_bfloat16"
    other = tk.train(build(), data, epochs=1, verbose=False)
    assert other.environment["precision"] == "float32"
    assert run.key != other.key
