"""A plan of a comparison in words: the public face of `transferkit.statistics.planning`."""

from dataclasses import fields
from typing import TYPE_CHECKING

from transferkit.statistics.planning import ComparisonPlan, complete_plan, detectable_around
from transferkit.translation import Translator, translator

if TYPE_CHECKING:
    import pandas as pd


class Plan(ComparisonPlan):
    """What a comparison will be able to tell apart; `plan_comparison` makes it, and it prints as a sentence.

    Parameters
    ----------
    difference : float
        True difference in accuracy, a fraction, that is found with probability `power`; 1 if none can be.
    test_images : int
        Number of test images.
    seeds : int
        Trainings of each recipe. With one, two trained models are compared, and nothing is said of the recipes.
    power : float
        How often the difference is found.
    disagreement : float
        Share of the images that exactly one of two trained models, one of each recipe, answers correctly.
    seed_disagreement : float
        The same for two trainings of one recipe.
    seed_sd : float
        Standard deviation of the accuracy over seeds.
    pairs : int
        How many pairs are tested, and so adjusted for (Holm).
    paired : bool
        Whether the recipes share training images of their own for each seed.

    Examples
    --------
    >>> import transferkit as tk
    >>> plan = tk.plan_comparison(test_images=10_000, seeds=5)
    >>> round(plan.difference, 4)
    0.0073
    >>> plan.table.loc[10_000, 20].item() < plan.difference
    True
    >>> plan.sentence()[:31]
    'With 10,000 test images and 5 s'
    """

    @property
    def table(self) -> "pd.DataFrame":
        """The difference that is found, a fraction, by number of test images (rows) and of seeds (columns)."""
        import pandas as pd

        rows = pd.DataFrame(detectable_around(self), columns=["test_images", "seeds", "difference"])
        return rows.pivot_table(index="test_images", columns="seeds", values="difference")

    def sentence(self, *, language: str = "en") -> str:
        """Return what the comparison will be able to tell apart, to quote.

        Parameters
        ----------
        language : {"en", "ko"}, default "en"
            English or Korean.

        Returns
        -------
        str
            The plan, and what it assumes.

        Raises
        ------
        UnknownNameError
            If there are no texts in that language.
        """
        say = translator(language)
        return f"{self._write_finding(say)} {self._write_assumptions(say)}"

    def _write_finding(self, say: Translator) -> str:
        values = {
            "seeds": f"{self.seeds:,}",
            "images": f"{self.test_images:,}",
            "points": f"{100 * self.difference:.2f}",
            "power": f"{self.power:.0%}",
        }
        if self.difference >= 1:
            return say("With {images} test images and {seeds} seeds each, no difference can be found.", **values)
        if self.seeds == 1:
            return say(
                "With {images} test images and one run each, a true difference of {points} points between two trained models is found in "
                "{power} of cases; nothing can be said of their recipes.",
                **values,
            )
        return say(
            "With {images} test images and {seeds} seeds each, a true difference of {points} points between two recipes is found in "
            "{power} of cases.",
            **values,
        )

    def _write_assumptions(self, say: Translator) -> str:
        return say(
            "Assumed: two models disagree on {disagreement} of the images, two trainings of one recipe on {seed_disagreement}; accuracy has a "
            "standard deviation of {sd} points over seeds; {pairs} pairs are tested (Holm).",
            disagreement=f"{self.disagreement:.1%}",
            seed_disagreement=f"{self.seed_disagreement:.1%}",
            sd=f"{100 * self.seed_sd:.2f}",
            pairs=f"{self.pairs:,}",
        )

    def __str__(self) -> str:
        return self.sentence()


def plan_comparison(
    *,
    difference: float | None = None,
    test_images: int | None = None,
    seeds: int | None = None,
    power: float | None = 0.8,
    disagreement: float | None = 0.06,
    seed_disagreement: float = 0.04,
    seed_sd: float | None = 0.003,
    pairs: int | None = 1,
    paired: bool = False,
) -> Plan:
    """Say before any training how many seeds or test images it takes, or which difference can be found.

    Leave out the one of `difference`, `test_images` and `seeds` that is asked for; or give all three, and set another to None.

    Parameters
    ----------
    difference : float, optional
        True difference in accuracy, a fraction: 0.005 is half a point.
    test_images : int, optional
        Number of test images.
    seeds : int, optional
        Trainings of each recipe. With 1 two trained models are compared, by McNemar's test.
    power : float or None, default 0.8
        How often the difference is to be found.
    disagreement : float or None, default 0.06
        Share of the images that exactly one of two trained models, one of each recipe, answers correctly: the more, the
        larger a difference must be. On Fashion-MNIST a CNN and MobileNet have 0.05 to 0.06, a CNN and a random forest 0.09.
    seed_disagreement : float, default 0.04
        The same for two trainings of one recipe, at most `disagreement`: 0.04 for a CNN on Fashion-MNIST, 0.07 for an MLP.
    seed_sd : float or None, default 0.003
        Standard deviation of the accuracy over seeds, on one test set: 0.003 for a CNN on Fashion-MNIST; 0.01 and more with few labels.
    pairs : int or None, default 1
        How many pairs of models are to be tested, see ``family`` of `compare_runs`.
    paired : bool, default False
        Whether each seed draws training images that both recipes share.

    Returns
    -------
    Plan
        All of these, with ``table`` (numbers of images and seeds around it) and ``sentence()``.

    Raises
    ------
    InvalidInputError
        If not exactly one is left out, a number is out of its range, or no number within reason would do: then the message says what limits.

    See Also
    --------
    compare_runs : The tests that are planned for.

    Notes
    -----
    With several seeds the estimated difference has a variance of ``2 seed_sd^2 / seeds + (disagreement - seed_disagreement) /
    test_images``; more seeds make only the first part smaller. With few test images the first part is at least ``seed_disagreement /
    (test_images seeds)``: two trainings that disagree on some of them differ by that chance already. Take the three numbers from a
    pilot: two seeds of each recipe do.

    Examples
    --------
    How many seeds for half a point?

    >>> import transferkit as tk
    >>> plan = tk.plan_comparison(difference=0.005, test_images=10_000)
    >>> plan.seeds
    17
    >>> print(plan)
    With 10,000 test images and 17 seeds each, a true difference of 0.50 points between two recipes is found in 80% of cases. Assumed: ...
    >>> tk.plan_comparison(difference=0.01, seeds=5).test_images
    2489
    """
    found = complete_plan(
        difference=difference,
        test_images=test_images,
        seeds=seeds,
        power=power,
        disagreement=disagreement,
        seed_disagreement=seed_disagreement,
        seed_sd=seed_sd,
        pairs=pairs,
        paired=paired,
    )
    return Plan(**{field.name: getattr(found, field.name) for field in fields(found)})
