"""The blocks of a backbone, from its input to its output: what is unfrozen together, and learns at one rate."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from transferkit.errors import InvalidInputError
from transferkit.models.arguments import positive_int
from transferkit.models.keras_internals import functional_graph, layer_calls

_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<stem>conv)_(?:dw|pw|pad)_(?P<number>\d+)(?=_|$)",  # MobileNet: a depthwise and a pointwise convolution make one
        r"(?:.*_)?(?<!downsampling_)(?:block|layer)_?\d+[a-z]?(?=_|$)",  # most of them
        r"expanded_conv(?:_\d+)?(?=_[a-z])",  # MobileNetV2 and V3
        r"inception\d[a-z](?=_|$)",
        r".*(?:normal|reduction|adjust)_.*?_(?P<number>(?:stem_|reduce_)?\d+)$",  # NASNet numbers its cells at the end
    )
)
_GROUPS = 12


@dataclass(frozen=True, eq=False)
class Block:
    """Layers of a backbone that belong together.

    Parameters
    ----------
    name : str
        What the layers' names have in common, or the name of one of them; ``"stem"`` for what comes before the first block.
    layers : list of keras.layers.Layer
        In the order of the backbone.
    """

    name: str
    layers: list[Any]


def find_blocks(backbone: Any) -> list[Block]:
    """Return the blocks of a backbone, from its input on; each layer is in one.

    Names tell them apart where most layers have a number of their block in theirs, as those of Keras's applications do: residual
    blocks, inverted residuals, the pairs of MobileNet, the groups of VGG. Otherwise the graph does: what lies between two places
    that everything must pass through is a block if it has branches (the modules of Inception), and without any branches each layer
    with weights begins one. Layers in between belong to the block before them.

    Parameters
    ----------
    backbone : keras.Model
        Of any kind; a nested network in it is one layer.
    """
    inner = [layer for layer in backbone.layers if not isinstance(layer, keras.layers.InputLayer)]
    named = dict.fromkeys(map(id, backbone.layers)) | {id(layer): _block_name(layer.name) for layer in inner}
    weighted = [layer for layer in backbone.layers if layer.weights]
    if 2 * sum(named[id(layer)] is not None for layer in weighted) >= max(1, len(weighted)):
        starts: Iterable[tuple[Any, str | None]] = [(layer, named[id(layer)]) for layer in backbone.layers]
    else:
        starts = _by_graph(backbone)
    groups: dict[str, list[Any]] = {}
    current = "stem"
    for layer, name in starts:
        current = name or current
        groups.setdefault(current, []).append(layer)
    blocks: list[Block] = []
    waiting: list[Any] = []
    for name, layers in groups.items():
        if not any(layer.weights for layer in layers):
            waiting += layers
            continue
        blocks.append(Block(name, waiting + layers))
        waiting = []
    if blocks:
        blocks[-1].layers.extend(waiting)
    return blocks


def _block_name(name: str) -> str | None:
    for pattern in _NAMES:
        found = pattern.match(name)
        if found is not None:
            parts = found.groupdict()
            return "_".join(filter(None, (parts.get("stem"), parts["number"]))) if "number" in parts else found[0]
    return None


def _by_graph(backbone: Any) -> Iterator[tuple[Any, str | None]]:
    """Yield each layer once, in order, with the name of the block that it begins, if it begins one."""
    segments = list(_segments(backbone))
    branching = any(len(segment) > 1 for segment in segments)
    seen: set[int] = set()
    for segment in segments:
        layers = [layer for layer in segment if id(layer) not in seen and isinstance(layer, keras.layers.Layer)]
        seen.update(map(id, layers))
        begins = len(segment) > 1 if branching else any(_has_kernel(layer) for layer in layers)
        for index, layer in enumerate(layers):
            yield layer, layers[-1].name if begins and index == 0 else None
    yield from ((layer, None) for layer in backbone.layers if id(layer) not in seen)


def _has_kernel(layer: Any) -> bool:
    return bool(layer.weights) and not isinstance(
        layer,
        keras.layers.BatchNormalization | keras.layers.LayerNormalization | keras.layers.GroupNormalization | keras.layers.Normalization,
    )  # fmt: skip


def _segments(backbone: Any) -> Iterator[list[Any]]:
    """Yield the operations between places where one tensor alone is still needed."""
    graph = functional_graph(backbone)
    if graph is None:
        yield from ([layer] for layer in backbone.layers)
        return
    calls = list(layer_calls(graph))
    last = {id(tensor): index for index, call in enumerate(calls) for tensor in call.input_tensors}
    last |= {id(tensor): len(calls) for tensor in graph.outputs}
    alive = {id(tensor) for tensor in graph.inputs}
    segment: list[Any] = []
    for index, call in enumerate(calls):
        segment.append(call.operation)
        alive |= {id(tensor) for tensor in call.outputs}
        alive = {tensor for tensor in alive if last.get(tensor, -1) > index}
        if len(alive) == 1:
            yield segment
            segment = []
    if segment:
        yield segment


def last_blocks(backbone: Any, count: Any) -> list[Any]:
    """Return the layers of the last blocks of a backbone.

    Raises
    ------
    InvalidInputError
        If `count` is no positive int, or there are fewer blocks.
    """
    count = positive_int("the number of blocks to unfreeze", count)
    blocks = find_blocks(backbone)
    if count > len(blocks) or len(blocks) < 2:
        names = ", ".join(block.name for block in blocks)
        raise InvalidInputError(
            f"{backbone.name!r} has no {count} blocks that could be told apart; there are {len(blocks)}: {names}. Give fewer, or the name of the "
            "first layer that trains."
        )
    return [layer for block in blocks[-count:] for layer in block.layers]


def rates_by_block(backbone: Any, decay: float, variables: Iterable[Any]) -> list[float]:
    """Return for each variable which part of the learning rate it learns at.

    What is not in the backbone, the head, learns at the whole rate; the last block at `decay` times that, and each block before it
    at `decay` times the rate of the one after it (Bao et al. 2022, doi:10.48550/arXiv.2106.08254, appendix). Networks of more than
    12 blocks share 12 such steps evenly, as those of 12 groups do in Liu et al. (2022, doi:10.48550/arXiv.2201.03545, appendix A).

    Parameters
    ----------
    backbone : keras.Model
        Whose blocks count.
    decay : float
        Above 0, up to 1.
    variables : iterable of keras.Variable
        Those of backbone and head.
    """
    blocks = find_blocks(backbone)
    step = min(1.0, _GROUPS / max(1, len(blocks)))
    parts = {
        id(variable): decay ** (step * (len(blocks) - index))
        for index, block in enumerate(blocks)
        for layer in block.layers
        for variable in layer.variables
    }
    return [parts.get(id(variable), 1.0) for variable in variables]
