"""Fit a scikit-learn classifier on a dataset and record it as a Run, as the training of a network is recorded."""

import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import rich
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.dataset import Dataset
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, warn
from transferkit.models.arguments import positive_int
from transferkit.runs.run import Run
from transferkit.runs.storage import check_replaceable
from transferkit.training.environment import describe_environment
from transferkit.training.estimators import (
    describe_estimator,
    describe_settings,
    final_estimator,
    name_of,
    package_of,
    parameter_names,
)
from transferkit.training.finished import beside, find_finished, run_folder
from transferkit.training.identity import classifier_key

_GAP_IMAGES = 10_000  # as for networks
_PIECE = 10_000  # images that are predicted at once, since pipelines copy them as floats
_LOCK_SECONDS = 86_400.0
_BY_DESIGN = "Stochastic Optimizer: Maximum iterations"  # a fixed number of passes is a choice, not a failure


def is_classifier(model: Any) -> bool:
    """Whether `model` is an object with scikit-learn's interface, fitted or not."""
    return not isinstance(model, type | keras.Model) and all(
        hasattr(model, name) for name in ("fit", "get_params", "set_params")
    )


def fit_classifier(
    classifier: Any,
    data: Dataset,
    *,
    seed: int,
    name: str | None,
    folder: str | Path | None,
    save_as: str | None,
    tuning_trials: int,
    overwrite: bool,
    verbose: bool,
) -> Run:
    """Fit `classifier` on the training split and return the record; see `transferkit.train`."""
    if not isinstance(data, Dataset):
        raise InvalidInputError(
            f"data must be a Dataset; got {type(data).__name__}. Make one with Dataset.from_arrays(train=(x, y), test=(x, y))."
        )
    seed = check_seed(seed)
    positive_int("tuning_trials", tuning_trials)
    _check_classifier(classifier)
    classifier.set_params(**dict.fromkeys(parameter_names(classifier, "random_state"), seed))
    label = name or name_of(classifier)
    structure, recipe = describe_estimator(classifier), describe_settings(classifier)
    key = classifier_key(structure, fingerprint=data.fingerprint, seed=seed)
    place = None if folder is None else run_folder(folder, save_as or label)
    guard = nullcontext() if place is None else files.lock(beside(place, ""), timeout_seconds=_LOCK_SECONDS)
    with guard:
        if place is not None and not overwrite:
            finished = find_finished(place, key=key, recipe=recipe, seed=seed)
            if finished is not None:
                _say(f"{label}: finished run found in {place}", verbose)
                return finished
        if place is not None:
            check_replaceable(place, replace=True)  # before the fit, not after it
        _say(f"{label}: fitting {len(data.train.labels):,} images ...", verbose)
        run = _fit(
            classifier, data, seed=seed, name=label, structure=structure, recipe=recipe, key=key, trials=tuning_trials
        )
        if place is not None:
            run.save(place, replace=True)
            object.__setattr__(run, "path", place)
    _say(f"{label}: {run.train_seconds:.1f} s", verbose)
    return run


def _check_classifier(classifier: Any) -> None:
    if not hasattr(classifier, "predict_proba"):
        raise InvalidInputError(
            f"{type(classifier).__name__} gives no probabilities (it has no predict_proba), which a run records. "
            "Wrap it in sklearn.calibration.CalibratedClassifierCV(..., ensemble=False)."
        )
    warm = [name for name in parameter_names(classifier, "warm_start") if classifier.get_params()[name]]
    if warm:
        raise InvalidInputError(
            f"{warm[0]}=True would go on from an earlier fit, which no record could tell. Set it to False."
        )


