"""Numbers that say how good predictions are; scikit-learn computes them.

Labels are class indices, probabilities have one row an example and one column a class. Class order is the column order.
"""

from typing import Any, Literal, NamedTuple, NotRequired, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import TypedDict

from transferkit.errors import InvalidInputError, UnknownNameError

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from 1: wide enough for float16, too narrow for logits or sigmoids."""

LOG_LOSS_CLIP = 1e-7
"""Probabilities below this count as this in the log-loss. Keras has no such floor where it sees the logits behind a softmax."""

CALIBRATION_BINS = 15
"""Number of bins of the calibration error, as in Guo et al. (2017)."""

TOP_K = 5
"""How many guesses count in the top-k accuracy."""

MANY_CLASSES = 10
"""Where there are more classes, the top-k accuracy is among a run's metrics."""

BinScheme = Literal["equal_width", "equal_mass"]


def as_array(values: Any, *, what: str) -> NDArray[Any]:
    """Return an array of anything that NumPy can read: a list, a tensor, a table.

    Raises
    ------
    InvalidInputError
        If NumPy cannot read it, or values of it are masked: without its mask an array is another one.
    """
    if np.ma.is_masked(values):
        raise InvalidInputError(f"{what} must not be masked, since a masked value is none. Leave those rows out first.")
    try:
        array = np.asarray(values)
    except Exception as error:  # noqa: BLE001 - each library of tensors raises its own
        raise InvalidInputError(f"{what} must be an array of numbers: {error}") from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def check_labels(labels: ArrayLike, num_classes: int | None = None, *, what: str = "labels") -> NDArray[np.int64]:
    """Return class indices as int64, or say what is wrong with them.

    Parameters
    ----------
    labels : array-like of int, shape (n,) or (n, 1)
        Class indices from 0.
    num_classes : int, optional
        Number of classes; the largest label must be below it. Not checked if None.
    what : str, default "labels"
        How the message names them.

    Returns
    -------
    ndarray of int64, shape (n,)
        The labels.

    Raises
    ------
    InvalidInputError
        If there is more than one axis (one-hot, for instance), or a value is not an integer from 0 to ``num_classes - 1``.
    """
    array = as_array(labels, what=what)
    if array.ndim == 2 and array.shape[1] == 1:  # as keras.datasets.cifar10 has them
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidInputError(
            f"{what} must have shape (n,); got {array.shape}. One-hot labels become indices with .argmax(axis=1)."
        )
    if array.size and array.dtype.kind not in "iu":
        raise InvalidInputError(f"{what} must be integers; got dtype {array.dtype}. Class indices go from 0 upwards.")
    if array.size and (int(array.min()) < 0 or (num_classes is not None and int(array.max()) >= num_classes)):
        upper = "" if num_classes is None else f" to {num_classes - 1}"
        raise InvalidInputError(f"{what} must go from 0{upper}; got values from {array.min()} to {array.max()}.")
    return array.astype(np.int64, copy=False)


def of_both_classes(answers: NDArray[Any]) -> NDArray[Any]:
    """Return the probabilities of two classes where one sigmoid output gives that of the second, and others as they are.

    Examples
    --------
    >>> of_both_classes(np.array([[0.25]]))
    array([[0.75, 0.25]])
    """
    return np.concatenate([1 - answers, answers], axis=1) if answers.ndim == 2 and answers.shape[1] == 1 else answers


def check_probabilities(probabilities: ArrayLike, *, what: str = "probabilities") -> NDArray[np.floating[Any]]:
    """Return probabilities as floats, or say what is wrong with them.

    Parameters
    ----------
    probabilities : array-like of float, shape (n, classes)
        One row an example; each between 0 and 1, each row with sum 1 within 0.001.
    what : str, default "probabilities"
        How the message names them.

    Returns
    -------
    ndarray of float, shape (n, classes)
        The same values.

    Raises
    ------
    InvalidInputError
        If the shape, a value or a sum is wrong.

    Examples
    --------
    >>> check_probabilities([[0.25, 0.75]]).shape
    (1, 2)
    >>> check_probabilities([[2.5, -1.0]])
    Traceback (most recent call last):
    transferkit.errors.InvalidInputError: probabilities must lie between 0 and 1; got -1 to 2.5. ...
    """
    array = as_array(probabilities, what=what)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidInputError(f"{what} must have shape (n, classes); got {array.shape}. Give one column a class.")
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(f"{what} must be numbers; got dtype {array.dtype}. Give what model.predict returns.")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not len(array):
        return array
    bad_rows = ~np.isfinite(array).all(axis=1)
    if bad_rows.any():
        raise InvalidInputError(
            f"{what} must be finite; {bad_rows.sum()} of {len(array)} rows hold NaN or infinity, the first is row "
            f"{bad_rows.argmax()}. The training probably diverged: lower the learning rate."
        )
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + ROW_SUM_TOLERANCE:
        raise InvalidInputError(
            f"{what} must lie between 0 and 1; got {low:.4g} to {high:.4g}. Logits need a softmax first, those of one column a sigmoid."
        )
    sums = array.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1)
    if off.max() > ROW_SUM_TOLERANCE:
        raise InvalidInputError(
            f"each row of {what} must have the sum 1 (within {ROW_SUM_TOLERANCE}); row {off.argmax()} has "
            f"{sums[off.argmax()]:.4g}. Use a softmax output, one column a class."
        )
    return array


