"""A backbone, pretrained or empty, with a new head, that takes raw pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import keras
from keras import layers

from transferkit.errors import InvalidInputError, warn
from transferkit.models._seeding import seeded
from transferkit.models.arguments import (
    Loss,
    check_input_shape,
    check_loss,
    compile_classifier,
    fraction,
    positive_int,
    python_bool,
    rate,
)
from transferkit.models.backbones import Backbone, Preprocessing, backbone_info
from transferkit.models.freezing import set_frozen
from transferkit.models.hub import HUB, load_hub
from transferkit.models.keras_internals import all_layers, has_own_call, settle_names
from transferkit.models.precision import Precision, computing_in
from transferkit.models.preprocessing import Affine, adapt_pixels, check_preprocessing
from transferkit.models.program import model_program_digest
from transferkit.models.weights import WeightsProvenance, load_path, load_pretrained


def build_transfer_model(
    backbone: Any = "mobilenet",
    pretrained: bool | str | Path = True,
    freeze: bool | str | None = None,
    *,
    num_classes: int = 10,
    input_shape: tuple[int | None, int | None, int] = (28, 28, 1),
    image_size: int | None = None,
    width: float | None = None,
    preprocessing: Preprocessing | None = None,
    pooling: Literal["avg", "max", "token"] | None = None,
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.9,
    learning_rate: float = 1e-3,
    loss: Loss = "crossentropy",
    seed: int = 0,
    precision: Precision | None = None,
) -> keras.Model:
    """Build and compile a classifier on raw pixels from a backbone and a new head.

    Resizing, grey to RGB and the backbone's own preprocessing are built-in layers inside the model, so that ``fit``,
    ``predict``, a saved ``.keras`` file and an exported model all take the images as they are. Layer names: ``images``,
    ``resize``, ``to_rgb``, ``backbone``, ``pool``, ``dropout``, ``predictions``.

    Parameters
    ----------
    backbone : str or keras.Model, default "mobilenet"
        A name from `list_backbones`; ``"hub:"`` and a preset of KerasHub (see Notes); or any model without a head: one image
        in, a feature map (4-D) or features (2-D) out. A functional or sequential one is copied, so that yours stays as it is.
    pretrained : bool, str or Path, default True
        True loads ImageNet weights (see Notes), False starts from random ones, a path loads that file: ``.h5``,
        ``.weights.h5`` or ``.keras`` of the same architecture. For a model of your own, True and False only say whether
        its weights are worth freezing; they are kept.
    freeze : bool or str, optional
        True freezes the whole backbone, False nothing, the name of a layer or block everything up to it and including
        it. None freezes it if it is pretrained. Frozen layers run in inference mode; all others train, batch
        normalisation too.
    num_classes : int, default 10
        Classes to tell apart; labels are integers from 0.
    input_shape : tuple of int, default (28, 28, 1)
        Height, width and channels (1 or 3) of the images. Height and width may be None where images are resized.
    image_size : int, optional
        Pixels a side that the backbone sees. None takes the backbone's default: the smallest round number with a last
        feature map of 2x2 pixels or more, 64 for most. A model of your own keeps its own size.
    width : float, optional
        Width multiplier of the MobileNets (Keras's ``alpha``); 1.0 if None.
    preprocessing : {"tf", "caffe", "torch", "unit", "none"}, optional
        What the backbone expects: [-1, 1], BGR minus mean, ImageNet mean and deviation, [0, 1], raw pixels. None takes
        what its family was trained with. A model of your own needs it, unless it begins with a rescaling or normalising
        layer.
    pooling : {"avg", "max", "token"}, optional
        How the last feature map, or the tokens of a transformer, become features: their mean or maximum (over the tokens of
        patches), or the class token. None takes the class token where there is one, otherwise the mean.
    dropout : float, default 0.2
        Fraction of features dropped while training the head.
    batch_norm_momentum : float, default 0.9
        How much of the running statistics each training step keeps. Keras's own 0.99 to 0.9997 need thousands of steps:
        at 0.999, 55% of the initial statistics are left after 590 steps, and the model looks broken at test time.
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
        ``dtype_policy`` if None, and for ``"auto"`` on a CPU. A run records it. The layers of a model of your own keep
        what they have.

    Returns
    -------
    keras.Model
        Functional, compiled with AdamW, the loss (``SparseCategoricalCrossentropy``) and ``accuracy``; softmax in float32. Its
        attribute ``provenance`` says where the weights came from.

    Raises
    ------
    InvalidInputError
        If an argument is wrong, `image_size` is below the network's minimum, or the model given has a head.
    UnknownNameError
        If the backbone, the preprocessing, the loss or the layer to freeze up to is unknown; the message lists close matches.
    WeightsError
        If the pretrained weights cannot be had or do not fit; the message lists what was tried, and the cures.
    MissingDependencyError
        If a backbone of KerasHub is asked for and keras-hub is not installed.

    Warns
    -----
    TransferKitWarning
        If the last feature map is a single pixel.

    See Also
    --------
    transferkit.list_backbones : The names.
    transferkit.unfreeze : Let the backbone train.
    transferkit.fine_tune : Train the head first, then the rest.

    Notes
    -----
    ImageNet weights come from Keras's cache, the ``offline`` extra (``mobilenet`` of width 1 only), or
    Keras's download address, in this order, and from the file trained nearest to `image_size`.

    ``"hub:vit_base_patch16_224_imagenet"`` builds the backbone of a preset of KerasHub (extra ``hub``), by its name, its handle
    (``hub:hf://...``) or its folder (``hub:path/to/preset``). Size, scale and offset of pixels are those of the preset's image
    converter; a preset that was saved without one needs `preprocessing`. Resizing is bilinear, as for every backbone. ViT, DeiT, CLIP and
    DINOv2 and 3 give their class token, which is what their heads and linear probes were trained on (Dosovitskiy et al. 2020,
    arXiv:2010.11929; Oquab et al. 2023, arXiv:2304.07193); SigLIP pools by an attention layer of its own; Swin, which has no class
    token, gives the mean.

    Noise inside a backbone (the stochastic depth of EfficientNet) is switched off if it is pretrained: a frozen network
    then says the same of an image each time.

    Examples
    --------
    >>> import transferkit as tk
    >>> model = tk.build_transfer_model("mobilenet")
    >>> [layer.name for layer in model.layers if layer.weights]
    ['backbone', 'predictions']
    >>> scratch = tk.build_transfer_model("mobilenet", pretrained=False)
    >>> scratch.provenance.source
    'random'
    """
    pretrained = python_bool(pretrained)
    if not isinstance(pretrained, (bool, str, Path)):
        raise InvalidInputError(f"pretrained must be True, False or the path of a file of weights; got {pretrained!r}.")
    if pooling is not None and str(pooling) not in ("avg", "max", "token"):
        raise InvalidInputError(f"pooling must be 'avg', 'max', 'token' or None; got {pooling!r}.")
    check_input_shape(input_shape)
    num_classes = positive_int("num_classes", num_classes, at_least=2)
    seed = positive_int("seed", seed, at_least=0)
    dropout = fraction("dropout", dropout)
    learning_rate = rate("learning_rate", learning_rate)
    check_loss(loss)
    batch_norm_momentum = fraction("batch_norm_momentum", batch_norm_momentum)
    if preprocessing is not None:
        check_preprocessing(preprocessing)
    if image_size is not None:
        image_size = positive_int("image_size", image_size)
    extra_tokens = 0
    mode: Preprocessing | Affine
    with seeded(seed), computing_in(precision):
        if isinstance(backbone, str) and backbone.startswith(HUB):
            _refuse_width(width)
            found = load_hub(backbone, pretrained, image_size)
            network, provenance, extra_tokens = found.network, found.provenance, found.extra_tokens
            size = (found.size, found.size)
            mode = preprocessing or found.pixels or _guess_preprocessing(network, backbone)
        elif isinstance(backbone, keras.Model):
            network, provenance, size = _adopt(backbone, pretrained, input_shape, image_size, width)
            mode = preprocessing or _guess_preprocessing(network, provenance.backbone)
        else:
            info = backbone_info(backbone)
            network, provenance = _build(info, pretrained, image_size or info.default_size, width)
            size = (provenance.image_size, provenance.image_size)
            mode = preprocessing or info.preprocessing
        if pretrained is not False:
            _silence(network)
        _set_momentum(network, batch_norm_momentum)
        set_frozen(network, pretrained is not False if freeze is None else freeze)
        inputs = keras.Input(input_shape, dtype="float32", name="images")
        pixels = adapt_pixels(inputs, size=size, channels=network.inputs[0].shape[-1], mode=mode)
        features = network(keras.tree.map_structure(lambda _: pixels, network.input))
        x = _pool(features, pooling, extra_tokens)
        x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="predictions")(x)
        name = provenance.backbone.removeprefix(HUB)
        model = keras.Model(inputs, outputs, name=f"transfer_{name}")
    settle_names(model)
    _warn_if_small(tuple(features.shape), provenance, size)
    compile_classifier(model, learning_rate, loss)
    model.provenance = provenance
    return model


def _pool(x: Any, pooling: str | None, extra_tokens: int) -> Any:
    if pooling == "token" and not extra_tokens:
        raise InvalidInputError("pooling='token' needs a backbone with a class token. Leave pooling out.")
    if len(x.shape) == 2:
        return layers.Identity(name="pool")(x)
    if len(x.shape) == 4:
        pool = layers.GlobalMaxPooling2D if pooling == "max" else layers.GlobalAveragePooling2D
        return pool(name="pool")(x)
    if extra_tokens and pooling in (None, "token"):
        x = layers.Cropping1D((0, x.shape[1] - 1), name="class_token")(x)
    elif extra_tokens:
        x = layers.Cropping1D((extra_tokens, 0), name="patch_tokens")(x)
    pool = layers.GlobalMaxPooling1D if pooling == "max" else layers.GlobalAveragePooling1D
    return pool(name="pool")(x)


def _refuse_width(width: float | None) -> None:
    if width is not None:
        raise InvalidInputError(
            "width is for the MobileNets of list_backbones; another model has the width that it was built with."
        )


def _build(
    info: Backbone, pretrained: bool | str | Path, size: int, width: float | None
) -> tuple[Any, WeightsProvenance]:
    """Build a registered backbone and load its weights."""
    if size < info.minimum_size:
        raise InvalidInputError(
            f"{info.name!r} needs images of {info.minimum_size} pixels a side or more; got image_size={size}. "
            f"Leave image_size out for {info.default_size}."
        )
    if width is not None and not info.widths:
        raise InvalidInputError(f"{info.name!r} has no width multiplier; got width={width!r}. Leave it out.")
    multiplier = (1.0 if width is None else float(width)) if info.widths else None
    if multiplier is not None and not 0 < multiplier < 100:
        raise InvalidInputError(f"width must be above 0; got {width!r}.")
    if pretrained is True:
        info.weight_files(width=multiplier, image_size=size)  # refuses a width without weights before any work
    options = {} if multiplier is None else {"alpha": multiplier}
    network = getattr(keras.applications, info.keras_name)(
        include_top=False, weights=None, input_shape=(size, size, 3), **options
    )
    settle_names(network, inner=True)
    network.name = "backbone"  # not as an argument: EfficientNetV2 and ConvNeXt look up their settings by the name
    if pretrained is True:
        provenance = load_pretrained(network, info, width=multiplier, image_size=size)
    elif pretrained is False:
        provenance = WeightsProvenance(source="random", backbone=info.name, width=multiplier, image_size=size)
    else:
        provenance = load_path(network, pretrained, backbone=info, width=multiplier, image_size=size)
    return network, provenance


def _adopt(
    given: Any,
    pretrained: bool | str | Path,
    input_shape: tuple[int | None, int | None, int],
    image_size: int | None,
    width: float | None,
) -> tuple[Any, WeightsProvenance, tuple[int, int]]:
    """Copy a user's model as the backbone, and find the size of image that it sees."""
    _refuse_width(width)
    _check_headless(given)
    network = _copy(given)
    network.name = "backbone"
    height, across = given.input_shape[1:3]
    if None not in (height, across):
        if image_size is not None and (height, across) != (image_size, image_size):
            raise InvalidInputError(
                f"the backbone {given.name!r} takes images of {height}x{across} pixels; got image_size={image_size}. "
                "Leave image_size out, or build it with input_shape=(None, None, 3)."
            )
    else:
        height, across = input_shape[:2] if image_size is None else (image_size, image_size)
        if None in (height, across):
            raise InvalidInputError("image_size is needed where neither the backbone nor input_shape says a size.")
    size = max(height, across)
    if isinstance(pretrained, bool):
        provenance = WeightsProvenance(source="user-model", backbone=given.name, image_size=size)
    else:
        provenance = replace(load_path(network, pretrained, image_size=size), backbone=given.name)
    return network, provenance, (height, across)


def _copy(given: Any) -> Any:
    """Copy a user's model, from its configuration and weights, as one that takes and gives a tensor, not a list of one."""
    network = keras.models.clone_model(given)
    network.set_weights(given.get_weights())
    if model_program_digest(network, training=True) != model_program_digest(given, training=True):
        raise InvalidInputError(
            f"the backbone {given.name!r} holds what its get_config() does not tell, such as an attribute that was changed, so a copy of it "
            "is another model. Build the classifier around it by hand, with keras.Model, and train that."
        )
    if has_own_call(network):
        return network
    return keras.Model(network.inputs[0], network.outputs[0])


def _check_headless(given: Any) -> None:
    name = given.name
    if not (getattr(given, "inputs", None) and getattr(given, "outputs", None)):
        raise InvalidInputError(
            f"the backbone {name!r} is no built functional or sequential model, so it cannot be copied, frozen in part or "
            "saved as plain layers. Build it with keras.Model(inputs, outputs)."
        )
    if len(given.inputs) != 1 or len(given.outputs) != 1:
        raise InvalidInputError(
            f"the backbone {name!r} must have one input and one output; it has {len(given.inputs)} and "
            f"{len(given.outputs)}."
        )
    taken, made = tuple(given.inputs[0].shape), tuple(given.outputs[0].shape)
    if len(taken) != 4 or taken[-1] not in (1, 3):
        raise InvalidInputError(f"the backbone {name!r} must take images (n, height, width, 1 or 3); it takes {taken}.")
    if len(made) not in (2, 4) or made[-1] is None:
        raise InvalidInputError(
            f"the backbone {name!r} must make a feature map (n, height, width, features) or features (n, features); "
            f"it makes {made}. Pool its output first."
        )
    last = given.layers[-1]
    function = getattr(getattr(last, "activation", None), "__name__", "")
    if len(made) == 2 and (function == "softmax" or isinstance(last, layers.Softmax) or last.name == "predictions"):
        raise InvalidInputError(
            f"the backbone {name!r} has a head ({last.name!r}, {made[-1]} classes). Build it with include_top=False, or "
            f"pass keras.Model(model.input, model.layers[-2].output)."
        )


def _guess_preprocessing(network: Any, name: str) -> Preprocessing:
    first = [layer for layer in network.layers if not isinstance(layer, layers.InputLayer)][:2]
    if any(isinstance(layer, (layers.Rescaling, layers.Normalization)) for layer in first):
        return "none"
    modes = ", ".join(map(repr, get_args(Preprocessing)))
    raise InvalidInputError(f"what pixels does the backbone {name!r} expect? Pass preprocessing= one of {modes}.")


def _silence(network: Any) -> None:
    for layer in all_layers(network):
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0


def _set_momentum(network: Any, momentum: float) -> None:
    for layer in all_layers(network):
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def _warn_if_small(shape: tuple[int | None, ...], provenance: WeightsProvenance, size: tuple[int, int]) -> None:
    if len(shape) != 4 or min(side or 2 for side in shape[1:3]) >= 2:
        return
    warn(
        f"at {size[0]}x{size[1]} pixels the last feature map of {provenance.backbone!r} is {shape[1]}x{shape[2]}. "
        "ImageNet's MobileNet has 92% of its features constant there, and 47.7% accuracy on Fashion-MNIST where 64 "
        "pixels reach 83.3% (frozen). Use a larger image_size."
    )
