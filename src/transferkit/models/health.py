"""Whether a backbone has anything to say about the images that it is given."""

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data.checks import check_images
from transferkit.errors import InvalidInputError
from transferkit.models.arguments import positive_int


class DeadFeatures(NamedTuple):
    """How many features are the same for every image.

    Parameters
    ----------
    dead : int
        Number of constant features.
    total : int
        Number of features.

    Examples
    --------
    >>> DeadFeatures(dead=942, total=1024).fraction
    0.919921875
    """

    dead: int
    total: int

    @property
    def fraction(self) -> float:
        """Constant features as a fraction of all, 0 to 1."""
        return self.dead / self.total


def count_dead_features(model: Any, images: NDArray[np.uint8], *, batch_size: int = 64) -> DeadFeatures:
    """Count the pooled features that are the same for every image.

    Such a feature tells nothing to the head. ImageNet's MobileNet has 92% of them on Fashion-MNIST at 60 pixels and
    below, and most features alive at 64.

    Parameters
    ----------
    model : keras.Model
        With a layer named ``pool``, as `transferkit.build_transfer_model` makes it.
    images : ndarray of uint8, shape (n, height, width, channels)
        Two images or more; some hundred of all classes are enough.
    batch_size : int, default 64
        Images computed at once.

    Returns
    -------
    DeadFeatures
        ``dead``, ``total`` and ``fraction``.

    Raises
    ------
    InvalidInputError
        If the model has no layer ``pool``, or there are fewer than two images.
    DataError
        If the images are no raw uint8 pixels, or do not fit the model.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> found = tk.count_dead_features(tk.build_transfer_model("mobilenet"), data.train.images)
    >>> found.total
    1024
    >>> found.fraction < 0.5  # at 64 pixels; with image_size=60 it is 0.92
    True
    """
    batch_size = positive_int("batch_size", batch_size)
    names = [layer.name for layer in getattr(model, "layers", ())]
    if "pool" not in names:
        raise InvalidInputError(
            f"the model {getattr(model, 'name', model)!r} has no layer named 'pool' whose features could be counted."
        )
    pixels = check_images(images, name="images", input_shape=model.input_shape[1:])
    if len(pixels) < 2:
        raise InvalidInputError("images must be two or more; one image alone cannot show which features never change.")
    features = keras.Model(model.inputs, model.get_layer("pool").output).predict(
        pixels, batch_size=batch_size, verbose=0
    )
    return dead_features(features)


def dead_features(features: ArrayLike) -> DeadFeatures:
    """Count the columns of a feature table that hold one value only.

    Parameters
    ----------
    features : array_like of float, shape (n, features)
        One row for each image.

    Returns
    -------
    DeadFeatures
        ``dead``, ``total`` and ``fraction``.

    Examples
    --------
    >>> from transferkit.models.health import dead_features
    >>> dead_features([[0.0, 1.0], [0.0, 2.0]]).fraction
    0.5
    """
    table = np.asarray(features, dtype=np.float64)
    spread = np.ptp(table, axis=0)
    # Float32 rounding differs with an image's place in its batch.
    constant = spread <= 1e-6 * np.maximum(1.0, np.abs(table).max(axis=0))
    return DeadFeatures(int(constant.sum()), int(table.shape[1]))
