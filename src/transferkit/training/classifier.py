"""Fit a scikit-learn classifier on a dataset and record it as a Run, as the training of a network is recorded."""

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from transferkit.data.dataset import Dataset
from transferkit.errors import InvalidInputError
from transferkit.progress import say_unless_brief
from transferkit.runs.records import EpochRecord, ModelRecord, PhaseRecord, ProbeRecord
from transferkit.runs.run import Run
from transferkit.training.class_weights import describe_class_weight, weights_of_classes
from transferkit.training.contract import Outcome
from transferkit.training.estimators import (
    describe_estimator,
    describe_settings,
    final_estimator,
    name_of,
    package_of,
    parameter_names,
)
from transferkit.training.identity import identify_classifier
from transferkit.training.keeping import keep
from transferkit.training.options import Fitting, FittingOptions, takes
from transferkit.training.record import check_data

_PIECE = 10_000  # images that are predicted at once, since pipelines copy them as floats
_BY_DESIGN = "Stochastic Optimizer: Maximum iterations"  # a fixed number of passes is a choice, not a failure


def is_classifier(model: Any) -> bool:
    """Whether `model` is an object with scikit-learn's interface, fitted or not."""
    return not isinstance(model, type | keras.Model) and all(
        hasattr(model, name) for name in ("fit", "get_params", "set_params")
    )


@takes(Fitting)
def fit_classifier(classifier: Any, data: Dataset, **options: Unpack[FittingOptions]) -> Run:
    """Fit a scikit-learn classifier on the training split and record it as a network's training is recorded.

    Parameters
    ----------
    classifier : scikit-learn classifier
        From `build_baseline`, or any that takes raw images and has ``predict_proba``. ``random_state`` is set to `seed` in all its
        steps.
    data : Dataset
        Its training split is fitted, its test split is measured; the validation split is predicted, not used.
    seed : int, default 0
        Of everything random in the classifier.
    name : str, optional
        What tables and plots call the run; the name of the pipeline's last step, or of the class, if None.
    class_weight : "balanced" or dict, optional
        How much each class counts, as sample weights of the classifier's own ``fit``; see `train`.
    folder : path, optional
        Save the run as ``folder/<name>``: the same call finds it again instead of fitting, and leaves the classifier unfitted.
    save_as, tuning_trials, overwrite, verbose
        See `train`. The settings that a search inside the classifier tries are counted.

    Returns
    -------
    Run
        Of everything but the fitted classifier itself, which could only be pickled, and a pickle runs code when it is read;
        ``recipe`` and ``model_info["estimator"]`` say how to fit it again. ``selection`` is ``"none"``: no epoch is chosen.

    Raises
    ------
    InvalidInputError
        If the classifier has no ``predict_proba``, goes on from an earlier fit, or does not take images, or weights of classes
        are given and its ``fit`` takes no ``sample_weight``.
    RunError
        If `folder` holds a finished run of that name that is another training.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> tk.fit_classifier(tk.build_baseline("naive_bayes"), data, verbose=False)
    Run('naive_bayes', completed, accuracy=0..., loss=..., 0 epochs, seed 0)
    """
    recipe = Fitting(**options)
    check_data(data)
    check_classifier(classifier)
    return keep(Classifier(classifier, data, recipe), recipe)


