"""Put trained models side by side, or refuse to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transferkit.compare import html_report, latex_report, markdown_report
from transferkit.compare.classes import test_classes
from transferkit.compare.fairness import (
    check_fair,
    check_margin,
    choose_baseline,
    collect_runs,
    selected_on_test,
    trained_on_test,
)
from transferkit.compare.model_runs import ModelRuns, make_model_runs
from transferkit.compare.pairs import test_pairs
from transferkit.compare.results import Results
from transferkit.compare.summary import list_banners, list_notes, write_pair_verdict, write_title, write_verdict
from transferkit.compare.table import align_text, build_table, format_cells
from transferkit.compare.verdicts import format_pairs
from transferkit.data.splits import check_seed
from transferkit.errors import InvalidInputError, UnfairComparisonError, UnknownNameError
from transferkit.runs.grouping import Runs
from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from transferkit.data.dataset import Dataset


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Trained models side by side; `compare_runs` makes it.

    It prints as a table. A notebook shows it as one.

    Parameters
    ----------
    models : tuple of ModelRuns
        The models under the names of the table: each has a ``name`` and ``runs``, one for each seed.
    baseline : str or None
        The model from which differences are taken; None if no run finished.
    table : DataFrame
        One row a model, indexed by name, of plain numbers; results are means over the completed runs. Fractions from 0 to 1:
        ``accuracy``, ``accuracy_low`` and ``accuracy_high`` (95% interval: Wilson's for one run; for several one that counts
        other seeds and other test images), ``accuracy_sd`` (standard deviation over seeds), ``seed_low`` and ``seed_high``
        (Student's t over seeds alone), ``difference`` (accuracy minus the baseline's), ``f1_macro``, ``overfit_gap`` (training
        minus test accuracy). Others: ``status``, ``seeds`` (completed runs), ``unfinished``, ``loss`` (nats), ``parameters``,
        ``trainable_parameters``, ``train_seconds``, ``images_per_second``, ``train_size``, ``validation_size``,
        ``labels_per_class``, ``image_size`` (pixels of a side to which a backbone's images are resized), ``epochs``, ``augment``,
        ``tuning_trials``, ``selection``. NaN where not recorded.
    tests : DataFrame
        One row for each pair of models with completed runs, ``a`` minus ``b``, on the same test images. ``method`` is
        ``"mcnemar"`` for one run each; ``"welch"`` for several seeds each, ``"paired t"`` where both share a training split for
        each seed, ``"one run against seeds"`` where one has a single run, which is then taken to vary as the other does. Fractions
        from 0 to 1: ``difference`` of accuracy with ``difference_low`` and ``difference_high`` (95% interval: Tango 1998 for
        one run each, else Student's t for seeds and test images together), ``detectable`` (the difference that such a test finds
        in 80% of cases). ``p`` (exact McNemar, or Student's t), ``p_holm`` (adjusted for all pairs). ``only_a``, ``only_b``: images
        that only one answers correctly; one run each. With seeds: ``seed_low``, ``seed_high`` (interval for these test images alone),
        ``p_permutation`` (exact; NaN with too few seeds to reach 0.05), ``better`` with ``better_low`` and ``better_high`` (probability
        that a training of a beats one of b). ``loss_``, ``brier_`` and ``f1_macro_`` ``difference``, ``low``, ``high`` (paired
        bootstrap, 1,000 resamples of the test images; with seeds, their variance is added). ``verdict``: ``"a better"``, ``"b better"``
        (``p_holm`` below 0.05), ``"practically equal"`` (90% interval within the margin) or ``"undecided"``.
    margin : float
        What counts as practically equal.

    Examples
    --------
    Made-up answers; `train` makes runs of real ones.

    >>> import numpy as np
    >>> import transferkit as tk
    >>> truth = np.arange(200) % 2
    >>> common = {
    ...     "class_names": ("cat", "dog"),
    ...     "test_labels": truth,
    ...     "seed": 0,
    ...     "dataset": {"test_fingerprint": "3fa9"},
    ... }
    >>> poor = tk.Run(name="poor", test_probabilities=np.eye(2)[truth * (np.arange(200) < 150)], **common)
    >>> good = tk.Run(name="good", test_probabilities=np.eye(2)[truth * (np.arange(200) < 190)], **common)
    >>> comparison = tk.compare_runs([poor, good])
    >>> comparison.tests.loc[0, ["a", "b", "verdict"]].tolist()
    ['good', 'poor', 'a better']
    >>> comparison.class_tests("good")["difference"].to_dict()
    {'cat': 0.0, 'dog': 0.2}
    >>> report = comparison.to_markdown("ko")
    >>> page = comparison.to_html("report.html")
    >>> table = comparison.to_latex()
    >>> comparison.plot().savefig("accuracy.png")
    """

    models: tuple[ModelRuns, ...]
    baseline: str | None
    table: "pd.DataFrame"
    tests: "pd.DataFrame"
    margin: float

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs. Those that diverged or were interrupted are listed and counted, not compared."""
        return self.results.runs

    @property
    def verdict(self) -> str:
        """What can be said of the most accurate run, in English, and what cannot."""
        return self.sentence()

    @property
    def results(self) -> Results:
        """What the reports are written from."""
        return Results(self.models, self.baseline, self.table, self.tests, self.margin)

    @property
    def notes(self) -> list[str]:
        """What a reader must know in order not to misread the table, in English."""
        return list_notes(self.results, "en")

    def sentence(self, name: str | None = None, other: str | None = None, *, language: str = "en") -> str:
        """Return what can be said of two models, as a sentence to quote.

        Parameters
        ----------
        name, other : str, optional
            The two models; the baseline if only `other` is None. If both are, the most accurate model and the baseline, or the
            runner-up where the baseline is the most accurate.
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            Which one is better, or that they are practically equal, or that it is undecided; with the difference, its 95%
            interval, the adjusted p, and the smallest detectable difference. Then what the sentence is about: two trained
            models, or recipes. If there is no verdict on any pair, why.

        Raises
        ------
        UnknownNameError
            If no model with completed runs has that name, or there are no texts in that language.
        InvalidInputError
            If both names are the same, or `other` is given without `name`.

        Examples
        --------
        >>> import numpy as np
        >>> import transferkit as tk
        >>> truth = np.arange(200) % 2
        >>> common = {"class_names": ("cat", "dog"), "test_labels": truth, "seed": 0}
        >>> common["dataset"] = {"test_fingerprint": "3fa9"}
        >>> poor = tk.Run(name="poor", test_probabilities=np.eye(2)[truth * (np.arange(200) < 150)], **common)
        >>> good = tk.Run(name="good", test_probabilities=np.eye(2)[truth * (np.arange(200) < 190)], **common)
        >>> tk.compare_runs([poor, good]).sentence("poor", "good", language="ko")[:19]
        '더 나은 모델: “good” (비교'
        """
        if name is None and other is not None:
            raise InvalidInputError(f"other={other!r} needs a name to be compared with: sentence(name, {other!r}).")
        self._check_known(name, other)
        if name is None or len(self.results.leading) < 2:
            return write_verdict(self.results, language)
        first, second = self._pair(name, other)
        if list_banners(self.runs, language):
            return write_verdict(self.results, language)
        return write_pair_verdict(self.results, first, second, language)

    def _pair(self, name: str, other: str | None) -> tuple[str, str]:
        known = self._check_known(name, other)
        pair = (name, str(self.baseline) if other is None else other)
        if pair[0] == pair[1] and other is None:
            raise InvalidInputError(
                f"{name!r} is the baseline itself; name the model that it is compared with as well."
            )
        if pair[0] == pair[1]:
            raise InvalidInputError(f"name and other must be two models; both are {name!r}. Known: {', '.join(known)}.")
        return pair

    def _check_known(self, *names: str | None) -> list[str]:
        known = [model.name for model in self.models if model.completed]
        for name in names:
            if name is not None and name not in known:
                raise UnknownNameError("model", name, known)
        return known

    def class_tests(self, name: str, other: str | None = None) -> "pd.DataFrame":
        """Return in which classes two models differ.

        Parameters
        ----------
        name : str
            The model that is ``a``.
        other : str, optional
            The model that is ``b``; the baseline if None.

        Returns
        -------
        DataFrame
            One row a class, indexed by its name: ``images`` (test images), ``recall_a``, ``recall_b`` and their ``difference``, with
            the columns of `tests` that are about accuracy. ``p_holm`` is adjusted for the classes.

        Raises
        ------
        UnknownNameError
            If no model with completed runs has that name.
        UnfairComparisonError
            If there is no verdict on these models, since one was selected or trained on the test images.
        InvalidInputError
            If both names are the same.
        """
        first, second = self._pair(name, other)
        if banners := list_banners(self.runs, "en"):
            raise UnfairComparisonError(banners[0])
        found = {model.name: model for model in self.models}
        return test_classes(found[first], found[second], margin=self.margin)

    def to_markdown(self, language: str = "en") -> str:
        """Return a report that can be pasted into a GitHub issue.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            Markdown: the verdict and table; then what was trained on which data, how, from which weights; how to read it;
            versions and hardware.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return markdown_report.write_markdown(self.results, language)

    def to_html(
        self, path: Path | str | None = None, language: str = "en", *, images: "Dataset | ArrayLike | None" = None
    ) -> str:
        """Return the report as one HTML page that needs no other file and no network.

        Parameters
        ----------
        path : path, optional
            Where the page is written as well.
        language : {"en", "ko"}, default "en"
            English or Korean.
        images : Dataset, or array-like of uint8, shape (n, height, width) or (n, height, width, channels), optional
            The dataset that the runs were tested on, or the images of its test split. Given, the page shows some of each
            class, errors of the most accurate model, and images that only one of it and the baseline (or the runner-up) gets
            right.

        Returns
        -------
        str
            The page, with the plots inside, for screens of any width, light or dark, and for paper.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        InvalidInputError
            If `images` are not images, or not as many as the runs were tested on.
        RunError
            If `images` are not those that the runs were tested on.

        Warns
        -----
        TransferKitWarning
            If Korean is asked for and no font with Hangul is installed: the plots' labels are English then.
        """
        return html_report.write_html(self.results, language, path, images)

    def to_latex(self, language: str = "en") -> str:
        """Return the table for a LaTeX document that uses ``booktabs`` (Korean: ``kotex`` as well).

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            A ``table`` environment with caption.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return latex_report.write_latex(self.results, language)

    def plot(self, *, language: str = "en") -> "Figure":
        """Draw the accuracies, and the curves of the runs that have a history.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            Language of the labels.

        Returns
        -------
        matplotlib.figure.Figure
            Save it with ``figure.savefig(file)``.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.

        Warns
        -----
        TransferKitWarning
            If Korean is asked for and no font with Hangul is installed; the labels are English then.
        """
        from transferkit.plots.overview import plot_overview

        return plot_overview(self.runs, language=language)

    def _repr_html_(self) -> str:
        return html_report.write_fragment(self.results, "en")

    def __repr__(self) -> str:
        lines = [
            write_title(self.models, "en"),
            "",
            _plain(format_cells(self.models, self.table, self.baseline, "en")),
            "",
            *([_plain(format_pairs(self.results, "en")), ""] if len(self.tests) else []),
            *(list_banners(self.runs, "en") or [self.verdict]),
        ]
        return "\n".join(lines)


def _plain(cells: list[list[str]]) -> str:
    return align_text(cells).replace("−", "-")


def compare_runs(
    runs: Runs,
    *,
    baseline: str | None = None,
    margin: float = 0.005,
    seed: int = 0,
) -> Comparison:
    """Put trained models side by side, or refuse where that would be unfair.

    Neither Keras nor TensorFlow is needed.

    Parameters
    ----------
    runs : sequence of Run, mapping of str to Run or list of Run, or path
        What is compared; a mapping's keys replace the names, a path is a folder of saved runs. Runs of one name with different
        seeds count as one model, see `repeat`. One model gives a table only.
    baseline : str, optional
        Name of the model from which differences are taken. The first one with a completed run if None.
    margin : float, default 0.005
        Difference in accuracy, as a fraction, up to which two models are practically equal.
    seed : int, default 0
        Of the bootstrap and of drawn permutations; the same seed gives the same report.

    Returns
    -------
    Comparison
        With ``table``, ``tests``, ``verdict``, ``sentence()``, ``plot()``, ``to_markdown()``, ``to_html()`` and ``to_latex()``.

    Raises
    ------
    UnfairComparisonError
        If there is no run; if two runs of one name have the same seed or differ in recipe, or one run is given twice; if
        test images, their number, their labels, class names or class order differ; if probabilities are missing, not
        finite or do not add up to 1; or if the baseline is not completed. The message says which runs and why.
    UnknownNameError
        If no model has the baseline's name.
    InvalidInputError
        If something else than runs is given, or the margin is not between 0 and 1.
    RunError
        If a saved run is missing or damaged.

    Notes
    -----
    Diverged and interrupted runs are listed and counted, not compared. Runs that were trained under different conditions
    (label budget, epochs, augmentation, tuning, versions) are compared, with a column or note that says so. A run whose
    weights were selected on the test images gets a banner, and there is no verdict.

    Examples
    --------
    >>> import numpy as np
    >>> common = {"class_names": ("cat", "dog"), "test_labels": np.array([0, 1, 1, 0]), "seed": 0}
    >>> common["dataset"] = {"name": "pets", "test_fingerprint": "3fa9"}
    >>> good = Run(name="good", test_probabilities=np.eye(2)[[0, 1, 1, 0]], **common)
    >>> poor = Run(name="poor", test_probabilities=np.eye(2)[[0, 1, 0, 0]], **common)
    >>> compare_runs([poor, good]).table["difference"].tolist()
    [0.0, 0.25]
    """
    check_margin(margin)
    check_seed(seed)
    models = make_model_runs(collect_runs(runs))
    listed = [run for model in models for run in model.runs]
    check_fair(listed)
    chosen = choose_baseline(models, baseline)
    barred = selected_on_test(listed) or trained_on_test(listed)
    tests = test_pairs(() if barred else models, margin=margin, seed=seed)
    return Comparison(models=models, baseline=chosen, table=build_table(models, chosen), tests=tests, margin=margin)
