"""From raw pixels to what a backbone expects, in built-in Keras layers that any Keras loads back."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import keras
from keras import layers

from transferkit.errors import InvalidInputError
from transferkit.models.arguments import choice
from transferkit.models.backbones import Preprocessing

# As in keras.applications.imagenet_utils.preprocess_input.
_BGR_MEAN = (103.939, 116.779, 123.68)
_RGB_MEAN = (0.485, 0.456, 0.406)
_RGB_DEVIATION = (0.229, 0.224, 0.225)


class Affine(NamedTuple):
    """Pixels times a scale plus an offset, each one number or one a channel."""

    scale: float | Sequence[float]
    offset: float | Sequence[float]


def check_preprocessing(mode: object) -> None:
    """Raise `UnknownNameError` if `mode` is no preprocessing."""
    choice("preprocessing", mode, get_args(Preprocessing))


def adapt_pixels(images: Any, *, size: tuple[int, int], channels: int, mode: Preprocessing | Affine) -> Any:
    """Resize, make grey images RGB, and scale, as layers.

    Everything here computes in float32, also under a mixed-precision policy: float16 keeps pixels only to 1/8.

    Parameters
    ----------
    images : keras.KerasTensor, shape (n, height, width, channels)
        Raw pixels, 0 to 255.
    size : tuple of int
        Height and width that the backbone sees, in pixels.
    channels : int
        What the backbone takes.
    mode : {"tf", "caffe", "torch", "unit", "none"} or Affine
        See `Backbone`; ``"unit"`` is [0, 1].

    Returns
    -------
    keras.KerasTensor
        Input for the backbone.
    """
    x = images
    if tuple(x.shape[1:3]) != size:
        # Keras's default, training=True, would reach every layer after it when the model is called.
        x = layers.Resizing(*size, interpolation="bilinear", dtype="float32", name="resize")(x, training=False)
    if x.shape[-1] == 1 and channels == 3:
        x = layers.Concatenate(dtype="float32", name="to_rgb")([x, x, x])
    if x.shape[-1] != channels:
        raise InvalidInputError(
            f"the backbone takes images of {channels} channel{'s'[: channels != 1]}, "
            f"and input_shape has {x.shape[-1]}. Convert the images, or give another backbone."
        )
    return _scale(x, mode)


def _scale(x: Any, mode: Preprocessing | Affine) -> Any:
    match mode:
        case Affine(scale, offset):
            return layers.Rescaling(scale, offset, dtype="float32", name="rescaling")(x)
        case "tf":
            return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(x)
        case "unit":
            return layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(x)
        case "torch":
            x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(x)
            variance = [deviation**2 for deviation in _RGB_DEVIATION]
            return layers.Normalization(mean=_RGB_MEAN, variance=variance, dtype="float32", name="normalization")(x)
        case "caffe":
            x = keras.ops.flip(x, axis=-1)
            mean = list(_BGR_MEAN)
            return layers.Normalization(mean=mean, variance=[1.0] * 3, dtype="float32", name="normalization")(x)
        case "none":
            return x