class Classifier:
    """One fit of a scikit-learn classifier."""

    def __init__(self, classifier: Any, data: Dataset, recipe: Fitting) -> None:
        classifier.set_params(**dict.fromkeys(parameter_names(classifier, "random_state"), recipe.seed))
        self.model, self.data, self._verbose = classifier, data, recipe.verbose
        self.name = recipe.name or name_of(classifier)
        weights = weights_of_classes(recipe.class_weight, data)
        self._weights = {} if weights is None else _sample_weights(classifier, weights[data.train.labels])
        self.recipe = describe_settings(classifier) | describe_class_weight(recipe.class_weight, data)
        self._structure = describe_estimator(classifier)
        self.identity = identify_classifier(classifier, data, seed=recipe.seed, class_weight=weights)

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: a classifier is fitted anew each time."""
        return nullcontext()

    def probe(self) -> ProbeRecord | None:
        """Return None: there are no gradients."""
        return None

    def take_up(self, finished: Run) -> bool:  # noqa: ARG002 - nothing of it was saved
        """Leave the classifier as it is."""
        return False

    def fit(self, checkpoint: Path | None) -> Outcome:  # noqa: ARG002 - scikit-learn has none
        """Fit the classifier."""
        classifier, data = self.model, self.data
        images = len(data.train.labels)
        show = say_unless_brief if self._verbose else lambda _: None
        show(f"{self.name}: fitting {images:,} images ...")
        start = time.perf_counter()
        notes = _fit_and_note(classifier, data, self._weights)
        seconds = time.perf_counter() - start
        show(f"{self.name}: {seconds:.1f} s")
        losses = getattr(final_estimator(classifier), "loss_curve_", ())
        history: list[EpochRecord] = [
            {"epoch": epoch, "phase": "fit", "loss": float(loss)} for epoch, loss in enumerate(losses, 1)
        ]
        passes = len(history) or 1
        phase: PhaseRecord = {
            "name": "fit",
            "epochs": passes,
            "trainable_parameters": None,
            "engine": package_of(classifier),
            "seconds": seconds,
            "validation_seconds": 0.0,
            "images": passes * images,
            "images_per_second": passes * images / seconds,
        }
        return Outcome(
            status="completed",
            history=history,
            phases=[phase],
            model_info={"name": name_of(classifier), "estimator": self._structure},
            predict=lambda pixels: predict_classifier(classifier, pixels, data.num_classes),
            selection="none",  # the fit ends where its algorithm ends; nothing is chosen among epochs
            trials=_count_trials(classifier),
            versions=_versions(classifier),
            notes=notes,
        )

    def interrupted(self) -> Outcome:
        """Return nothing but that it was interrupted."""
        info: ModelRecord = {"name": name_of(self.model), "estimator": self._structure}
        return Outcome("interrupted", [], [], info, None, "none")


def check_classifier(classifier: Any) -> None:
    """Raise `InvalidInputError` unless a classifier gives probabilities and is fitted from the beginning."""
    if not hasattr(classifier, "predict_proba") and not _stacks(classifier):
        raise InvalidInputError(
            f"{type(classifier).__name__} gives no probabilities (it has no predict_proba), which a run records. "
            "Wrap it in sklearn.calibration.CalibratedClassifierCV(..., ensemble=False)."
        )
    warm = [name for name in parameter_names(classifier, "warm_start") if classifier.get_params()[name]]
    if warm:
        raise InvalidInputError(
            f"{warm[0]}=True would go on from an earlier fit, which no record could tell. Set it to False."
        )


def _sample_weights(classifier: Any, weights: NDArray[np.float32]) -> dict[str, Any]:
    """Return the argument of ``fit`` that gives each image a weight, or raise `InvalidInputError` if there is none."""
    name = _weight_parameter(classifier)
    if name is None:
        raise InvalidInputError(
            f"the fit of {type(final_estimator(classifier)).__name__} takes no sample_weight, which class_weight needs. Leave class_weight "
            "out, give the classifier its own (many have a parameter class_weight), or use one that takes sample_weight."
        )
    return {name: weights}


def _weight_parameter(classifier: Any) -> str | None:
    from sklearn.utils.validation import has_fit_parameter

    final, name = final_estimator(classifier), None
    if has_fit_parameter(final, "sample_weight"):
        name = "sample_weight"
    elif hasattr(final, "refit"):  # a search passes on what its fit is given
        name = _weight_parameter(final.estimator)
    return name if name is None or final is classifier else f"{name_of(classifier)}__{name}"


def _stacks(classifier: Any) -> bool:
    """Whether it is a `StackingClassifier` with its default last estimator, which has ``predict_proba`` once it is fitted."""
    return getattr(final_estimator(classifier), "final_estimator", classifier) is None


def _fit_and_note(classifier: Any, data: Dataset, weights: dict[str, Any]) -> list[str]:
    """Fit, and return what scikit-learn says of a fit that did not converge; its warnings go on as well."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        try:
            classifier.fit(data.train.images, data.train.labels, **weights)
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
