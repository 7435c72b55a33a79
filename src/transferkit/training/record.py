"""What becomes of a training: measured once on the test images, and recorded as a Run."""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError, warn
from transferkit.runs.records import EnvironmentRecord
from transferkit.runs.run import Run
from transferkit.training.contract import Outcome, Training
from transferkit.training.environment import describe_environment
from transferkit.training.options import Keeping

PLANNED_SEEDS: ContextVar[Sequence[int]] = ContextVar("PLANNED_SEEDS", default=())
"""The seeds that a call declares before it trains the first of them; `repeat` sets it."""
GAP_IMAGES = 10_000  # enough for the overfit gap to half a point, and cheap


def record_run(training: Training, keeping: Keeping, outcome: Outcome) -> Run:
    """Predict test and validation images once, and return the record.

    A completed outcome whose predictions are not finite becomes a diverged one, with a warning.
    """
    data = training.data
    model_info = outcome.model_info
    if outcome.trials > 1:
        model_info = {**model_info, "settings_tried": outcome.trials}
    test = validation = np.empty((0, data.num_classes), np.float32)
    status, train_accuracy, seconds = outcome.status, None, None
    predict = outcome.predict if status == "completed" else None
    if predict is not None:
        start = time.perf_counter()
        test = predict(data.test.images)
        seconds = time.perf_counter() - start
        validation = predict(data.validation.images)
        if not (np.isfinite(test).all() and np.isfinite(validation).all()):  # the last step did it
            warn(
                f"run {training.name!r} diverged: its predictions are not finite, so it has no result. Change its settings."
            )
            status, test, validation, seconds = "diverged", test[:0], validation[:0], None
    if predict is not None and status == "completed":
        some = some_training_images(data, keeping.seed)
        train_accuracy = float(np.mean(predict(data.train.images[some]).argmax(axis=1) == data.train.labels[some]))
        seconds = outcome.test_seconds() if outcome.test_seconds is not None else seconds
    return Run(
        name=training.name,
        class_names=data.class_names,
        test_probabilities=test,
        test_labels=data.test.labels,
        validation_probabilities=validation,
        validation_labels=data.validation.labels,
        dataset=data.describe(),
        history=outcome.history,
        phases=outcome.phases,
        recipe=training.recipe,
        model_info=model_info,
        seed=keeping.seed,
        selection=outcome.selection,
        selected_epoch=outcome.selected_epoch if status == "completed" else None,
        status=status,
        tuning_trials=keeping.tuning_trials * outcome.trials,
        train_accuracy=train_accuracy,
        test_seconds=seconds,
        environment=cast("EnvironmentRecord", {**describe_environment(), **outcome.versions}),
        key=training.identity.key,
        identity=dict(training.identity.parts),
        probe=outcome.probe or {},
        notes=outcome.notes,
        plan={"seeds": list(PLANNED_SEEDS.get())} if PLANNED_SEEDS.get() else {},
        model=training.model,
    )


def some_training_images(data: Dataset, seed: int) -> NDArray[np.int64]:
    """Return the indices of up to 10,000 training images, on which the overfit gap is measured."""
    return np.sort(np.random.default_rng(seed).permutation(len(data.train.labels))[:GAP_IMAGES])


def check_data(data: Any) -> Dataset:
    """Return a dataset, or raise `InvalidInputError` if it is none."""
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be a Dataset; got {type(data).__name__}. Make one with Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    return data
