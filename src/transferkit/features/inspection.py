"""What the layers of a trained network look for, and where they find it."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.backends import chosen_backend
from transferkit.data.checks import check_images
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.features.graph import Graph, NotAGraphError, Step, flatten, run


def conv_filters(model: Any, layer: str | None = None) -> NDArray[np.float32]:
    """Return the filters that a convolutional layer has learned.

    Parameters
    ----------
    model : keras.Model
        Functional or sequential; the models inside it are searched as well.
    layer : str, optional
        Name of a convolutional layer; the first one if None.

    Returns
    -------
    ndarray of float32, shape (rows, columns, inputs, filters)
        A copy.

    Raises
    ------
    InvalidInputError
        If the model is no graph from one input to one output, has no convolutional layer, or the layer is none.
    UnknownNameError
        If no layer has that name; the message lists close matches.

    Examples
    --------
    >>> import transferkit as tk
    >>> conv_filters(tk.build_cnn()).shape
    (5, 5, 1, 32)
    """
    steps = _open(model).steps
    if layer is None:
        found = next((step.operation for step in steps if _is_convolution(step.operation)), None)
        if found is None:
            raise InvalidInputError(f"the model {model.name!r} has no two-dimensional convolutional layer.")
    else:
        found = _find(steps, layer).operation
        if not _is_convolution(found):
            raise InvalidInputError(f"layer {layer!r} is a {type(found).__name__}, not a two-dimensional convolution.")
    return np.asarray(found.get_weights()[0], np.float32)


def layer_outputs(model: Any, images: NDArray[np.uint8], layer: str, *, batch_size: int = 64) -> NDArray[np.float32]:
    """Return what a layer puts out for images, in inference mode.

    Parameters
    ----------
    model : keras.Model
        Functional or sequential; the models inside it are searched as well.
    images : ndarray of uint8, shape (n, height, width, channels)
        Raw pixels, as the model takes them.
    layer : str
        Name of a layer.
    batch_size : int, default 64
        Images computed at once.

    Returns
    -------
    ndarray of float32, shape (n, ...)
        Feature maps of shape (n, rows, columns, channels) for a convolutional layer.

    Raises
    ------
    InvalidInputError
        If the model is no graph from one input to one output.
    DataError
        If the images are no raw uint8 pixels, or do not fit the model.
    UnknownNameError
        If no layer has that name; the message lists close matches.

    Examples
    --------
    >>> import transferkit as tk
    >>> layer_outputs(tk.build_cnn(), np.zeros((2, 28, 28, 1), np.uint8), "predictions").shape
    (2, 10)
    """
    graph = _open(model)
    step = _find(graph.steps, layer)
    pixels = check_images(images, name="images", input_shape=model.input_shape[1:])

    def compute(batch: Any) -> Any:
        # As Keras casts what a model is given: Resizing would round bytes.
        value = keras.ops.cast(batch, model.inputs[0].dtype)
        return run(_until(graph, step), value, start=0, end=step.outputs[0], training=False)

    starts = range(0, len(pixels), batch_size)
    return np.concatenate([chosen_backend().values(compute, pixels[start : start + batch_size]) for start in starts])


def excitation_map(model: Any, images: NDArray[np.uint8], layer: str, channel: int) -> NDArray[np.float32]:
    """Return which pixels excite a feature most where it responds most.

    Guided backpropagation: like the deconvolutional network of Zeiler & Fergus it follows the response back to the pixels and
    keeps, at each ReLU, only what raises it.

    Parameters
    ----------
    model : keras.Model
        Functional or sequential; the models inside it are searched as well.
    images : ndarray of uint8, shape (n, height, width, channels)
        Raw pixels, as the model takes them.
    layer : str
        Name of a layer.
    channel : int
        Which of its features.

    Returns
    -------
    ndarray of float32, shape of `images`
        How the strongest response of the feature in each image grows with each pixel; zero outside its receptive field.

    Raises
    ------
    InvalidInputError
        If the model is no graph from one input to one output, or there is no such channel.
    DataError
        If the images are no raw uint8 pixels, or do not fit the model.
    UnknownNameError
        If no layer has that name; the message lists close matches.

    References
    ----------
    .. [1] Zeiler & Fergus (2014), "Visualizing and understanding convolutional networks", section 2.1. arXiv:1311.2901
    .. [2] Springenberg et al. (2015), "Striving for simplicity: the all convolutional net", section 3.4. arXiv:1412.6806

    Examples
    --------
    >>> import transferkit as tk
    >>> image = np.full((1, 28, 28, 1), 9, np.uint8)
    >>> excitation_map(tk.build_cnn(), image, "predictions", 3).shape
    (1, 28, 28, 1)
    """
    graph = _open(model)
    step = _find(graph.steps, layer)
    channels = step.shape[-1]
    if channels is None or not 0 <= channel < channels:
        raise InvalidInputError(f"layer {layer!r} has {channels} features, so channel goes from 0; got {channel!r}.")
    pixels = check_images(images, name="images", input_shape=model.input_shape[1:]).astype(np.float32)

    def strongest(batch: Any) -> Any:
        values: dict[int, Any] = {0: batch}
        for one in _until(graph, step):
            one(values, training=False)
            if not _is_relu(one.operation):
                continue
            if isinstance(one.operation, keras.layers.ReLU | keras.layers.Activation):
                values[one.outputs[0]] = _guided_relu(values[one.inputs[0]], values[one.outputs[0]])
            else:  # a convolution with its ReLU built in
                values[one.outputs[0]] = _keep_what_raises(values[one.outputs[0]])
        responses = values[step.outputs[0]][..., channel]
        return keras.ops.max(keras.ops.reshape(responses, (len(pixels), -1)), axis=1)

    return chosen_backend().input_gradient(strongest, pixels)


@keras.ops.custom_gradient
def _keep_what_raises(value: Any) -> Any:
    def gradient(*given: Any, upstream: Any = None) -> Any:
        return keras.ops.relu(given[0] if upstream is None else upstream)

    return value * 1, gradient


@keras.ops.custom_gradient
def _guided_relu(before: Any, after: Any) -> Any:
    """Pass what raises the response wherever the ReLU is on, a ReLU6 at its ceiling included.

    The strongest responses of MobileNet lie at that ceiling, where the true derivative is zero.
    """

    def gradient(*given: Any, upstream: Any = None) -> Any:
        upstream = given[0] if upstream is None else upstream
        return keras.ops.relu(upstream) * keras.ops.cast(before > 0, upstream.dtype), keras.ops.zeros_like(after)

    return after * 1, gradient


def occlusion_map(
    model: Any, image: NDArray[np.uint8], label: int, *, size: int | None = None, stride: int | None = None
) -> NDArray[np.float32]:
    """Return how much a class loses when a part of the image is covered.

    Parameters
    ----------
    model : keras.Model
        A classifier on raw pixels with softmax output.
    image : ndarray of uint8, shape (height, width, channels)
        One image.
    label : int
        The class whose probability is watched.
    size : int, optional
        Side of the covering square in pixels; a fifth of the shorter side if None.
    stride : int, optional
        Step between squares; half of `size` if None.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Probability of the class for the whole image minus that with the square at this place, from left to right and top to
        bottom. The square has the image's mean colour.

    Raises
    ------
    InvalidInputError
        If there is no such class, or the square is not between one pixel and the image.
    DataError
        If the image is no raw uint8 pixels, or does not fit the model.

    References
    ----------
    .. [1] Zeiler & Fergus (2014), section 4.2. arXiv:1311.2901

    Examples
    --------
    >>> import transferkit as tk
    >>> occlusion_map(tk.build_cnn(), np.zeros((28, 28, 1), np.uint8), 3, size=7, stride=7).shape
    (4, 4)
    """
    pixels = check_images(np.asarray(image)[None], name="images", input_shape=model.input_shape[1:])[0]
    height, width = pixels.shape[:2]
    size = max(1, min(height, width) // 5) if size is None else size
    stride = max(1, size // 2) if stride is None else stride
    if not (1 <= size <= min(height, width) and stride >= 1):
        raise InvalidInputError(
            f"size must go from 1 to {min(height, width)}, stride from 1; got {size!r} and {stride!r}."
        )
    tops, lefts = range(0, height - size + 1, stride), range(0, width - size + 1, stride)
    covered = np.repeat(pixels[None], 1 + len(tops) * len(lefts), axis=0)
    colour = pixels.mean(axis=(0, 1)).astype(pixels.dtype)
    for place, (top, left) in enumerate(((top, left) for top in tops for left in lefts), 1):
        covered[place, top : top + size, left : left + size] = colour
    probabilities = np.asarray(model.predict(covered, verbose=0))
    if not 0 <= label < probabilities.shape[1]:
        raise InvalidInputError(f"label must go from 0 to {probabilities.shape[1] - 1}; got {label!r}.")
    drop: NDArray[np.float32] = (probabilities[0, label] - probabilities[1:, label]).astype(np.float32)
    return drop.reshape(len(tops), len(lefts))


def _open(model: Any) -> Graph:
    try:
        return flatten(model)
    except NotAGraphError as error:
        raise InvalidInputError(f"{error}; its layers cannot be looked into.") from None


def _find(steps: Sequence[Step], layer: str) -> Step:
    named = {step.operation.name: step for step in steps}
    if layer not in named:
        raise UnknownNameError("layer", layer, list(named))
    return named[layer]


def _until(graph: Graph, last: Step) -> list[Step]:
    return graph.steps[: graph.steps.index(last) + 1]


def _is_convolution(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) and bool(operation.weights)


def _is_relu(operation: Any) -> bool:
    if isinstance(operation, keras.layers.ReLU):
        return True
    return getattr(operation, "activation", None) in (keras.activations.relu, keras.activations.relu6)
