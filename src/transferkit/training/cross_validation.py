"""Cross-validation: every image is tested once, by a model that was trained without it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.data import checks
from transferkit.data.dataset import Dataset
from transferkit.data.description import DatasetRecord
from transferkit.data.splits import check_seed, merge_groups, number_groups
from transferkit.errors import InvalidInputError, each_warning_once
from transferkit.files import sha256_arrays
from transferkit.progress import brief, say
from transferkit.runs.run import Run
from transferkit.training.fitting import fine_tune, train
from transferkit.training.tasks import Build, Method, build_model, check_build, check_method, for_one_run

_FEWEST: Final = 2


@each_warning_once()
def cross_validate(
    build: Build,
    data: Dataset,
    *,
    folds: int = 5,
    repeats: int = 1,
    groups: ArrayLike | None = None,
    validation: float = 0,
    name: str | None = None,
    method: Method = "train",
    seed: int = 0,
    folder: Path | str | None = None,
    verbose: bool = True,
    **options: Any,
) -> list[Run]:
    """Train on all images but a fold, test on that fold, and so on: for photos of your own, too few for a test set of their own.

    All images of the dataset are put together, its test split too, and divided into folds that are stratified by class. Equal images, and
    those of one group, stay in one fold. `compare_runs` takes what two calls with the same dataset, folds and seed return, and tests fold by
    fold with the correction of Nadeau and Bengio (2003).

    Parameters
    ----------
    build : callable
        Returns a new compiled model, or a classifier; see `repeat`.
    data : Dataset
        The images.
    folds : int, default 5
        How many; each is tested once by a model trained on all others.
    repeats : int, default 1
        How many times all of this is done, with other folds each time.
    groups : array-like, shape (n,), optional
        What each image shows, in the order training, validation, test: images with one value, photos of one object for instance, stay in one
        fold, on one side of `validation` too. Those of the dataset if None, or each image for itself if it knows none.
    validation : int or float, default 0
        How many of a fold's training images (a count, or a fraction) choose the epoch.
    name : str, optional
        The name of the runs; the model's name if None.
    method : {"train", "fine_tune"}, default "train"
        What trains: `train` or `fine_tune`.
    seed : int, default 0
        Draws the folds of the first repetition, its initial weights and order; the next one follows with ``seed + 1``.
    folder : path, optional
        Save the training of each fold as ``folder/<name>-seed-<seed>-fold-<fold>``; finished ones are found again.
    verbose : bool, default True
        Whether progress is shown: a live bar for the fold under way, and a line a fold.
    **options
        Of the method: ``epochs``, ``learning_rate``, ``augment``, ... Each fold trains with copies of the callbacks.

    Returns
    -------
    list of Run
        One for each repetition, without a model: its test probabilities are those of all folds put together, so each image is predicted by a
        model that never saw it. ``run.dataset["folds"]`` has the fold of each image.

    Raises
    ------
    InvalidInputError
        If there are fewer than two folds or repetitions make no sense, a class or the groups are too few for the folds, or `data` is not a
        dataset; and all that `repeat` refuses.
    UnknownNameError
        If the method does not exist or does not have an option.

    References
    ----------
    .. [1] Nadeau & Bengio (2003), "Inference for the generalization error", Machine Learning 52, 239-281.

    Examples
    --------
    >>> import functools
    >>> import transferkit as tk
    >>> from sklearn.datasets import load_digits
    >>> digits, labels = load_digits(return_X_y=True)
    >>> images = (digits[:300] * 15).astype("uint8").reshape(-1, 8, 8, 1)
    >>> data = tk.Dataset.from_arrays((images[:200], labels[:200]), (images[200:], labels[200:300]))
    >>> runs = []
    >>> for baseline in ("naive_bayes", "logistic_regression"):
    ...     build = functools.partial(tk.build_baseline, baseline)
    ...     runs += tk.cross_validate(build, data, folds=3, name=baseline, verbose=False)
    >>> tk.compare_runs(runs).tests[["method", "verdict"]]
            method    verdict
    0  corrected t   a better
    """
    given: object = data
    if not isinstance(given, Dataset):
        raise InvalidInputError(f"data must be a Dataset; got {type(data).__name__}. Dataset.from_arrays makes one.")
    start = check_seed(seed)
    counts: tuple[tuple[str, object, int], ...] = (("folds", folds, _FEWEST), ("repeats", repeats, 1))
    for key, value, least in counts:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInputError(f"{key} must be a whole number of at least {least}; got {value!r}.")
    check_method(method, options)
    default = check_build(build, [start], method)
    images = np.concatenate([np.asarray(split.images) for split in data])
    labels = np.concatenate([split.labels for split in data])
    numbered = _known_groups(data) if groups is None else number_groups(groups, len(images))
    together = merge_groups(len(images), checks.group_equal_images(images), numbered)
    return [
        _run_repetition(
            build,
            _Pool(data, images, labels, together),
            _draw_folds(labels, together, folds, start + repeat),
            validation,
            default if name is None else name,
            train if method == "train" else fine_tune,
            start + repeat,
            folder,
            options | {"verbose": verbose},
        )
        for repeat in range(repeats)
    ]


def _known_groups(data: Dataset) -> NDArray[np.int64] | None:
    """Return the groups that the splits know, images without one each for itself; None if no split knows any."""
    known = [split.groups for split in data if split.groups is not None and len(split.groups)]
    if not known:
        return None
    free, parts = 1 + max(int(groups.max()) for groups in known), []
    for split in data:
        count = len(split.labels)
        parts.append(np.arange(free, free + count) if split.groups is None else split.groups)
        free += count
    return np.concatenate(parts)


class _Pool:
    """All images of a dataset, in the order training, validation, test."""

    def __init__(
        self, data: Dataset, images: NDArray[np.uint8], labels: NDArray[np.int64], together: NDArray[np.int64]
    ) -> None:
        self.data, self.images, self.labels = data, images, labels
        self.together = together if together.max() + 1 < len(labels) else None
        self.fingerprint = sha256_arrays(images, labels)


def _draw_folds(labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each image."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if fewest < folds:
        raise InvalidInputError(
            f"a class has images of {fewest} groups only (equal images are one), so {folds} folds would leave some without it. Take fewer folds."
        )
    drawn = np.empty(len(labels), np.int64)
    divide = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(divide.split(np.zeros(len(labels)), labels, groups)):
        drawn[held] = fold
    return drawn


def _run_repetition(
    build: Build,
    pool: _Pool,
    folds: NDArray[np.int64],
    validation: float,
    name: str,
    fit: Any,
    seed: int,
    folder: Path | str | None,
    options: dict[str, Any],
) -> Run:
    trained = []
    probabilities = np.empty((len(pool.labels), pool.data.num_classes), np.float32)
    for fold in np.unique(folds).tolist():
        held = folds == fold
        data = Dataset.from_arrays(
            (pool.images[~held], pool.labels[~held]),
            (pool.images[held], pool.labels[held]),
            validation,
            class_names=pool.data.class_names,
            name=pool.data.name,
            seed=seed,
            groups=None if pool.together is None else pool.together[~held],  # on one side of the validation split too
            allow_overlap=True,  # equal images were kept in one fold
        )
        places = {} if folder is None else {"folder": folder, "save_as": f"{name}-seed-{seed}-fold-{fold}"}
        with brief():
            run = fit(build_model(build, seed), data, seed=seed, name=name, **places, **for_one_run(options))
        if run.status != "completed":
            return replace(
                run,
                model=None,
                dataset=_describe_pool(run, pool, folds, validation),
                notes=[*run.notes, f"fold {fold} ended as {run.status!r}"],
            )
        probabilities[held] = run.test_probabilities
        trained.append(replace(run, model=None))
        if options["verbose"]:
            say(f"{name}: fold {len(trained)} of {folds.max() + 1}: accuracy {run.metrics['accuracy']:.4f}")
    return _pool_runs(trained, pool, folds, probabilities, validation)


def _pool_runs(
    runs: Sequence[Run], pool: _Pool, folds: NDArray[np.int64], probabilities: NDArray[np.float32], validation: float
) -> Run:
    """Return the one run that a repetition amounts to."""
    first = runs[0]
    accuracies = [run.train_accuracy for run in runs if run.train_accuracy is not None]
    return replace(
        first,
        test_probabilities=probabilities,
        test_labels=pool.labels,
        validation_probabilities=np.empty((0, pool.data.num_classes), np.float32),
        validation_labels=np.empty(0, np.int64),
        dataset=_describe_pool(first, pool, folds, validation),
        history=[],
        phases=[phase for run in runs for phase in run.phases],
        selected_epoch=None,
        train_accuracy=sum(accuracies) / len(accuracies) if accuracies else None,
        test_seconds=None,
        key="",
        path=None,
        notes=[*first.notes, f"cross-validated: {len(runs)} folds"],
    )


def _describe_pool(run: Run, pool: _Pool, folds: NDArray[np.int64], validation: float) -> DatasetRecord:
    """Return the record of all images, given the run of one fold."""
    # Folds differ by an image or two; this is the same for all repetitions, which are seeds of one recipe.
    train_size = len(pool.labels) - len(pool.labels) // len(np.unique(folds))
    facts = {
        "fingerprint": pool.fingerprint,
        "test_fingerprint": pool.fingerprint,
        "train_fingerprint": sha256_arrays(pool.labels, folds),
        "validation_fingerprint": None,
        "train_size": train_size,
        "validation_size": round(validation * train_size) if validation < 1 else int(validation),
        "test_size": len(pool.labels),
        "folds": folds.tolist(),
    }
    if pool.together is not None:
        facts["test_clusters"] = pool.together.tolist()
    paths = [path for split in pool.data for path in split.paths or ()]
    if len(paths) == len(pool.labels):
        facts["test_files"] = paths
    described = {key: value for key, value in run.dataset.items() if key not in ("test_clusters", "test_files")}
    return cast("DatasetRecord", described | facts)