def check_pair(y_true: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return checked labels (int64), and probabilities (float64) whose rows have the sum 1 exactly.

    Raises
    ------
    InvalidInputError
        If labels or probabilities are wrong, not equally many, or none at all.
    """
    checked = check_probabilities(probabilities)
    labels = check_labels(y_true, checked.shape[1], what="y_true")
    _check_same_length(labels, checked)
    exact = np.clip(checked.astype(np.float64), 0, 1)
    return labels, exact / exact.sum(axis=1, keepdims=True)


def _check_same_length(labels: NDArray[Any], predictions: NDArray[Any]) -> None:
    if len(labels) != len(predictions):
        raise InvalidInputError(
            f"labels and predictions must be equally many; got {len(labels)} and {len(predictions)}. "
            "Both must come from the same images in the same order."
        )
    if not len(labels):
        raise InvalidInputError("no metric can be computed on 0 examples. Give at least one.")


def _check_predictions(
    y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels = check_labels(y_true, num_classes, what="y_true")
    predictions = check_labels(y_pred, num_classes, what="y_pred")
    _check_same_length(labels, predictions)
    return labels, predictions


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the fraction of right predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        Class indices.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    InvalidInputError
        If they are not equally many class indices, at least one.

    Examples
    --------
    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    from sklearn.metrics import accuracy_score

    labels, predictions = _check_predictions(y_true, y_pred, None)
    return float(accuracy_score(labels, predictions))


def f1_per_class(y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int | None = None) -> NDArray[np.float64]:
    """Return the F1 of each class against all others.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        Class indices.
    num_classes : int, optional
        Number of classes; the largest index that occurs plus one if None.

    Returns
    -------
    ndarray of float64, shape (classes,)
        From 0 to 1; 0 for a class that neither occurs nor is predicted.

    Raises
    ------
    InvalidInputError
        If they are not equally many class indices, at least one.

    Examples
    --------
    >>> f1_per_class([0, 1, 1], [0, 1, 0]).round(3).tolist()
    [0.667, 0.667]
    """
    labels, predictions = _check_predictions(y_true, y_pred, num_classes)
    count = num_classes or int(max(labels.max(), predictions.max())) + 1
    return _score_classes(labels, predictions, np.arange(count)).f1


class _ClassScores(NamedTuple):
    """What scikit-learn finds for each class."""

    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    occurs: NDArray[np.bool_]
    is_predicted: NDArray[np.bool_]

    @property
    def f1_macro(self) -> float:
        return float(self.f1[self.occurs | self.is_predicted].mean())

    @property
    def balanced_accuracy(self) -> float:
        return float(self.recall[self.occurs].mean())


def _score_classes(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: NDArray[np.int64]
) -> _ClassScores:
    from sklearn.metrics import precision_recall_fscore_support

    _, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, average=None, zero_division=0
    )
    return _ClassScores(recall, f1, support > 0, np.isin(classes, predictions))


def f1_macro(y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int | None = None) -> float:
    """Return the mean F1 of the classes that occur or are predicted; small classes weigh as much as large ones.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        Class indices.
    num_classes : int, optional
        Number of classes, which only limits the indices: a class without examples and predictions does not count, as in
        scikit-learn.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    InvalidInputError
        If they are not equally many class indices, at least one.

    Examples
    --------
    >>> round(f1_macro([0, 1, 1], [0, 1, 0], num_classes=10), 3)
    0.667
    """
    from sklearn.metrics import f1_score

    labels, predictions = _check_predictions(y_true, y_pred, num_classes)
    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean, over the classes that occur, of the fraction of right predictions: what accuracy would be if all were equally many.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        Class indices.

    Returns
    -------
    float
        From 0 to 1; always answering one of c classes gives ``1 / c``.

    Raises
    ------
    InvalidInputError
        If they are not equally many class indices, at least one.

    References
    ----------
    .. [1] Brodersen et al. (2010), "The balanced accuracy and its posterior distribution", ICPR.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    labels, predictions = _check_predictions(y_true, y_pred, None)
    return _score_classes(labels, predictions, np.union1d(labels, predictions)).balanced_accuracy


def top_k_accuracy(y_true: ArrayLike, probabilities: ArrayLike, *, k: int = TOP_K) -> float:
    """Return how often the true class is among the `k` most probable ones.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        Class indices.
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1. Of equal probabilities the first counts as the larger.
    k : int, default 5
        How many guesses each example has.

    Returns
    -------
    float
        From 0 to 1; 1 if there are no more than `k` classes.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above, or `k` is below 1.

    Examples
    --------
    >>> top_k_accuracy([2, 0], [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], k=2)
    0.0
    """
    if k < 1 or int(k) != k:
        raise InvalidInputError(f"k must be a whole number of at least 1; got {k!r}. The usual one is 5.")
    labels, exact = check_pair(y_true, probabilities)
    return _top_k_accuracy(labels, exact, int(k))


def _top_k_accuracy(labels: NDArray[np.int64], exact: NDArray[np.float64], k: int) -> float:
    own = exact[np.arange(len(labels)), labels][:, None]
    before = (exact > own) | ((exact == own) & (np.arange(exact.shape[1]) < labels[:, None]))
    return float(np.mean(before.sum(axis=1) < k))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int | None = None) -> NDArray[np.int64]:
    """Count each pair of true class (row) and predicted class (column).

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        Class indices.
    num_classes : int, optional
        Number of classes; the largest index that occurs plus one if None.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        ``matrix[i, j]`` examples of class ``i`` were called ``j``.

    Raises
    ------
    InvalidInputError
        If they are not equally many class indices, at least one.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 1, 0]).tolist()
    [[1, 0], [1, 1]]
    """
    from sklearn.metrics import confusion_matrix as count_pairs

    labels, predictions = _check_predictions(y_true, y_pred, num_classes)
    count = num_classes or int(max(labels.max(), predictions.max())) + 1
    return np.asarray(count_pairs(labels, predictions, labels=np.arange(count)), dtype=np.int64)


def log_loss(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative logarithm (base e) of the probability given to the true class.

    Probabilities below 1e-7 are raised to it, so that one confident error costs at most 16.1; then each row is divided by its sum. Keras does
    so with probabilities, but not where it sees the logits behind a softmax: of a network that is often surely wrong, ``val_loss`` is larger.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        Class indices.
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1.

    Returns
    -------
    float
        From 0 (certain and right) to about 16.1; guessing among c classes gives ``log(c)``.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above.

    Examples
    --------
    >>> round(log_loss([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """
    labels, exact = check_pair(y_true, probabilities)
    return _log_loss(labels, exact)


