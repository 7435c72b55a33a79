"""The exact optimum of a softmax layer on a frozen backbone: multinomial logistic regression by L-BFGS."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from transferkit.data.dataset import Dataset
from transferkit.runs.records import PhaseRecord, ProbeRecord, Recipe
from transferkit.runs.run import Run
from transferkit.training.class_weights import describe_class_weight, weights_of_classes
from transferkit.training.compiled import unchanged_on_error
from transferkit.training.contract import Outcome
from transferkit.training.description import count_parameters, describe_model
from transferkit.training.identity import identify_network
from transferkit.training.keeping import keep
from transferkit.training.logistic import count_trials, fit_softmax, penalty_in_words, softmax_layer
from transferkit.training.options import HeadOptions, HeadRecipe, takes
from transferkit.training.record import check_data
from transferkit.training.speed import seconds_for_test
from transferkit.training.steps import check_trainable, predictor_for


@takes(HeadRecipe)
def fit_head(model: Any, data: Dataset, **options: Unpack[HeadOptions]) -> Run:
    """Fit the softmax layer on a frozen backbone exactly, instead of in gradient steps, and record everything about it.

    Multinomial logistic regression by L-BFGS (scikit-learn) on the features of the frozen layers, with the L2 penalty that has
    the best validation log-loss. The history has one row for each penalty tried; each counts as a setting tried. Up to
    1 GB the features of all training images are in memory, above that on disk.

    Parameters
    ----------
    model : keras.Model
        A compiled classifier on raw uint8 pixels that trains one softmax layer on a vector of features and nothing else, as
        `build_transfer_model` makes it.
    data : Dataset
        Images, or features from `load_features`. Its training split is fitted, its validation split chooses the penalty, its test split is measured. Without a
        validation split the penalty is fixed beforehand.
    seed : int, default 0
        Chooses the training images on which the training accuracy is measured; nothing else is random.
    name : str, optional
        What tables and plots call the run; the model's name if None.
    class_weight : "balanced" or dict, optional
        How much each class counts in the fit; see `train`. The choice of the penalty is not weighted.
    engine : {"auto", "litert", "keras", "plain"}, default "auto"
        What computes the frozen layers; see `train`. ``"plain"`` means Keras here.
    folder, save_as, tuning_trials, overwrite, verbose
        See `train`.

    Returns
    -------
    Run
        With the phase ``"logistic"``. The model's softmax layer has the weights found.

    Raises
    ------
    InvalidInputError
        If the model trains anything else, or a class has no training image.
    DataError
        If the images or classes do not fit the model.
    RunError
        If `folder` holds a finished run of that name that is another training.

    Examples
    --------
    >>> import keras
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> trained = tk.build_cnn(preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(trained.inputs, trained.get_layer("pool").output)
    >>> run = tk.fit_head(tk.build_transfer_model(backbone, freeze=True), data, verbose=False)
    >>> run.history_frame()["strength"].tolist()
    [0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    recipe = HeadRecipe(**options)
    check_trainable(model, check_data(data), engine=recipe.engine)
    softmax_layer(model)  # raises if there is none that could be fitted
    return keep(LogisticHead(model, data, recipe), recipe)


class LogisticHead:
    """One fit of a softmax layer, from the features to its outcome."""

    def __init__(self, model: Any, data: Dataset, recipe: HeadRecipe) -> None:
        self.model, self.data, self._recipe = model, data, recipe
        self.name = recipe.name or model.name
        trials = count_trials(data)
        self.recipe: Recipe = {
            "head": "logistic",
            "epochs": trials,
            "optimizer": "L-BFGS",
            "augment": [],
            "penalty": penalty_in_words(trials),
            **describe_class_weight(recipe.class_weight, data),
        }
        self.identity = identify_network(
            model, data, recipe=self.recipe, settings={}, callbacks=(), seed=recipe.seed, compiled=False
        )

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that gives the model back as it was if an exception ends it."""
        return unchanged_on_error(self.model)

    def probe(self) -> ProbeRecord | None:
        """Return None: the loss that a logistic regression minimises is no code of the model's."""
        return None

    def take_up(self, finished: Run) -> bool:
        """Give the model the weights of a finished run."""
        if finished.weights_file is None:
            return False
        self.model.load_weights(finished.weights_file)
        return True

    def fit(self, checkpoint: Path | None) -> Outcome:  # noqa: ARG002 - it takes seconds
        """Fit the layer and give it the weights found."""
        model, data, start = self.model, self.data, time.perf_counter()
        weights = weights_of_classes(self._recipe.class_weight, data)
        fitted = fit_softmax(model, data, engine=self._recipe.engine, class_weight=weights)
        network = fitted.network
        seconds = time.perf_counter() - start
        phase: PhaseRecord = {
            "name": "logistic",
            "epochs": len(fitted.history),
            "trainable_parameters": count_parameters(model.trainable_weights),
            "engine": network.engine,
            "seconds": seconds,
            "preparation_seconds": seconds - fitted.seconds,
            "validation_seconds": 0.0,
            "images": len(fitted.history) * len(data.train.labels),
            "images_per_second": len(fitted.history) * len(data.train.labels) / seconds,
        }
        if network.cache is not None:
            phase = {**phase, "features_computed": network.cache.computed}
        validates = len(data.validation.labels) > 0
        return Outcome(
            status="completed",
            history=fitted.history,
            phases=[phase],
            model_info=describe_model(model, engine=network.engine, dead=fitted.dead),
            predict=predictor_for(model, data, self._recipe.seed, engine=fitted.engine, network=network),
            selection="validation" if validates else "last",
            selected_epoch=fitted.chosen,
            trials=len(fitted.history),
            test_seconds=lambda: seconds_for_test(model, data, network=self.identity.parts["model"]["sha256"]),
        )

    def interrupted(self) -> Outcome:
        """Return nothing but that it was interrupted."""
        info = describe_model(self.model, engine="plain", dead=None)
        return Outcome("interrupted", [], [], info, None, "none")
