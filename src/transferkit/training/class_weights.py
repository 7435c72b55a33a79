"""How much the images of each class count while a model learns."""

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.runs.records import Recipe

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float] | None


def check_class_weight(given: Any) -> ClassWeight:
    """Return weights of classes as they were given, with Python floats; raise `InvalidInputError` if they are none."""
    if given is None:
        return None
    if isinstance(given, str) and given == "balanced":
        return "balanced"
    if not isinstance(given, Mapping):
        raise InvalidInputError(
            f"class_weight must be 'balanced' or a dict of class names or indices to numbers; got {given!r:.80}."
        )
    weights = {}
    for name, value in given.items():
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise InvalidInputError(
                f"the weight of class {name!r} must be a finite number of at least 0; got {value!r}."
            )
        weights[name] = float(value)
    return weights


def weights_of_classes(given: ClassWeight, data: Dataset) -> NDArray[np.float32] | None:
    """Return one weight a class, in the order of the classes.

    Parameters
    ----------
    given : {"balanced"}, mapping or None
        ``"balanced"`` is n / (classes with images * images of the class), as scikit-learn does (King & Zeng 2001). Keys of a
        mapping are class names or indices; classes left out count 1.
    data : Dataset
        Whose training labels are counted.

    Returns
    -------
    ndarray of float32, shape (classes,), or None
        None if nothing is weighted.

    Raises
    ------
    UnknownNameError
        If the data have no class of a name.
    InvalidInputError
        If an index is out of range, a class is given twice, or no class with images counts.
    """
    if given is None:
        return None
    counts = np.bincount(data.train.labels, minlength=data.num_classes)
    weights = np.ones(data.num_classes, np.float32)
    if isinstance(given, str):
        present = counts > 0
        weights[present] = counts.sum() / (present.sum() * counts[present])
        return weights
    seen: set[int] = set()
    for name, weight in given.items():
        index = _index_of(name, data)
        if index in seen:
            raise InvalidInputError(
                f"class_weight gives the class {data.class_names[index]!r} twice, by name and by index."
            )
        seen.add(index)
        weights[index] = weight
    if not weights[counts > 0].any():
        raise InvalidInputError(
            "class_weight is 0 for every class that has training images, so nothing could be learned."
        )
    return weights


def describe_class_weight(given: ClassWeight, data: Dataset) -> Recipe:
    """Return what a record says: nothing without weights, ``"balanced"``, or each class's weight by name."""
    weights = weights_of_classes(given, data)
    if weights is None:
        return {}
    if isinstance(given, str):
        return {"class_weight": given}
    return {"class_weight": {name: float(weight) for name, weight in zip(data.class_names, weights, strict=True)}}


def _index_of(name: Any, data: Dataset) -> int:
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        if not 0 <= name < data.num_classes:
            raise InvalidInputError(
                f"class_weight has the index {name}, but there are {data.num_classes} classes, from 0."
            )
        return int(name)
    if name not in data.class_names:
        raise UnknownNameError("class", name, data.class_names)
    return data.class_names.index(name)
