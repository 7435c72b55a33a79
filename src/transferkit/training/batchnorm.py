"""BatchNorm statistics that belong to the weights they are used with ("precise BN").

In training, BatchNorm uses each batch's own statistics; afterwards it uses a moving average, which mixes in those of weights
long gone. After few or large steps that average is so wrong that a good network predicts at chance. Wu & Johnson (2021,
doi:10.48550/arXiv.2105.07576, section 3) estimate it again with the weights as they are; so does this module.
"""

from typing import Any

import keras
import numpy as np

from transferkit.backends import chosen_backend
from transferkit.models.keras_internals import all_layers, inner_optimizer

STATISTICS_IMAGES = 1024  # the paper finds about a thousand enough


def has_batchnorm(model: Any) -> bool:
    """Whether any layer of the model is a BatchNormalization."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in all_layers(model))


def trains_batchnorm(network: Any) -> bool:
    """Whether any BatchNormalization of the network trains."""
    return bool(_training_layers(network))


def _training_layers(network: Any) -> list[Any]:
    return [
        layer for layer in all_layers(network) if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


class BatchNormStatistics(keras.callbacks.Callback):
    """Estimate the statistics of the BatchNorm layers that train from training batches.

    Before each validation, or, when there is none, at the end of each epoch, and of a training that ends with the average of its weights.
    How the weights train is not changed by it.

    Parameters
    ----------
    network : keras.Model
        What is trained.
    batches : PyDataset
        The training batches; the first ones, of `STATISTICS_IMAGES` images together, are used.
    batch_size : int
        Images in a batch.
    validates : bool
        Whether the training validates.
    """

    def __init__(self, network: Any, batches: Any, *, batch_size: int, validates: bool) -> None:
        super().__init__()
        count = min(len(batches), -(-STATISTICS_IMAGES // batch_size))
        self._inputs = [batches[index][0] for index in range(count)]
        self._network = network
        self._validates = validates
        self._layers = _training_layers(network)
        self._forward: Any = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Estimate before validation."""
        self._estimate()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Estimate when there is no validation."""
        if not self._validates:
            self._estimate()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Estimate for averaged weights, which Keras puts in place before this, when there is no validation."""
        if not self._validates and inner_optimizer(self.model.optimizer).use_ema:
            self._estimate()

    def _estimate(self) -> None:
        averages = [(layer.moving_mean, layer.moving_variance) for layer in self._layers]
        means = [np.zeros(mean.shape) for mean, _ in averages]
        squares = [np.zeros(mean.shape) for mean, _ in averages]
        for inputs in self._inputs:
            self._run(inputs)
            for index, (mean, variance) in enumerate(averages):
                batch_mean = keras.ops.convert_to_numpy(mean).astype(np.float64)
                means[index] += batch_mean / len(self._inputs)
                squares[index] += (keras.ops.convert_to_numpy(variance).astype(np.float64) + batch_mean**2) / len(
                    self._inputs
                )
        for (mean, variance), first, second in zip(averages, means, squares, strict=True):
            mean.assign(first)
            variance.assign(np.maximum(second - first**2, 0.0))

    def _run(self, inputs: Any) -> None:
        """Run one batch in training mode; afterwards the moving averages are that batch's own statistics."""
        if self._forward is None:
            self._forward = chosen_backend().updating(self._network)
        momenta = [layer.momentum for layer in self._layers]
        try:
            for layer in self._layers:
                layer.momentum = 0.0
            self._forward(inputs)
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.momentum = momentum
