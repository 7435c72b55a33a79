"""What two classes can be told apart at every threshold: ROC and precision-recall curves."""

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.plots.style import color_of, new_axes, plot_texts, quiet_frame, shown_name
from transferkit.runs.grouping import Runs, group_runs
from transferkit.runs.run import Run
from transferkit.translation import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = Literal["roc", "precision_recall"]
_CLASSES: Final = 2
_COLUMNS: Final = 24  # of a class's name on an axis


def plot_roc(runs: Runs, *, curve: Curve = "roc", ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw how well runs tell two classes apart on the test images, at every threshold.

    Parameters
    ----------
    runs : Run, sequence of Run, mapping of str to Run or list of Run, Comparison, or path
        Completed runs with two classes. Several seeds of one name are drawn one by one in one colour.
    curve : {"roc", "precision_recall"}, default "roc"
        True against false positives, or precision against recall of the second class: the second where that class is rare, since it
        does not count the many negatives that are easy.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn. On a new figure if None.
    language : {"en", "ko"}, default "en"
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The legend has the area under each curve, a mean over seeds (average precision for ``"precision_recall"``); the dashed line is
        chance. Save the picture with ``ax.figure.savefig(file)``.

    Raises
    ------
    InvalidInputError
        If something else than runs is given, none is completed, or one has not two classes, both among its test images.
    UnknownNameError
        If there is no such curve or language.
    RunError
        If a saved run cannot be read.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the labels are English then.

    References
    ----------
    .. [1] Fawcett (2006), "An introduction to ROC analysis", Pattern Recognition Letters 27, 861-874.
    .. [2] Davis & Goadrich (2006), "The relationship between Precision-Recall and ROC curves", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> import transferkit as tk
    >>> labels = np.array([0, 0, 1, 1])
    >>> sure = np.array([0.1, 0.4, 0.35, 0.8])
    >>> run = tk.Run(
    ...     name="CNN",
    ...     class_names=("cat", "dog"),
    ...     test_probabilities=np.column_stack([1 - sure, sure]),
    ...     test_labels=labels,
    ...     seed=0,
    ... )
    >>> ax = tk.plot_roc(run)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['CNN (area 0.750)']
    """
    if curve not in get_args(Curve):
        raise UnknownNameError("curve", curve, get_args(Curve))
    groups = {name: [run for run in group if run.status == "completed"] for name, group in group_runs(runs).items()}
    groups = {name: group for name, group in groups.items() if group}
    if not groups:
        raise InvalidInputError("no run is completed, so there is no curve to draw.")
    for name, group in groups.items():
        for run in group:
            if len(run.class_names) != _CLASSES or len(np.unique(run.test_labels)) != _CLASSES:
                raise InvalidInputError(
                    f"{name!r} has {len(run.class_names)} classes, of which {len(np.unique(run.test_labels))} occur among the test images; such a "
                    "curve is of two. See plot_confusion for more."
                )
            _ = run.test_predictions  # raises if the probabilities are none
    with plot_texts(language, groups) as say:
        target = new_axes(5.4, 5.0) if ax is None else ax
        _draw(target, groups, curve, say)
    return target


def _draw(ax: Any, groups: dict[str, list[Run]], curve: Curve, say: Translator) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    positive = shown_name(next(iter(groups.values()))[0].class_names[1], _COLUMNS)
    for index, (name, group) in enumerate(groups.items()):
        areas = []
        for place, run in enumerate(group):
            truth, sure = run.test_labels, run.test_probabilities[:, 1].astype(np.float64)
            if curve == "roc":
                x, y, _ = roc_curve(truth, sure)
                areas.append(roc_auc_score(truth, sure))
            else:
                y, x, _ = precision_recall_curve(truth, sure)
                areas.append(average_precision_score(truth, sure))
            style = {"color": color_of(index), "linewidth": 1.6, "alpha": 1.0 if len(group) == 1 else 0.6}
            if curve == "precision_recall":
                style["drawstyle"] = "steps-post"
            ax.plot(x, y, label="_" if place else None, **style)
        shown = say("{name} (area {area:.3f})", name=shown_name(name), area=float(np.mean(areas)))
        ax.lines[-len(group)].set_label(shown)
    chance = float(np.mean(next(iter(groups.values()))[0].test_labels))
    ends = ([0, 1], [0, 1]) if curve == "roc" else ([0, 1], [chance, chance])
    ax.plot(*ends, color="0.6", linewidth=0.9, linestyle="--", label="_")
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.01)
    if curve == "roc":
        ax.set_xlabel(say("False positives (share of the other class)"))
        ax.set_ylabel(say("True positives (share of “{positive}”)", positive=positive))
    else:
        ax.set_xlabel(say("Recall (share of “{positive}” that is found)", positive=positive))
        ax.set_ylabel(say("Precision (share of what is called so that is)"))
    ax.legend(loc="lower right" if curve == "roc" else "lower left", fontsize="small", frameon=False)
    quiet_frame(ax, grid="y")
