"""What ``fit`` trains: the whole model, or what comes after its frozen part, on features that were computed once."""

from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.backends import chosen_backend
from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, warn
from transferkit.features.cache import FeatureCache
from transferkit.features.loading import FeatureDataset
from transferkit.features.prefix import NoPrefixError, Prefix, find_prefix
from transferkit.models.devices import predict_batch
from transferkit.models.health import dead_features
from transferkit.models.keras_internals import share_compiled

Engine = Literal["auto", "litert", "keras", "plain"]
_TAIL = "_tail"
_HALF_ROUNDING = 0.02  # of the sum of a row of bfloat16
_HEALTH_IMAGES, _MANY_DEAD = 512, 0.5
_ENOUGH_IMAGES = 64  # of fewer, many features are the same by chance


@dataclass(frozen=True, eq=False)
class Network:
    """What ``fit`` trains, and what it is fed with.

    Parameters
    ----------
    model : keras.Model
        The whole model, or a `Tail` of it.
    cache : FeatureCache, optional
        Where the tail's inputs come from; None if the model takes images.
    engine : str
        What computes the frozen layers, for the record: ``"litert"``, ``"keras"``, or ``"plain"`` and why.
    """

    model: Any
    cache: FeatureCache | None
    engine: str

    @property
    def name(self) -> str:
        """The whole model's."""
        return str(self.model.name).removesuffix(_TAIL)

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the tail is fed with for raw images, as a memory map.

        Raises
        ------
        InvalidInputError
            If the model was left whole.
        """
        if images.dtype == np.float32:  # they are features
            return images
        if self.cache is None:
            raise InvalidInputError(f"there are no kept features of this model ({self.engine}).")
        return self.cache.array(self.cache.locate(images))

    def predict(self, images: NDArray[Any], *, batch_size: int) -> NDArray[np.float32]:
        """Return the output for raw images, shape (n, classes)."""
        inputs = images if self.cache is None else self.features(images)
        starts = range(0, len(images), batch_size)
        size = batch_size if len(images) > batch_size else None
        parts = [predict_batch(self.model, inputs[start : start + batch_size], size=size) for start in starts]
        return rounded_to_one(np.concatenate(parts))


class Tail(keras.Model):
    """What comes after the frozen part of a model, with the model's own layers: training it trains the model.

    Parameters
    ----------
    prefix : Prefix
        The frozen part.
    """

    def __init__(self, prefix: Prefix) -> None:
        super().__init__(name=f"{prefix.model.name}{_TAIL}", dtype=prefix.model.dtype_policy)
        operations = {id(step.operation): step.operation for step in prefix.rest}.values()
        # In the order in which the optimiser of the model has their variables: Keras averages weights by their places.
        place = {id(variable): number for number, variable in enumerate(prefix.model.variables)}
        self.trained_layers = sorted(
            (layer for layer in operations if isinstance(layer, keras.layers.Layer)),
            key=lambda layer: min((place[id(variable)] for variable in layer.variables), default=0),
        )
        self._finish = prefix.finish
        self._whole = (lambda: prefix.model,)  # hidden from Keras, which would count the model's weights twice
        self.frozen_digest = prefix.weights_digest
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the model's output from features."""
        return self._finish(inputs, training=training)

    def follow(self, model: Any, *, steps_at_once: int = 1) -> None:
        """Train with the optimiser, loss and metrics of the whole model, so that training this trains that.

        Parameters
        ----------
        model : keras.Model
            The whole model, compiled.
        steps_at_once : int, default 1
            How many steps run between two looks from Python, if `model` does not say.
        """
        share_compiled(self, model)
        self.steps_per_execution = max(min(steps_at_once, chosen_backend().STEPS_AT_ONCE), model.steps_per_execution)

    @property
    def history(self) -> Any:
        """The whole model's."""
        return self._whole[0]().history

    @property
    def stop_training(self) -> bool:
        """The whole model's, since that is what callbacks see."""
        return bool(self._whole[0]().stop_training)

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        if hasattr(self, "_whole"):
            self._whole[0]().stop_training = value


def rounded_to_one(answers: NDArray[Any]) -> NDArray[np.float32]:
    """Return outputs in float32; rows of half precision, whose sum is 1 up to its rounding, with the sum 1."""
    found = answers.astype(np.float32, copy=False)
    if answers.dtype.itemsize >= found.dtype.itemsize:
        return found
    sums = found.sum(axis=1, keepdims=True)
    return np.where(np.abs(sums - 1) < _HALF_ROUNDING, found / sums, found)


def _tail(prefix: Prefix) -> Tail:
    with chosen_backend().placed(prefix.model):
        return Tail(prefix)


def check_features(model: Any, data: FeatureDataset, *, engine: Engine) -> Prefix:
    """Return the frozen part that computed the features of a dataset, or raise `InvalidInputError` if the model has another one."""
    try:
        prefix = find_prefix(model)
    except NoPrefixError as error:
        raise InvalidInputError(f"the data are features of frozen layers, but {error}.") from None
    if prefix.digest != data.network["digest"]:
        raise InvalidInputError(
            f"the features of {data.name!r} are those of the frozen part of {data.network['model']!r}, and that of {model.name!r} computes "
            "something else. Train a model with the layers and weights that computed them."
        )
    if engine == "plain":
        raise InvalidInputError("engine='plain' trains on images, and the data are features. Leave it out.")
    return prefix


def choose_network(
    model: Any, images: NDArray[Any], *, engine: Engine = "auto", expected: int, prefix: Prefix | None = None
) -> Network:
    """Return the part of a model that is worth running in every epoch.

    Parameters
    ----------
    model : keras.Model
        The whole model.
    images : ndarray, shape (n, height, width, channels)
        Images of the kind that it is trained on; or features of its frozen part, float32, which `check_features` has checked.
    engine : {"auto", "litert", "keras", "plain"}
        ``"plain"`` leaves the model whole.
    expected : int
        How many images, augmented ones included, there may be.
    prefix : Prefix, optional
        The frozen part, where it was found just before.
    """
    if images.dtype == np.float32:
        return Network(_tail(prefix or find_prefix(model)), None, "features that were given")
    if engine == "plain":
        return Network(model, None, "plain")
    try:
        prefix = find_prefix(model) if prefix is None else prefix
    except NoPrefixError as error:
        return Network(model, None, f"plain: {error}")
    cache = FeatureCache(prefix, images[:8], engine=engine)
    needed, room = expected * cache.row_bytes, cache.room_bytes
    if needed > room:
        return Network(
            model, None, f"plain: kept features would take {needed / 1e9:.1f} GB, room for {room / 1e9:.1f} GB"
        )
    return Network(_tail(prefix), cache, cache.engine)


def count_dead(network: Network, data: Dataset) -> list[int] | None:
    """Count the kept features that are the same for every image; warn if most are."""
    images = (data.validation if len(data.validation.labels) else data.train).images[:_HEALTH_IMAGES]
    given = isinstance(data, FeatureDataset)
    if (network.cache is None and not given) or len(images) < 2:
        return None
    features = (
        np.asarray(images) if network.cache is None else network.cache.take(network.cache.locate(np.asarray(images)))
    )
    if features.ndim != 2:
        return None
    found = dead_features(features)
    if found.fraction > _MANY_DEAD and len(images) >= _ENOUGH_IMAGES:
        warn(
            f"{found.dead} of {found.total} features of {network.name!r} are the same for every image, so "
            "its frozen layers can say little about them. A larger image_size usually helps."
        )
    return [found.dead, found.total]
