"""A comparison in words: the public face of `transferkit.compare.comparison`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transferkit import files
from transferkit.compare.comparison import ComparisonResults
from transferkit.errors import InvalidInputError
from transferkit.plots.overview import plot_overview
from transferkit.progress import simplify
from transferkit.report.comparison_document import write_document, write_opening
from transferkit.report.figures import draw_figures
from transferkit.report.html import write_fragment, write_page
from transferkit.report.latex import write_latex
from transferkit.report.markdown import write_markdown
from transferkit.report.plain_text import write_text
from transferkit.report.reading_notes import list_notes
from transferkit.report.verdict_sentences import list_banners, list_verdicts, write_pair_verdict
from transferkit.runs.grouping import Runs
from transferkit.translation import translator

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from transferkit.data.dataset import Dataset


class Comparison(ComparisonResults):
    """Trained models side by side; `compare_runs` makes it.

    It prints as what can be said and a table. A notebook shows it so.

    Parameters
    ----------
    models : tuple of ComparedModel
        The models under the names of the table: each has a ``name`` and ``runs``, one for each seed.
    baseline : str or None
        The model from which differences are taken; None if no run finished.
    table : DataFrame
        One row a model, indexed by name, of plain numbers; results are means over the completed runs. Fractions from 0 to 1:
        ``accuracy``, ``accuracy_low`` and ``accuracy_high`` (95% interval: Wilson's for one run; for several one that counts
        other seeds and other test images), ``accuracy_sd`` (standard deviation over seeds), ``seed_low`` and ``seed_high``
        (Student's t over seeds alone), ``difference`` (accuracy minus the baseline's), ``f1_macro``, ``balanced_accuracy`` (mean recall of
        the classes), ``overfit_gap`` (training minus test accuracy). Others: ``status``, ``seeds`` (completed runs), ``unfinished``,
        ``added_seeds`` (how many were added after the first plan), ``loss`` (nats), ``parameters``, ``trainable_parameters``,
        ``train_seconds``, ``images_per_second``, ``train_size``, ``validation_size``, ``labels_per_class``, ``image_size`` (pixels of a
        side to which a backbone's images are resized), ``epochs``, ``augment``, ``tuning_trials``, ``selection``. NaN where not recorded.
    tests : DataFrame
        One row for each pair of the family, ``a`` minus ``b``, on the same test images. ``method``: ``"mcnemar"`` for one run each;
        ``"welch"`` for several seeds each (or a method without chance in it, whose one run says all); ``"paired t"`` where both share
        training images of their own for each seed; ``"one run against seeds"`` where one has a single run. ``scope``: ``"recipes"`` or, with
        a single run, ``"models"``: the trained ones at hand. Fractions from 0 to 1: ``difference`` of accuracy with ``difference_low`` and
        ``difference_high`` (95% interval of this pair alone: Tango 1998 for trained models, else seeds and test images together, Howe 1974),
        ``simultaneous_low`` and ``simultaneous_high`` (those that hold for all pairs together), ``detectable`` (the difference that such a test
        finds in 80% of cases; infinite if no model could be so much better). ``p`` (exact McNemar, or that of the interval) and ``p_holm``
        (adjusted for all pairs of the family); ``p_equal`` and ``p_equal_holm``: of the test that the difference is within the margin.
        ``only_a``, ``only_b``: images that only one answers correctly; one run each. With seeds: ``seed_low``, ``seed_high`` (for these test
        images alone), ``p_permutation`` (exact, for these test images alone; NaN with too few seeds to reach 0.05), ``better`` with
        ``better_low`` and ``better_high`` (probability that a training of a beats one of b on these test images), ``matters`` (whether that is
        0.75 or more, surely above 0.5, and the verdict says better as well), ``models_low``, ``models_high``, ``p_models``,
        ``p_models_holm`` (the means of the trained models at hand on other images). With one run against several: ``mean_low``,
        ``mean_high``, ``p_mean``, ``p_mean_holm`` (the single one against the mean of the other's seeds), ``next_low``, ``next_high`` (against
        the other's next training, 95% prediction interval). ``loss_``, ``brier_`` and ``f1_macro_`` ``difference``, ``low``, ``high`` (paired
        bootstrap, 1,000 resamples of the test images; with seeds as for accuracy), ``p``, ``p_holm``, ``verdict``. ``verdict``:
        ``"a better"``, ``"b better"`` (``p_holm`` below 0.05), ``"practically equal"`` (``p_equal_holm`` below 0.05) or ``"undecided"``.
    margin : float
        What counts as practically equal.
    family : Family
        Which pairs were tested: ``"all"`` or ``"baseline"``.

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
    >>> print(comparison.to_text("ko").splitlines()[0])
    이름 없는 데이터: 모델 2개 비교
    >>> report = comparison.to_markdown("ko")
    >>> page = comparison.to_html("report.html")
    >>> table = comparison.to_latex()
    >>> comparison.plot().savefig("accuracy.png")
    """

    @property
    def verdict(self) -> str:
        """What can be said, in English, and what cannot: a line each for whether transfer helped and for the most accurate model.

        `sentence` says it in Korean.
        """
        return self.sentence()

    @property
    def notes(self) -> list[str]:
        """What a reader must know in order not to misread the table, in English."""
        return [simplify(note) for note in list_notes(self, translator("en"))]

    def sentence(self, name: str | None = None, other: str | None = None, *, language: str = "en") -> str:
        """Return what can be said, to quote: of two models, or of all.

        Parameters
        ----------
        name, other : str, optional
            The two models; the baseline if only `other` is None. If both are: whether transfer helped, where one architecture is there
            pretrained and from scratch; whether fine-tuning did, where it is there frozen as well; and the most accurate model
            against the baseline, or against the runner-up where it is the baseline.
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            Which one is better, or that they are practically equal, or that it is undecided; with the difference, its 95%
            interval, p, p adjusted for all pairs, and the smallest detectable difference. Then what the sentence is about:
            trained models, or recipes. If there is no verdict on any pair, why. Several sentences stand in lines of their own.

        Raises
        ------
        UnknownNameError
            If no model with completed runs has that name, or there are no texts in that language.
        InvalidInputError
            If both names are the same, `other` is given without `name`, or the pair is not one of those tested.

        Examples
        --------
        >>> import numpy as np
        >>> import transferkit as tk
        >>> truth = np.arange(200) % 2
        >>> common = {"class_names": ("cat", "dog"), "test_labels": truth, "seed": 0}
        >>> common["dataset"] = {"test_fingerprint": "3fa9"}
        >>> poor = tk.Run(name="poor", test_probabilities=np.eye(2)[truth * (np.arange(200) < 150)], **common)
        >>> good = tk.Run(name="good", test_probabilities=np.eye(2)[truth * (np.arange(200) < 190)], **common)
        >>> tk.compare_runs([poor, good]).sentence("poor", "good", language="ko")[:17]
        '“good” 모델이 “poor”'
        """
        if name is None and other is not None:
            raise InvalidInputError(f"other={other!r} needs a name to be compared with: sentence(name, {other!r}).")
        say = translator(language)
        self.check_known(name, other)
        if name is not None and len(self.leading) > 1:
            first, second = self.name_pair(name, other)
            if not list_banners(self, say):
                return simplify(write_pair_verdict(self, first, second, say))
        return simplify("\n".join(list_verdicts(self, say)))

    def to_text(self, language: str = "en") -> str:
        """Return what can be said and the tables as plain text, in signs that the console knows; printing says it in English.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            The answers first.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        return write_text(write_opening(self, translator(language)))

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
        return write_markdown(write_document(self, translator(language)))

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
        say = translator(language)
        page = write_page(write_document(self, say), draw_figures(self, say, images))
        if path is not None:
            files.write_text(files.as_path(path, "path"), page, what="the report")
        return page

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
        return write_latex(write_opening(self, translator(language)))

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
        return plot_overview(self.runs, language=language)

    def _repr_html_(self) -> str:
        return write_fragment(write_opening(self, translator("en")))

    def __repr__(self) -> str:
        return self.to_text()


def compare_runs(
    runs: Runs,
    *,
    baseline: str | None = None,
    margin: float = 0.005,
    family: Literal["all", "baseline"] | None = None,
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
    family : {"all", "baseline"}, optional
        Which pairs are tested, since every test makes the others' p larger: all; or those with the baseline, and those that say whether
        transfer helped. All of up to five models, and those with the baseline of more, if None.
    seed : int, default 0
        Of the bootstrap and of drawn permutations; the same seed gives the same report.

    Returns
    -------
    Comparison
        With ``table``, ``tests``, ``verdict``, ``sentence()``, ``plot()``, ``to_text()``, ``to_markdown()``, ``to_html()`` and
        ``to_latex()``.

    Raises
    ------
    UnfairComparisonError
        If there is no run; if two runs of one name have the same seed or differ in recipe, or one run is given twice; if
        test images, their number, their labels, class names or class order differ; if probabilities are missing, not
        finite or do not add up to 1; or if the baseline is not completed. The message says which runs and why.
    UnknownNameError
        If no model has the baseline's name.
    InvalidInputError
        If something else than runs is given, the margin is not between 0 and 1, or there is no such family.
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
    >>> import transferkit as tk
    >>> common = {"class_names": ("cat", "dog"), "test_labels": np.array([0, 1, 1, 0]), "seed": 0}
    >>> common["dataset"] = {"name": "pets", "test_fingerprint": "3fa9"}
    >>> good = tk.Run(name="good", test_probabilities=np.eye(2)[[0, 1, 1, 0]], **common)
    >>> poor = tk.Run(name="poor", test_probabilities=np.eye(2)[[0, 1, 0, 0]], **common)
    >>> tk.compare_runs([poor, good]).table["difference"].tolist()
    [0.0, 0.25]
    """
    return Comparison.from_runs(runs, baseline=baseline, margin=margin, family=family, seed=seed)
