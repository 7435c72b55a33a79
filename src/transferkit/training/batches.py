"""Training batches whose order and augmentation depend on the seed and the epoch alone."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Labels, Split
from transferkit.features.cache import FeatureCache
from transferkit.features.store import Rows
from transferkit.training import augmentation
from transferkit.training.mixing import mix
from transferkit.training.step_counts import steps_an_epoch


class Batches(keras.utils.PyDataset):
    """Shuffled, augmented batches of a split.

    Epoch e, from 1, draws from ``default_rng([seed, e])``, so a training that was interrupted goes on as if it had not been, and no
    global random state is touched.

    Parameters
    ----------
    split : Split
        uint8 images (n, height, width, channels) and int64 labels (n,).
    batch_size : int
        Images in a step. A single image left over joins the batch before it: alone it would give BatchNorm no variance.
    augment : tuple of str
        Names of augmentations. Those that mix images need the images, so they go without `cache`.
    smoothing : float
        Share of a target that is spread over all classes.
    num_classes : int
        Number of classes.
    seed : int
        What the order is drawn from.
    first_epoch : int
        How many epochs are finished already. Batches asked for before ``fit`` begins an epoch are drawn as in epoch `first_epoch`.
    shuffle : bool, default True
        Whether the order is drawn at all.
    one_hot : bool, default False
        Whether targets are rows of `num_classes` even without smoothing, instead of class indices.
    cache : FeatureCache, optional
        Gives the features of the (augmented) images instead of the images.
    views : int, optional
        How many augmented views an image has; as many as chance makes if None.
    class_weight : ndarray, shape (num_classes,), optional
        How much the images of each class count; a batch then has a third part, the weight of each image.
    images : int, optional
        How many images an epoch takes, other ones in each; all if None.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        augment: tuple[str, ...] = (),
        smoothing: float = 0.0,
        num_classes: int,
        seed: int,
        first_epoch: int = 0,
        shuffle: bool = True,
        one_hot: bool = False,
        cache: FeatureCache | None = None,
        views: int | None = None,
        class_weight: NDArray[np.float32] | None = None,
        images: int | None = None,
    ) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._augment = tuple(name for name in augment if name not in augmentation.MIXES)
        self._mixes = tuple(name for name in augment if name in augmentation.MIXES)
        self._smoothing = smoothing
        self._num_classes = num_classes
        self._seed = seed
        self._epoch = first_epoch
        self._shuffle = shuffle
        self._one_hot = one_hot or smoothing > 0 or bool(self._mixes)
        self._cache = cache
        self._views = views
        self._class_weight = class_weight
        self._images = images
        self._begun = False
        self._draw_order()
        if cache is not None and not augment:
            self._rows = cache.locate(split.images)

    def _draw_order(self) -> None:
        count = len(self._split.labels)
        rng = np.random.default_rng([self._seed, self._epoch])
        self._order = (rng.permutation(count) if self._shuffle else np.arange(count))[: self._images]
        self._located: list[Rows] = []

    def __len__(self) -> int:
        return steps_an_epoch(len(self._order), self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        chosen = self._chosen(index)
        labels = self._split.labels[chosen]
        inputs = self._inputs(index, chosen)
        targets: Any = self._smooth(labels) if self._one_hot else labels
        weights = None if self._class_weight is None else self._class_weight[labels]
        if self._mixes:
            rng = np.random.default_rng([self._seed, self._epoch, index, 1])
            inputs, targets, weights = mix(self._mixes, inputs, targets, weights, rng)
        return (inputs, targets) if weights is None else (inputs, targets, weights)

    def _chosen(self, index: int) -> NDArray[np.int64]:
        start = index * self._batch_size
        stop = None if index == len(self) - 1 else start + self._batch_size
        return np.sort(self._order[start:stop])  # ascending, since memory maps read fastest in order

    def _inputs(self, index: int, chosen: NDArray[np.int64]) -> Any:
        if self._cache is None:
            return self._augmented(index)
        if not self._augment:
            return self._cache.take(self._rows[chosen])
        if not self._begun:  # Keras looks at the first batches to learn their shapes, and trains on others
            return self._cache.take(self._cache.locate([self._augmented(index)]))
        if index >= len(self._located):  # the first batch of an epoch: find the features of all its images
            located = self._cache.locate(self._augmented(i) for i in range(len(self)))
            ends = np.cumsum([len(self._chosen(i)) for i in range(len(self))])
            self._located = np.split(located, ends[:-1])
        return self._cache.take(self._located[index])

    def _augmented(self, index: int) -> Any:
        images = np.asarray(self._split.images[self._chosen(index)])
        if not self._augment:
            return images
        rng = np.random.default_rng([self._seed, self._epoch, index])
        return augmentation.apply(self._augment, images, rng, views=self._views)

    def _smooth(self, labels: Labels) -> NDArray[np.float32]:
        one_hot = np.eye(self._num_classes, dtype=np.float32)[labels]
        return one_hot * (1 - self._smoothing) + self._smoothing / self._num_classes

    def on_epoch_begin(self) -> None:
        """Note that batches will be trained on from now on."""
        self._begun = True

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order."""
        self._epoch += 1
        self._draw_order()
