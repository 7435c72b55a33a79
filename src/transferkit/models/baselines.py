"""The course's classical models: scikit-learn pipelines on raw pixels, with settings that are known to work."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from transferkit.data.checks import check_images
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, MissingDependencyError, UnknownNameError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class FlattenPixels(TransformerMixin, BaseEstimator):
    """Turn raw images into the rows of numbers that scikit-learn's classifiers take.

    It has no parameters and learns nothing but the size of the images.

    Attributes
    ----------
    image_shape_ : tuple of int
        Height, width and channels of the images that it was fitted on.

    Examples
    --------
    >>> FlattenPixels().fit_transform(np.full((2, 28, 28, 1), 255, np.uint8)).shape
    (2, 784)
    """

    def fit(self, images: Any, labels: Any = None) -> "FlattenPixels":  # noqa: ARG002 - scikit-learn's signature
        """Remember the size of the images.

        Parameters
        ----------
        images : array_like of uint8, shape (n, height, width, channels)
            Raw pixels.
        labels : object, optional
            Not used.

        Returns
        -------
        FlattenPixels
            Itself.

        Raises
        ------
        DataError
            If the images are of another kind.
        """
        self.image_shape_ = check_images(images, name="images").shape[1:]
        return self

    def transform(self, images: Any) -> NDArray[np.float32]:
        """Return one row an image, with pixels from 0 to 1.

        Parameters
        ----------
        images : array_like of uint8, shape (n, height, width, channels)
            Raw pixels.

        Returns
        -------
        ndarray of float32, shape (n, height * width * channels)
            The rows.

        Raises
        ------
        DataError
            If the images are of another kind, or of another size than those that were fitted.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        checked = check_images(images, name="images", input_shape=self.image_shape_)
        return checked.reshape(len(checked), -1).astype(np.float32) / np.float32(255)


def _calibrated_svm(**options: Any) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    return CalibratedClassifierCV(SVC(**options), ensemble=False, cv=3)


@dataclass(frozen=True)
class _Baseline:
    module: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    wrap: Callable[..., Any] | None = None
    refused: tuple[str, ...] = ()  # options of the class that are deprecated or of no use here

    def find_class(self) -> Any:
        try:
            return getattr(importlib.import_module(self.module), self.kind)
        except ImportError as error:
            package = self.module.partition(".")[0]
            raise MissingDependencyError(
                f"this baseline needs {package}, which cannot be imported ({error}). "
                "Install it with: pip install 'transferkit[baselines]'"
            ) from None


_BASELINES = {
    "svm": _Baseline("sklearn.svm", "SVC", {"C": 10.0, "cache_size": 1000}, _calibrated_svm, ("probability",)),
    "naive_bayes": _Baseline("sklearn.naive_bayes", "GaussianNB"),
    "random_forest": _Baseline("sklearn.ensemble", "RandomForestClassifier", {"n_estimators": 200}),
    "logistic_regression": _Baseline(
        "sklearn.linear_model", "LogisticRegression", {"max_iter": 1000}, None, ("penalty",)
    ),
    "gradient_boosting": _Baseline(
        "sklearn.ensemble", "HistGradientBoostingClassifier", {"early_stopping": False, "max_bins": 63}
    ),
    "xgboost": _Baseline(
        "xgboost",
        "XGBClassifier",
        {"n_estimators": 200, "learning_rate": 0.2, "max_depth": 6, "subsample": 0.8, "colsample_bytree": 0.25},
    ),
    "k_nearest_neighbors": _Baseline("sklearn.neighbors", "KNeighborsClassifier", {"weights": "distance"}),
    "mlp": _Baseline(
        "sklearn.neural_network",
        "MLPClassifier",
        {"hidden_layer_sizes": (256, 128), "max_iter": 30},
    ),
}


def build_baseline(name: str, *, seed: int = 0, **options: Any) -> "Pipeline":
    """Build one of the course's classical classifiers as a scikit-learn pipeline on raw pixels.

    Parameters
    ----------
    name : str
        One of these:

        ======================= ===================================================================================
        ``svm``                 Support vector machine with an RBF kernel, ``C=10`` (Cortes & Vapnik 1995,
                                doi:10.1007/BF00994018). Its probabilities are sigmoids fitted to the margins of three-fold
                                cross-validation, one class against the rest (Platt 1999).
        ``naive_bayes``         Gaussian naive Bayes: every pixel independent, with a mean and variance in each class.
        ``random_forest``       200 trees (Breiman 2001, doi:10.1023/A:1010933404324).
        ``logistic_regression`` Multinomial, L2 penalty with ``C=1``, by L-BFGS.
        ``gradient_boosting``   scikit-learn's ``HistGradientBoostingClassifier``: 100 rounds of trees with 31 leaves on
                                pixels in 63 bins (Ke et al. 2017, LightGBM). It has no chance in it: seeds do not differ.
        ``xgboost``             200 rounds of trees of depth 6, each on 80% of the images and 25% of the pixels
                                (Chen & Guestrin 2016, doi:10.1145/2939672.2939785). Needs the extra ``baselines``.
        ``k_nearest_neighbors`` The 5 nearest images in the space of pixels, weighted by the inverse distance.
        ``mlp``                 Perceptron with hidden layers of 256 and 128 units (ReLU), 30 passes of Adam.
        ======================= ===================================================================================

    seed : int, default 0
        Reaches ``random_state``. `transferkit.train` sets it to its own `seed`.
    **options
        Parameters of the classifier, for example ``n_estimators=500``; for ``svm`` those of ``sklearn.svm.SVC``. They
        replace the settings above.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Unfitted, with the steps ``pixels`` (`FlattenPixels`: rows of values from 0 to 1) and `name`. Its ``fit``,
        ``predict`` and ``predict_proba`` take raw images: uint8, shape (n, height, width, channels).

    Raises
    ------
    UnknownNameError
        If there is no such baseline, or the classifier has no such parameter; the message lists close matches.
    InvalidInputError
        If `seed` is not an int of 0 or more, or ``random_state`` is given.
    MissingDependencyError
        If XGBoost is not installed.

    See Also
    --------
    transferkit.train : Fit it, and record everything about it.

    Examples
    --------
    >>> import transferkit as tk
    >>> tk.build_baseline("random_forest", n_estimators=500).steps[-1][0]
    'random_forest'
    """
    from sklearn.pipeline import Pipeline

    baseline = _BASELINES.get(str(name))
    if baseline is None:
        raise UnknownNameError("baseline", name, _BASELINES)
    seed = check_seed(seed)
    kind = baseline.find_class()
    known = [option for option in kind().get_params() if option not in baseline.refused]
    if "random_state" in options:
        raise InvalidInputError("random_state is set by seed=; leave it out.")
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the baseline {name!r}", option, known)
    settings = {**baseline.options, **options}
    if "random_state" in known:
        settings["random_state"] = seed
    classifier = (baseline.wrap or kind)(**settings)
    return Pipeline([("pixels", FlattenPixels()), (name, classifier)])
