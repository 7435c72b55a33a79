"""The course's convolutional network, and a modern one of about its size."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import layers

from transferkit.errors import InvalidInputError
from transferkit.models._seeding import seeded


def build_cnn(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    preset: Literal["course", "modern"] = "course",
    filters: Sequence[int] | None = None,
    dense_units: int | None = None,
    dropout: float | None = None,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Any:
    """Build and compile a convolutional network that takes raw pixels."""
    with seeded(seed):
        inputs = keras.Input(input_shape, dtype="float32", name="images")
        x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(inputs)
        if preset == "course":
            x = _course_body(x, filters or (32, 64), dense_units or 128)
        elif preset == "modern":
            x = _modern_body(x, filters or (32, 64, 128))
        else:
            raise InvalidInputError(f"preset must be one of 'course', 'modern'; got {preset!r}.")
        x = layers.Dropout(0.5 if dropout is None else dropout, seed=seed, name="dropout")(x)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="predictions")(x)
        model = keras.Model(inputs, outputs, name=f"{preset}_cnn")
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return model


def _course_body(x: Any, filters: Sequence[int], dense_units: int) -> Any:
    for index, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 5, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(dense_units, activation="relu", name="dense")(x)


def _modern_body(x: Any, filters: Sequence[int]) -> Any:
    for block, width in enumerate(filters, start=1):
        for index in (1, 2):
            name = f"block{block}_conv{index}"
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
            x = layers.Activation("relu", name=f"{name}_relu")(x)
        if block < len(filters):
            x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)
