"""A backbone, pretrained or empty, with a new head, that takes raw pixels."""

from pathlib import Path
from typing import Any

import keras
from keras import layers

from transferkit.errors import InvalidInputError
from transferkit.models._seeding import seeded
from transferkit.models.backbones import Backbone, backbone_info
from transferkit.models.freezing import set_frozen
from transferkit.models.weights import WeightsProvenance, load_pretrained


def build_transfer_model(
    backbone: Any = "mobilenet",
    pretrained: bool | str | Path = True,
    freeze: bool | str | None = None,
    *,
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    image_size: int | None = None,
    width: float | None = None,
    pooling: str = "avg",
    dropout: float = 0.2,
    learning_rate: float = 1e-3,
    batch_norm_momentum: float = 0.9,
    seed: int = 0,
) -> Any:
    """Build and compile a network on raw pixels: resize, preprocessing, backbone, pooling, dropout, softmax."""
    info = backbone_info(backbone)
    size = image_size or info.default_size
    width = (width or 1.0) if info.widths else None
    with seeded(seed):
        network = _build_network(info, size, width)
        if pretrained is False:
            provenance = WeightsProvenance(source="random", backbone=info.name, width=width, image_size=size)
        else:
            path = None if pretrained is True else Path(pretrained)
            provenance = load_pretrained(network, info, width=width, image_size=size, path=path)
        _set_momentum(network, batch_norm_momentum)
        set_frozen(network, (pretrained is not False) if freeze is None else freeze)
        inputs = keras.Input(input_shape, dtype="float32", name="images")
        x = _preprocess(inputs, size, info.preprocessing)
        x = network(x)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="predictions")(x)
        model = keras.Model(inputs, outputs, name=f"transfer_{info.name}")
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    model.provenance = provenance
    return model


def _build_network(info: Backbone, size: int, width: float | None) -> Any:
    options = {"alpha": width} if width is not None else {}
    build = getattr(keras.applications, info.keras_name)
    network = build(include_top=False, weights=None, input_shape=(size, size, 3), name="backbone", **options)
    _rename(network)
    return network


def _rename(network: Any) -> None:
    network.layers[0].name = "backbone_images"


def _set_momentum(network: Any, momentum: float) -> None:
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def _preprocess(inputs: Any, size: int, mode: str) -> Any:
    height, width_, channels = inputs.shape[1:]
    x = inputs
    if (height, width_) != (size, size):
        x = layers.Resizing(size, size, interpolation="bilinear", dtype="float32", name="resize")(x)
    if channels == 1:
        x = layers.Concatenate(dtype="float32", name="to_rgb")([x, x, x])
    if mode == "tf":
        x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(x)
    else:
        raise InvalidInputError(f"preprocessing must be one of 'tf'; got {mode!r}.")
    return x
