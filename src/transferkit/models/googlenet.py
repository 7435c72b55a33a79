"""GoogLeNet, with the changes that small images and short trainings need."""

from typing import Any

import keras
from keras import layers

from transferkit.errors import InvalidInputError
from transferkit.models._seeding import seeded
from transferkit.models.arguments import (
    Loss,
    check_input_shape,
    check_loss,
    compile_classifier,
    fraction,
    positive_int,
    rate,
)
from transferkit.models.precision import Precision, computing_in

# Table 1 of the paper: channels of 1x1, of the reduction before 3x3, 3x3, the reduction before 5x5, 5x5, and behind the pooling.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_STEM_SIDE = 14  # pixels that the first inception modules see at least; 28 in the paper
_SMALLEST_SIDE = 8
_MOMENTUM = 0.9


def build_googlenet(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    num_classes: int = 10,
    *,
    width: float = 1.0,
    dropout: float = 0.4,
    learning_rate: float = 1e-3,
    loss: Loss = "crossentropy",
    seed: int = 0,
    precision: Precision | None = None,
) -> keras.Model:
    """Build and compile GoogLeNet (Szegedy et al. 2015, doi:10.1109/CVPR.2015.7298594) for raw pixels of any size.

    The nine inception modules and their channels are those of the paper. What small images and short trainings need is
    different; see Notes.

    Parameters
    ----------
    input_shape : tuple of int, default (28, 28, 1)
        Height, width and channels (1 or 3) of the images, 8 pixels a side or more.
    num_classes : int, default 10
        Classes to tell apart; labels are integers from 0.
    width : float, default 1.0
        Factor of all channels, rounded to multiples of 4. At 28x28 pixels 1.0 has 6.0 million parameters, 0.5 has 1.5 million
        and takes a quarter of the time.
    dropout : float, default 0.4
        Fraction of features dropped before the last layer.
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
        If an argument is wrong, or the images are smaller than 8 pixels a side.
    UnknownNameError
        If there is no such loss.

    See Also
    --------
    transferkit.build_cnn : Smaller networks.

    Notes
    -----
    What differs from the paper, and why:

    - *Stem.* The paper's halves images of 224 pixels three times before the first inception module, which leaves 28 pixels. On
      images of 28 pixels that would leave 4, and all five halvings a single one. Here the stem halves only while 14 pixels or
      more are left, three times at most: once at 28 or 32 pixels, twice from 56, three times from 112. Its first
      convolution is 3x3 with a step of one; only where the stem halves three times it is the paper's 7x7 with a step of two.
    - *Batch normalisation* (Ioffe & Szegedy 2015, doi:10.48550/arXiv.1502.03167) after every convolution, in place of local
      response normalisation, with a momentum of 0.9, since short trainings have few steps.
    - *No auxiliary classifiers* inside the model. They were meant to carry gradients to the lower layers early in training; the
      authors found later that they do not, and help a little at the end of it at most (Szegedy et al. 2016,
      doi:10.1109/CVPR.2016.308, section 4). Their loss needs outputs of their own, which the model would then have for good.
      So they are outputs of a second model that shares the layers, as in the example: its ``fit`` trains this model too, with
      the paper's weight of 0.3, and is thrown away afterwards. `transferkit.Run.from_history` makes a run of it.

    Examples
    --------
    >>> import transferkit as tk
    >>> model = tk.build_googlenet(width=0.25)
    >>> model.output_shape
    (None, 10)

    Two auxiliary classifiers where the paper has them, simpler than its own:

    >>> import keras
    >>> outputs = [model.output]
    >>> for place in ("inception4a", "inception4d"):
    ...     x = keras.layers.GlobalAveragePooling2D()(model.get_layer(place).output)
    ...     outputs.append(keras.layers.Dense(10, activation="softmax")(x))
    >>> trainer = keras.Model(model.inputs, outputs)
    >>> trainer.compile("adamw", loss=["sparse_categorical_crossentropy"] * 3, loss_weights=[1.0, 0.3, 0.3])
    >>> len(trainer.outputs), len(model.outputs)  # trainer.fit(images, [labels, labels, labels]) trains both
    (3, 1)
    """
    check_input_shape(input_shape)
    num_classes = positive_int("num_classes", num_classes, at_least=2)
    seed = positive_int("seed", seed, at_least=0)
    width = rate("width", width)
    if width > 100:
        raise InvalidInputError(f"width must be 100 or less; got {width!r}.")
    dropout = fraction("dropout", dropout)
    learning_rate = rate("learning_rate", learning_rate)
    check_loss(loss)
    if None in input_shape or min(input_shape[:2]) < _SMALLEST_SIDE:
        raise InvalidInputError(
            f"GoogLeNet needs images of a fixed size, {_SMALLEST_SIDE} pixels a side or more; got input_shape={input_shape}."
        )
    halvings = _stem_halvings(min(input_shape[:2]))
    with seeded(seed), computing_in(precision):
        inputs = keras.Input(input_shape, dtype="float32", name="images")
        x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(inputs)
        x = _stem(x, halvings, width)
        for name, channels in _MODULES.items():
            if name in ("4a", "5a"):
                x = _halve(x, f"pool{int(name[0]) - 1}")
            x = _inception(x, [_scaled(number, width) for number in channels], f"inception{name}")
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="predictions")(x)
        model = keras.Model(inputs, outputs, name="googlenet")
    compile_classifier(model, learning_rate, loss)
    return model


def _stem_halvings(side: int) -> int:
    halvings = 0
    while halvings < 3 and side >= 2 * _STEM_SIDE:
        side //= 2
        halvings += 1
    return halvings


def _stem(x: Any, halvings: int, width: float) -> Any:
    size, step = (7, 2) if halvings == 3 else (3, 1)
    x = _convolve(x, _scaled(64, width), size, "conv1", strides=step)
    if halvings >= 2:
        x = _halve(x, "pool1")
    x = _convolve(x, _scaled(64, width), 1, "conv2_reduce")
    x = _convolve(x, _scaled(192, width), 3, "conv2")
    return _halve(x, "pool2") if halvings >= 1 else x


def _inception(x: Any, channels: list[int], name: str) -> Any:
    one, reduce3, three, reduce5, five, pooled = channels
    branches = [
        _convolve(x, one, 1, f"{name}_1x1"),
        _convolve(_convolve(x, reduce3, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        _convolve(_convolve(x, reduce5, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
        _convolve(layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x), pooled, 1, f"{name}_pool_project"),
    ]
    return layers.Concatenate(name=name)(branches)


def _convolve(x: Any, channels: int, size: int, name: str, *, strides: int = 1) -> Any:
    options = {"strides": strides, "padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(channels, size, name=name, **options)(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _halve(x: Any, name: str) -> Any:
    return layers.MaxPooling2D(3, 2, padding="same", name=name)(x)


def _scaled(channels: int, width: float) -> int:
    return max(4, round(channels * width / 4) * 4)
