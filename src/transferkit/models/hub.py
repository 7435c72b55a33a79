"""Backbones of KerasHub: a preset's architecture, weights, pixels and tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import keras

from transferkit import files
from transferkit.errors import InvalidInputError, MissingDependencyError, UnknownNameError, WeightsError
from transferkit.models.keras_internals import settle_names
from transferkit.models.preprocessing import Affine
from transferkit.models.weights import WeightsProvenance, load_path

HUB: Final = "hub:"
_WEIGHTS: Final = "model.weights.h5"  # in the folder of a preset
_DEFAULT_SIZE: Final = 224
# Tokens before those of the patches: the class token, then DeiT's distillation token or DINO's registers.
_EXTRA_TOKENS: Final[Mapping[str, int]] = MappingProxyType({"DeiTBackbone": 2, "CLIPVisionEncoder": 1})


@dataclass(frozen=True, eq=False)
class HubBackbone:
    """A backbone of KerasHub, ready for a head.

    Parameters
    ----------
    network : keras.Model
        From an image to a feature map, to features, or to tokens, shape (n, tokens, features).
    provenance : WeightsProvenance
        Where its weights came from.
    size : int
        Pixels a side that it sees.
    pixels : Affine, optional
        What its image converter does to pixels; None if the preset has no converter.
    extra_tokens : int
        Tokens before those of the patches. The class token is the first; 0 if there is none.
    """

    network: Any
    provenance: WeightsProvenance
    size: int
    pixels: Affine | None
    extra_tokens: int


def load_hub(name: str, pretrained: bool | str | Path, image_size: int | None) -> HubBackbone:
    """Build the backbone of a preset of KerasHub, and load its weights.

    Parameters
    ----------
    name : str
        ``"hub:"`` and a preset's name, handle (``kaggle://``, ``hf://``) or folder.
    pretrained : bool, str or Path
        True loads the preset's weights, False starts from random ones, a path loads that file.
    image_size : int, optional
        Pixels a side; the preset's own if None.

    Returns
    -------
    HubBackbone
        Without dropout if it is pretrained.

    Raises
    ------
    MissingDependencyError
        If keras-hub is not installed.
    UnknownNameError
        If there is no such preset.
    InvalidInputError
        If it is no backbone of images, or cannot have this size.
    WeightsError
        If the weights cannot be had or do not fit.
    """
    preset = name.removeprefix(HUB)
    hub = import_hub()
    label = HUB + Path(preset).name
    whole = _from_preset(hub.models.Backbone, preset, hub, load_weights=pretrained is True)
    given = next((getattr(whole, part) for part in ("vision_encoder", "image_encoder") if hasattr(whole, part)), whole)
    _check(given, label)
    pixels, side = _read_converter(hub, preset)
    size = image_size or side or given.inputs[0].shape[1] or _DEFAULT_SIZE
    changes = _changes(given, size, silent=pretrained is not False)
    network = given
    try:
        if changes and given is whole:  # loaded anew, since some interpolate the embeddings of positions then
            network = hub.models.Backbone.from_preset(preset, load_weights=pretrained is True, **changes)
        elif changes:
            network = type(given).from_config({**given.get_config(), **changes})
            network.set_weights(given.get_weights())
    except Exception as error:
        raise InvalidInputError(
            f"{label!r} cannot see images of {size} pixels a side ({' '.join(str(error).split())[:150]}). Leave image_size out for "
            f"{given.inputs[0].shape[1]}."
        ) from error
    settle_names(network)
    network.name = "backbone"
    if isinstance(pretrained, bool):
        file = Path(preset) / _WEIGHTS
        known = pretrained and file.is_file()
        provenance = WeightsProvenance(
            source="keras-hub" if pretrained else "random",
            sha256=files.sha256_file(file) if known else None,
            backbone=label,
            resolution=side if pretrained else None,
            image_size=size,
            file=file.name if known else None,
        )
    else:
        provenance = load_path(network, pretrained, image_size=size, label=label)
    return HubBackbone(network, provenance, size, pixels, _count_extra_tokens(network))


def is_hub_backbone(name: object, module: object, registered: object) -> bool:
    """Whether a class in a saved configuration is a backbone of KerasHub: it is built from numbers, and reads no file."""
    where = re.fullmatch(r"keras_hub\.src\.models\.\w+\.\w+_(backbone|vision_encoder)", str(module))
    what = re.fullmatch(r"\w+(Backbone|VisionEncoder)", str(name))
    return bool(where and what and registered == f"keras_hub>{name}")


def import_hub() -> Any:
    """Return the package keras_hub, which registers its layers; raise `MissingDependencyError` without it."""
    try:
        import keras_hub
    except ImportError as error:
        raise MissingDependencyError(
            f"backbones of KerasHub need the package keras-hub ({error}): pip install 'transferkit[hub]'"
        ) from None
    return keras_hub


def _from_preset(kind: Any, preset: str, hub: Any, **options: Any) -> Any:
    """Load a part of a preset, or say which presets there are."""
    known = sorted(hub.layers.ImageConverter.presets)
    local = Path(preset).is_dir()
    if not local and "://" not in preset and preset not in known:
        raise UnknownNameError("preset of KerasHub, and no folder of one,", preset, known)
    if not local and files.is_offline():
        raise WeightsError(
            f"the preset {preset!r} was not asked for, since TRANSFERKIT_OFFLINE is set. Save it on another machine with "
            "keras_hub.models.Backbone.from_preset(...).save_to_preset(folder), and give 'hub:folder'."
        )
    try:
        return kind.from_preset(preset, **options)
    except Exception as error:
        raise WeightsError(
            f"KerasHub cannot load the preset {preset!r} ({type(error).__name__}: {str(error)[:300]}). Give a preset of images, "
            "with a network, or the folder that save_to_preset wrote."
        ) from error


def _check(given: Any, label: str) -> None:
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(given.output)]
    taken = [tuple(tensor.shape) for tensor in given.inputs]
    if len(taken) != 1 or len(taken[0]) != 4 or taken[0][-1] != 3:
        raise InvalidInputError(f"{label!r} takes {taken}, and not colour images alone. Give a backbone of images.")
    if len(shapes) != 1 or len(shapes[0]) not in (2, 3, 4):
        raise InvalidInputError(
            f"{label!r} makes {len(shapes)} outputs {shapes}. Choose one with keras.Model(backbone.inputs, output), and give that model "
            "as the backbone."
        )


def _read_converter(hub: Any, preset: str) -> tuple[Affine | None, int | None]:
    """Return what the image converter of a preset does to pixels, and its size; None for what is not known."""
    if Path(preset).is_dir() and not (Path(preset) / "image_converter.json").is_file():
        return None, None
    converter = _from_preset(hub.layers.ImageConverter, preset, hub)
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return Affine(scale, offset), None if converter.image_size is None else max(converter.image_size)


def _changes(given: Any, size: int, *, silent: bool) -> dict[str, Any]:
    """Return what has to be another one in a backbone's configuration, for a size and to have no dropout."""
    changes: dict[str, Any] = {}
    if silent:
        config = given.get_config()
        changes = {name: 0.0 for name, value in config.items() if "drop" in name and isinstance(value, float) and value}
    if given.inputs[0].shape[1:3] not in ((None, None), (size, size)):
        changes["image_shape"] = (size, size, 3)
    return changes


def _count_extra_tokens(network: Any) -> int:
    family = type(network).__name__
    if family == "ViTBackbone":
        return int(network.use_class_token)
    if family in ("DINOV2Backbone", "DINOV3Backbone"):
        return 1 + int(network.num_register_tokens)
    return _EXTRA_TOKENS.get(family, 0)
