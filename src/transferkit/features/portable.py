"""The frozen part of a model in a form that travels to other processes and machines."""

import json
import tempfile
import threading
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.errors import DataError, InvalidInputError
from transferkit.features.litert import BATCH_SIZE, Compute, litert_engine

if TYPE_CHECKING:
    from transferkit.features.prefix import Prefix

_SAMPLE_IMAGES: Final = 8
_OPENED: dict[tuple[str, str], Compute] = {}
_LOCK = threading.Lock()  # an interpreter runs one batch at a time, and a worker may have several threads


@dataclass(frozen=True, eq=False)
class PortableNetwork:
    """The frozen part of a model: what it computes, and how to run it elsewhere.

    With LiteRT a process that runs it imports neither Keras nor TensorFlow.

    Parameters
    ----------
    engine : {"litert", "keras"}
        What runs it.
    content : bytes
        The converted layers, or the whole model in Keras's own format.
    digest : str
        SHA-256 of the program with all its weights.
    versions : str
        What, besides the program, determines its output.
    model : str
        The model's name.
    image_shape, shape : tuple of int
        Of one image, and of its features.
    """

    engine: Literal["litert", "keras"]
    content: bytes
    digest: str
    versions: str
    model: str
    image_shape: tuple[int, int, int]
    shape: tuple[int, ...]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of uint8 images, shape (n, ...); the same for an image whatever it comes with."""
        rest = -len(images) % BATCH_SIZE
        whole = np.concatenate([images, np.zeros((rest, *images.shape[1:]), np.uint8)]) if rest else images
        with _LOCK:
            key = self.digest, self.engine
            if key not in _OPENED:
                _OPENED[key] = self._open()
            return _OPENED[key](whole)[: len(images)]

    def describe(self) -> dict[str, Any]:
        """Return all but the content, as plain values."""
        return {name: value for name, value in _plain(self).items() if name != "content"}

    def write(self, file: Path) -> None:
        """Write it into a sealed file."""
        header = json.dumps(self.describe()).encode()
        content = len(header).to_bytes(8, "little") + header + self.content
        files.write_sealed(file, content, what="the network that computes features")

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return what `write` wrote.

        Raises
        ------
        DataError
            If it is damaged.
        OSError
            If it is not there.
        """
        content = files.read_sealed(file)
        end = 8 + int.from_bytes(content[:8], "little")
        facts = json.loads(content[8:end])
        facts |= {name: tuple(facts[name]) for name in ("image_shape", "shape")}
        return cls(content=content[end:], **facts)

    def _open(self) -> Compute:
        if self.engine == "litert":
            here = version_of_litert()
            if self.versions.partition(", ")[0] != here:
                raise InvalidInputError(
                    f"this machine has {here}, but the features are those of {self.versions}. Install the same version on all machines."
                )
            return litert_engine(self.content)
        return _open_keras(self)


def _plain(network: PortableNetwork) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(network).items()}


def version_of_litert() -> str:
    """Return the version of LiteRT on this machine."""
    return f"ai-edge-litert {version('ai-edge-litert')}"


def _open_keras(network: PortableNetwork) -> Compute:
    import keras

    from transferkit.features.engine import engine_version, keras_engine
    from transferkit.features.prefix import find_prefix
    from transferkit.features.threads import limit_threads

    if engine_version("keras") != network.versions:
        raise InvalidInputError(
            f"this machine has {engine_version('keras')}, but the features are those of {network.versions}. Install the same "
            "versions on all machines."
        )
    limit_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        file.write_bytes(network.content)
        prefix = find_prefix(keras.models.load_model(file, compile=False))
    if prefix.digest != network.digest:
        raise DataError(f"the layers of {network.model!r} compute something else on this machine.")
    return keras_engine(prefix)


def pack_network(prefix: "Prefix", *, engine: Any = "auto") -> PortableNetwork:
    """Return the frozen part of a model, ready to travel.

    Parameters
    ----------
    prefix : Prefix
        Of a model that takes uint8 images of one size.
    engine : {"auto", "litert", "keras"}
        What runs it; ``"auto"`` is LiteRT where this machine has no accelerator.

    Raises
    ------
    InvalidInputError
        If the model takes images of any size.
    """
    from transferkit.features.engine import choose_engine, convert_checked, engine_version, live_values

    model = prefix.model
    image_shape = tuple(model.input_shape[1:])
    if None in image_shape or len(image_shape) != 3 or image_shape[2] not in (1, 3):
        raise InvalidInputError(
            f"the model {model.name!r} takes images of shape {image_shape}; image files need a fixed height and width, and 1 or 3 "
            "channels. Build it with input_shape=(height, width, 3)."
        )
    images = np.random.default_rng(0).integers(0, 256, (_SAMPLE_IMAGES, *image_shape), np.uint8)
    expected = live_values(prefix, images)
    chosen, content = choose_engine(engine), None
    if chosen == "litert" and prefix.compute_dtype == "float32":
        content = convert_checked(prefix, images, expected)
    if content is None:
        chosen = "keras"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "model.keras")
            model.save(file)
            content = file.read_bytes()
    return PortableNetwork(
        chosen, content, prefix.digest, engine_version(chosen), model.name, image_shape, tuple(expected.shape[1:])
    )