def _fit(
    classifier: Any,
    data: Dataset,
    *,
    seed: int,
    name: str,
    structure: Mapping[str, Any],
    recipe: dict[str, Any],
    key: str,
    trials: int,
) -> Run:
    images = len(data.train.labels)
    start = time.perf_counter()
    notes = _fit_and_note(classifier, data)
    seconds = time.perf_counter() - start
    history = [
        {"epoch": epoch, "phase": "fit", "loss": float(loss)}
        for epoch, loss in enumerate(getattr(final_estimator(classifier), "loss_curve_", ()), 1)
    ]
    start = time.perf_counter()
    test = predict_classifier(classifier, data.test.images, data.num_classes)
    test_seconds = time.perf_counter() - start
    completed = bool(np.isfinite(test).all())
    if not completed:
        warn(
            f"run {name!r} diverged: it predicts values that are no probabilities. It has no result; change its settings."
        )
    validation, train_accuracy = test[:0], None
    if completed:
        validation = predict_classifier(classifier, data.validation.images, data.num_classes)
        some = np.sort(np.random.default_rng(seed).permutation(images)[:_GAP_IMAGES])
        guessed = predict_classifier(classifier, data.train.images[some], data.num_classes).argmax(axis=1)
        train_accuracy = float(np.mean(guessed == data.train.labels[some]))
    passes = len(history) or 1
    phase = {
        "name": "fit",
        "epochs": passes,
        "trainable_parameters": None,
        "engine": package_of(classifier),
        "seconds": seconds,
        "validation_seconds": 0.0,
        "images": passes * images,
        "images_per_second": passes * images / seconds,
    }
    return Run(
        name=name,
        class_names=data.class_names,
        test_probabilities=test if completed else test[:0],
        test_labels=data.test.labels,
        validation_probabilities=validation,
        validation_labels=data.validation.labels,
        dataset=data.describe(),
        history=history,
        phases=[phase],
        recipe=recipe,
        model_info={"name": name_of(classifier), "estimator": dict(structure)},
        seed=seed,
        selection="none",  # the fit ends where its algorithm ends; nothing is chosen among epochs
        status="completed" if completed else "diverged",
        tuning_trials=trials * _count_trials(classifier),
        train_accuracy=train_accuracy,
        test_seconds=test_seconds if completed else None,
        environment=describe_environment() | _versions(classifier),
        key=key,
        notes=notes,
        model=classifier,
    )


def _fit_and_note(classifier: Any, data: Dataset) -> list[str]:
    """Fit, and return what scikit-learn says of a fit that did not converge; its warnings go on as well."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        try:
            classifier.fit(data.train.images, data.train.labels)
        except ValueError as error:
            if "dim 4" not in str(error):
                raise
            raise InvalidInputError(
                f"{type(classifier).__name__} takes rows of numbers, not images. Put it behind a step that makes them: "
                "make_pipeline(transferkit.models.baselines.FlattenPixels(), classifier)."
            ) from None
    notes = []
    for warning in caught:
        if str(warning.message).startswith(_BY_DESIGN):
            continue
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        if issubclass(warning.category, ConvergenceWarning):
            notes.append(f"scikit-learn: {str(warning.message).splitlines()[0]}")
    return list(dict.fromkeys(notes))


def predict_classifier(classifier: Any, images: NDArray[np.uint8], num_classes: int) -> NDArray[np.float32]:
    """Return one column for each class of the data, 0 for those that the classifier has never seen."""
    probabilities = np.zeros((len(images), num_classes), np.float32)
    columns = np.asarray(classifier.classes_, dtype=np.int64)
    for start in range(0, len(images), _PIECE):
        piece = slice(start, start + _PIECE)
        found = np.asarray(classifier.predict_proba(images[piece]), np.float64)
        with np.errstate(invalid="ignore"):  # nothing but zeros is no distribution: NaN
            # GaussianNB calls two classes certain at once where an image is far from both.
            probabilities[piece, columns] = found / found.sum(axis=1, keepdims=True)
    return probabilities


def _count_trials(classifier: Any) -> int:
    """Return how many settings a search inside the classifier tried."""
    results = getattr(final_estimator(classifier), "cv_results_", {})
    return max(1, len(results.get("params", ())))


def _versions(classifier: Any) -> dict[str, str]:
    import sklearn

    versions = {"scikit-learn": str(sklearn.__version__)}
    name = package_of(classifier)
    if name not in ("scikit-learn", "transferkit"):
        from importlib.metadata import PackageNotFoundError, version

        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # a module of the user's own
            versions[name] = "unknown"
    return versions


def _say(message: str, verbose: bool) -> None:
    if verbose:
        rich.get_console().print(message, highlight=False, markup=False, soft_wrap=True)