def _log_loss(labels: NDArray[np.int64], exact: NDArray[np.float64]) -> float:
    from sklearn.metrics import log_loss as cross_entropy

    if exact.shape[1] == 1:
        return 0.0  # scikit-learn refuses a single class, whose probability is always 1
    clipped = np.maximum(exact, LOG_LOSS_CLIP)
    clipped /= clipped.sum(axis=1, keepdims=True)
    return float(cross_entropy(labels, clipped, labels=np.arange(exact.shape[1])))


def brier_score(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the multiclass Brier score: squared distance to the one-hot truth, summed over classes, averaged over examples.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        Class indices.
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1.

    Returns
    -------
    float
        From 0 (certain and right) to 2 (certain and wrong), for two classes as well: it is Brier's own definition,
        twice the one that some libraries use for two classes.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above.

    References
    ----------
    .. [1] Brier (1950), Monthly Weather Review 78(1), 1-3.

    Examples
    --------
    >>> brier_score([0, 1], [[1.0, 0.0], [1.0, 0.0]])
    1.0
    """
    labels, exact = check_pair(y_true, probabilities)
    return _brier_score(labels, exact)


def _brier_score(labels: NDArray[np.int64], exact: NDArray[np.float64]) -> float:
    # scikit-learn's wants at least two classes and, for two, only the second column
    residual = exact.copy()
    residual[np.arange(len(labels)), labels] -= 1
    return float(np.square(residual).sum(axis=1).mean())


def calibration_error(
    y_true: ArrayLike, probabilities: ArrayLike, *, bins: int = CALIBRATION_BINS, scheme: BinScheme = "equal_width"
) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, on average.

    The predictions are sorted into bins by the probability of the predicted class (a bin holds its upper edge); the result
    is the mean of ``|accuracy - mean confidence|`` over bins, weighted by how many examples each holds.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        Class indices.
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1.
    bins : int, default 15
        Number of bins.
    scheme : {"equal_width", "equal_mass"}, default "equal_width"
        Whether the bins divide confidence from 0 to 1 evenly [1]_, or the examples [2]_: a good network is so sure of most
        images that nearly all of them share the last bin of equal width. Equal confidences are never put apart.

    Returns
    -------
    float
        From 0 (90% sure means right in 90% of cases) to 1. With few examples it is too large by chance.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above, or `bins` is below 1.
    UnknownNameError
        If there is no such scheme.

    References
    ----------
    .. [1] Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML, section 2. arXiv:1706.04599
    .. [2] Nguyen & O'Connor (2015), "Posterior calibration and exploratory analysis for natural language processing
       models", EMNLP, section 3. arXiv:1508.05154

    Examples
    --------
    >>> round(calibration_error([0, 1], [[0.9, 0.1], [0.9, 0.1]]), 3)
    0.4
    """
    if bins < 1 or int(bins) != bins:
        raise InvalidInputError(f"bins must be a whole number of at least 1; got {bins!r}. The usual number is 15.")
    if scheme not in get_args(BinScheme):
        raise UnknownNameError("scheme", scheme, get_args(BinScheme))
    labels, exact = check_pair(y_true, probabilities)
    return _calibration_error(labels, exact, int(bins), scheme)


def _calibration_error(
    labels: NDArray[np.int64], exact: NDArray[np.float64], bins: int, scheme: BinScheme = "equal_width"
) -> float:
    _, confidence, right = bin_by_confidence(labels, exact, bins, scheme)
    return float(np.abs(right - confidence).sum() / len(labels))


def bin_by_confidence(
    labels: NDArray[np.int64], exact: NDArray[np.float64], bins: int, scheme: BinScheme = "equal_width"
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
    """Return how many examples each bin holds, the sum of their confidences, and how many answers are right.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        True class indices.
    exact : ndarray of float64, shape (n, classes)
        Probabilities from `check_pair`.
    bins, scheme
        As in `calibration_error`. A bin holds its upper edge.
    """
    confidence = exact.max(axis=1)
    right = exact.argmax(axis=1) == labels
    if scheme == "equal_width":
        inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    else:  # by whole ranks: an interpolated quantile may fall a rounding error short of the value at its own rank
        inner_edges = np.sort(confidence)[(len(confidence) - 1) * np.arange(1, bins) // bins]
    index = np.digitize(confidence, inner_edges, right=True)
    sums = np.bincount(index, weights=confidence, minlength=bins).astype(np.float64)
    return np.bincount(index, minlength=bins), sums, np.bincount(index[right], minlength=bins)


MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "loss",
    "f1_macro",
    "brier",
    "calibration_error",
    "calibration_error_equal_mass",
    "top_5_accuracy",
]
"""The metrics that are one number."""


class Metrics(TypedDict):
    """What `compute_metrics` returns."""

    accuracy: float
    balanced_accuracy: float
    loss: float
    f1_macro: float
    f1_per_class: list[float]
    brier: float
    calibration_error: float
    calibration_error_equal_mass: float
    top_5_accuracy: NotRequired[float]


def compute_metrics(labels: ArrayLike, probabilities: ArrayLike) -> Metrics:
    """Compute every metric of a `Run` from probabilities.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        True class indices.
    probabilities : array-like of float, shape (n, classes)
        Rows with sum 1 within 0.001.

    Returns
    -------
    dict
        ``accuracy``, `balanced_accuracy`, ``loss`` (`log_loss`), `f1_macro`, `f1_per_class` (list of float), ``brier`` (0 to 2),
        ``calibration_error`` (15 bins of equal width), ``calibration_error_equal_mass`` (15 bins of equally many
        examples), and ``top_5_accuracy`` with more than 10 classes. The predicted class is the most probable one, the first
        of equals.

    Raises
    ------
    InvalidInputError
        If the labels or probabilities are not what is described above.

    Examples
    --------
    >>> metrics = compute_metrics([0, 1], [[0.8, 0.2], [0.6, 0.4]])
    >>> metrics["accuracy"], round(metrics["brier"], 2)
    (0.5, 0.4)
    """
    y_true, exact = check_pair(labels, probabilities)
    num_classes = exact.shape[1]
    y_pred = exact.argmax(axis=1)
    by_class = _score_classes(y_true, y_pred, np.arange(num_classes))
    metrics: Metrics = {
        "accuracy": accuracy(y_true, y_pred),
        "balanced_accuracy": by_class.balanced_accuracy,
        "loss": _log_loss(y_true, exact),
        "f1_macro": by_class.f1_macro,
        "f1_per_class": by_class.f1.tolist(),
        "brier": _brier_score(y_true, exact),
        "calibration_error": _calibration_error(y_true, exact, CALIBRATION_BINS),
        "calibration_error_equal_mass": _calibration_error(y_true, exact, CALIBRATION_BINS, "equal_mass"),
    }
    if num_classes > MANY_CLASSES:
        metrics["top_5_accuracy"] = _top_k_accuracy(y_true, exact, TOP_K)
    return metrics
