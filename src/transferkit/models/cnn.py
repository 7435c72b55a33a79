"""The course's convolutional network, and a modern one of about its size."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import layers

from transferkit.errors import InvalidInputError
from transferkit.models._seeding import seeded
from transferkit.models.arguments import (
    Loss,
    check_input_shape,
    check_loss,
    choice,
    compile_classifier,
    fraction,
    positive_int,
    positive_ints,
    rate,
)
from transferkit.models.precision import Precision, computing_in

_PRESETS = ("course", "modern")


def build_cnn(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    preset: Literal["course", "modern"] = "course",
    filters: Sequence[int] | None = None,
    dense_units: int | None = None,
    dropout: float | None = None,
    learning_rate: float = 1e-3,
    loss: Loss = "crossentropy",
    seed: int = 0,
    precision: Precision | None = None,
) -> keras.Model:
    """Build and compile a convolutional network that takes raw pixels.

    Parameters
    ----------
    input_shape : tuple of int, default (28, 28, 1)
        Height, width and channels (1 or 3) of the images.
    num_classes : int, default 10
        Classes to tell apart; labels are integers from 0.
    preset : {"course", "modern"}, default "course"
        ``"course"``: 5x5 convolutions without padding, each followed by 2x2 max pooling, then a dense layer and
        dropout. ``"modern"``: pairs of 3x3 convolutions with batch normalisation, average pooling over the whole map,
        and dropout. Train it with flips, shifts and erasing: on all of Fashion-MNIST it reached 94.8% in 60 epochs, with
        `average_flips` (examples/model_zoo.py).
    filters : sequence of int, optional
        Channels of each convolution (course) or pair of them (modern). (32, 64) and (32, 64, 128) if None: 184,586 and
        289,066 parameters on 28x28 grey images.
    dense_units : int, optional
        Width of the dense layer of the course's network; 128 if None. The modern one has none.
    dropout : float, optional
        Fraction of values dropped before the last layer; 0.5 (course) or 0.3 (modern) if None.
    learning_rate : float, default 1e-3
        Of AdamW.
    loss : {"crossentropy", "focal"}, default "crossentropy"
        ``"focal"`` counts images that are already told with confidence less: (1 - p)^2 times the cross-entropy, where p is the
        probability of the true class (Lin et al. 2017, doi:10.1109/ICCV.2017.324). It is Keras's ``CategoricalFocalCrossentropy``, so
        Keras's own ``fit`` needs one-hot labels then; `train` and `fine_tune` make them.
    seed : int, default 0
        Initial weights and dropout follow from it alone; no global random state is touched.
    precision : {"auto", "float32", "mixed_bfloat16", "mixed_float16"}, optional
        What the layers compute in; weights and probabilities stay in float32. ``"auto"`` is ``"mixed_bfloat16"`` on an accelerator. Keras's
        ``dtype_policy`` if None, and for ``"auto"`` on a CPU. A run records it.

    Returns
    -------
    keras.Model
        Functional, compiled with AdamW, the loss (``SparseCategoricalCrossentropy``) and ``accuracy``; softmax in float32.

    Raises
    ------
    InvalidInputError
        If an argument is wrong, or the images are too small for so many convolutions.
    UnknownNameError
        If there is no such preset or loss.

    See Also
    --------
    transferkit.build_transfer_model : Start from a network that others trained.

    Examples
    --------
    >>> import transferkit as tk
    >>> tk.build_cnn().count_params()
    184586
    >>> tk.build_cnn((32, 32, 3), num_classes=4, preset="modern", filters=(16, 32)).output_shape
    (None, 4)
    """
    choice("preset", preset, _PRESETS)
    widths = ((32, 64) if preset == "course" else (32, 64, 128)) if filters is None else filters
    check_input_shape(input_shape)
    num_classes = positive_int("num_classes", num_classes, at_least=2)
    seed = positive_int("seed", seed, at_least=0)
    widths = positive_ints("filters", widths)
    if dropout is None:
        dropout = 0.5 if preset == "course" else 0.3
    dropout = fraction("dropout", dropout)
    learning_rate = rate("learning_rate", learning_rate)
    check_loss(loss)
    if preset == "course":
        _check_course_size(input_shape, len(widths))
        hidden = positive_int("dense_units", 128 if dense_units is None else dense_units)
    elif dense_units is not None:
        raise InvalidInputError(
            f"the modern network has no dense layer; got dense_units={dense_units!r}. Leave it out."
        )
    with seeded(seed), computing_in(precision):
        inputs = keras.Input(input_shape, dtype="float32", name="images")
        x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(inputs)
        x = _course_body(x, widths, hidden) if preset == "course" else _modern_body(x, widths)
        x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="predictions")(x)
        model = keras.Model(inputs, outputs, name=f"{preset}_cnn")
    compile_classifier(model, learning_rate, loss)
    return model


def _check_course_size(input_shape: tuple[int, int, int], convolutions: int) -> None:
    if None in input_shape:
        raise InvalidInputError(
            f"the course's network needs a fixed size of image; got input_shape={input_shape}. Use preset='modern'."
        )
    side = min(input_shape[:2])
    for _ in range(convolutions):
        side = (side - 4) // 2
    if side < 1:
        raise InvalidInputError(
            f"images of {input_shape[0]}x{input_shape[1]} pixels are too small for {convolutions} convolutions of 5x5 "
            "with pooling. Give fewer filters, larger images, or preset='modern'."
        )


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
            x = layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)
