"""How often verdicts are wrong and intervals hold the truth, simulated: before issue 14 and now, with the error of the simulation.

    python benchmarks/coverage.py --quick
    python benchmarks/coverage.py --output docs/benchmarks

Needs neither Keras nor data: answers are made up. Each image has an ease, each recipe a taste of its own for each image, each training a
skill; the log-odds of a right answer are their sum. All rates are in percent; the truth of every row is known, since it was made. "Before" is
the library at commit a96989b: degrees of freedom of seeds and images pooled (Satterthwaite), the variance of the other side lent to a
single run, equality not adjusted for the number of pairs, equal images counted one by one.
"""

import argparse
import csv
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t as student

from transferkit.statistics.accuracy_tests import compare_recipes, compare_trained_models, count_disagreements
from transferkit.statistics.bootstrap import score_resamples
from transferkit.statistics.intervals import accuracy_interval
from transferkit.statistics.mann_whitney import probability_of_better
from transferkit.statistics.mcnemar import mcnemar_p, smallest_detectable
from transferkit.statistics.multiple_tests import adjust_holm
from transferkit.statistics.permutation_test import permutation_p
from transferkit.statistics.seeds_and_images import Spread, spread_of_difference, spread_of_mean
from transferkit.statistics.tango import difference_interval, equality_p

LEVEL = 0.05
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    question: str
    setting: str
    stated: str
    before: float | None
    now: float
    error: float
    trials: int


def rate(count: float, trials: int) -> float:
    return round(100 * count / trials, 1)


def make_row(question: str, setting: str, stated: str, before: float | None, now: float, trials: int) -> Row:
    share = max(now / trials, 1 / trials)
    error = round(196 * (share * max(1 - share, 1 / trials) / trials) ** 0.5, 1)
    return Row(
        question, setting, stated, None if before is None else rate(before, trials), rate(now, trials), error, trials
    )


# --- the answers that are made up


@dataclass(frozen=True)
class World:
    """What moves an answer, in log-odds."""

    ease: float = 3.5
    images: float = 2.0
    taste: float = 0.7
    seeds: float = 0.05

    @property
    def accuracy(self) -> float:
        return self.accuracy_at(0.0, with_seeds=True)

    def accuracy_at(self, skill: float, *, with_seeds: bool = False) -> float:
        points, weights = np.polynomial.hermite_e.hermegauss(120)
        spread = (self.images**2 + self.taste**2 + (self.seeds**2 if with_seeds else 0)) ** 0.5
        return float(np.average(1 / (1 + np.exp(-(self.ease + skill + spread * points))), weights=weights))

    def draw_images(self, rng: np.random.Generator, count: int, recipes: int = 2) -> list[NDArray[np.float64]]:
        ease = rng.normal(self.ease, self.images, count)
        return [ease + rng.normal(0, self.taste, count) for _ in range(recipes)]

    def train(self, rng: np.random.Generator, images: NDArray[np.float64], seeds: int, skill: object = None) -> Right:
        skills = rng.normal(0, self.seeds, (seeds, 1)) if skill is None else np.broadcast_to(skill, (seeds, 1))
        return rng.random((seeds, len(images))) < 1 / (1 + np.exp(-(images + skills)))


WORLDS = {
    "seeds vary little": World(),
    "seeds vary much": World(seeds=0.3),
    "images alike for both": World(taste=0.0, seeds=0.1),
}


def pooled(spread: Spread) -> tuple[float, float]:
    """Return variance and degrees of freedom as before: Satterthwaite's over all parts."""
    parts = [part for part in (*spread.seed_parts, (spread.images, spread.image_freedom)) if part[0] > 0]
    total = sum(variance for variance, _ in parts)
    return total, total**2 / sum(variance**2 / freedom for variance, freedom in parts) if parts else 1.0


def p_before(difference: float, spread: Spread) -> float:
    total, freedom = pooled(spread)
    return float(2 * student.sf(abs(difference) / total**0.5, freedom)) if total > 1e-24 else 1.0


def ends_before(centre: float, spread: Spread) -> tuple[float, float]:
    total, freedom = pooled(spread)
    reach = float(student.ppf(0.975, freedom)) * total**0.5
    return centre - reach, centre + reach


def welch_before(a: Right, b: Right, spread: Spread) -> Spread:
    """Return the spread with Welch's degrees of freedom, whatever the numbers of seeds."""
    parts = [(float(x.mean(axis=1).var(ddof=1)) / len(x), len(x) - 1.0) for x in (a, b)]
    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(v**2 / f for v, f in parts) if total else 1.0
    return Spread(((total, freedom),), spread.images, spread.image_freedom)


def p_both(a: Right, b: Right, *, paired: bool = False) -> tuple[float, float]:
    difference, spread = float(a.mean() - b.mean()), spread_of_difference(a, b, paired=paired)
    before = spread if paired else welch_before(a, b, spread)
    return p_before(difference, before), spread.p(difference) if spread.total > 1e-24 else 1.0


# --- the questions


def single_runs(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    many = 10 * trials
    for count in (50, 200, 1_000, 10_000):
        for share in (0.02, 0.1, 0.3):
            drawn = rng.multinomial(count, [share / 2, share / 2, 1 - share], size=many)
            alarms = (mcnemar_p(drawn[:, 0], drawn[:, 1]) < LEVEL).sum()
            yield make_row(
                "one run each, equal: false “better”",
                f"{count:,} images, {share:.0%} disagree",
                "≤ 5",
                alarms,
                alarms,
                many,
            )
    for first, second in ((0.01, 0.01), (0.03, 0.02), (0.2, 0.1)):
        for count in (200, 2_000):
            drawn = rng.multinomial(count, [first, second, 1 - first - second], size=many)
            low, high = difference_interval(drawn[:, 0], drawn[:, 1], count)
            held = ((low <= first - second) & (first - second <= high)).sum()
            yield make_row(
                "one run each: the interval holds the truth",
                f"{count:,} images, {first:.0%}/{second:.0%}",
                "95",
                held,
                held,
                many,
            )


def families(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for seeds in (1, 2, 3, 5, 10):
        for name, world in WORLDS.items():
            count, before, now, one_before, one_now = 500, 0, 0, 0, 0
            for _ in range(trials):
                images = world.draw_images(rng, count, 5)
                models = [world.train(rng, each, seeds, 0.0 if seeds == 1 else None) for each in images]
                pairs = [(models[i], models[j]) for i in range(5) for j in range(i)]
                if seeds == 1:
                    p = np.array([[mcnemar_p((a & ~b).sum(), (b & ~a).sum())] * 2 for a, b in pairs], float)
                else:
                    p = np.array([p_both(a, b) for a, b in pairs])
                before, now = before + (adjust_holm(p[:, 0]).min() < LEVEL), now + (adjust_holm(p[:, 1]).min() < LEVEL)
                one_before, one_now = one_before + (p[0, 0] < LEVEL), one_now + (p[0, 1] < LEVEL)
            setting = f"{seeds} seed{'s' * (seeds > 1)} each, {name}"
            yield make_row("five equal recipes, 10 pairs: any false “better”", setting, "≤ 5", before, now, trials)
            if seeds > 1:
                yield make_row("two equal recipes: false “better”", setting, "≤ 5", one_before, one_now, trials)


def paired_seeds(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for seeds in (2, 3, 5, 10):
        for name, world in WORLDS.items():
            before, now, one_before, one_now = 0, 0, 0, 0
            for _ in range(trials):
                p = []
                for _ in range(6):
                    a, b = world.draw_images(rng, 500)
                    subset = rng.normal(0, 0.3, (seeds, 1))
                    p.append(
                        p_both(
                            *(
                                world.train(rng, x, seeds, subset + rng.normal(0, world.seeds, (seeds, 1)))
                                for x in (a, b)
                            ),
                            paired=True,
                        )
                    )
                values = np.array(p)
                before, now = (x + (adjust_holm(values[:, i]).min() < LEVEL) for i, x in enumerate((before, now)))
                one_before, one_now = (x + (values[0, i] < LEVEL) for i, x in enumerate((one_before, one_now)))
            yield make_row(
                "paired seeds, 6 differences: any false “better”", f"{seeds} seeds, {name}", "≤ 5", before, now, trials
            )
            yield make_row("paired seeds: false “better”", f"{seeds} seeds, {name}", "≤ 5", one_before, one_now, trials)


def unequal_numbers(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for few, many in ((2, 10), (3, 10), (5, 10)):
        for name, factor in (("equal deviations", 1.0), ("the few vary twice as much", 2.0)):
            world, before, now = World(seeds=0.2), 0, 0
            for _ in range(3 * trials):
                a, b = world.draw_images(rng, 500)
                first = world.train(rng, a, few, rng.normal(0, factor * world.seeds, (few, 1)))
                p = p_both(first, world.train(rng, b, many))
                before, now = before + (p[0] < LEVEL), now + (p[1] < LEVEL)
            yield make_row(
                "two equal recipes: false “better”",
                f"{few} against {many} seeds, {name}",
                "≤ 5",
                before,
                now,
                3 * trials,
            )


def one_against_several(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for seeds in (2, 3, 5, 10):
        for factor in (1, 5):
            world, before, mean, held = World(seeds=0.1), 0, 0, 0
            alike = brentq(lambda skill, w=world: w.accuracy_at(skill) - w.accuracy, -1, 1)
            for _ in range(trials):
                a, b = world.draw_images(rng, 500)
                several = world.train(rng, b, seeds)
                drawn = world.train(rng, a, 1, rng.normal(0, factor * world.seeds))
                shared = float(several.mean(axis=1).var(ddof=1)) * (1 + 1 / seeds)
                images = spread_of_difference(drawn, several)
                lent = Spread(((shared, seeds - 1.0),), images.images, images.image_freedom)
                before += p_before(float(drawn.mean() - several.mean()), lent) < LEVEL
                fixed = world.train(rng, a, 1, alike)
                row = compare_recipes(fixed, several, margin=0.005)
                mean += row["p_mean"] < LEVEL
                following = world.train(rng, b, 1)
                held += row["next_low"] <= fixed.mean() - following.mean() <= row["next_high"]
            setting = f"{seeds} seeds" + (", the single run's recipe varies 5 times as much" if factor > 1 else "")
            yield make_row(
                "one run against several, equal recipes: false “better”; now: a run at the other's mean",
                setting,
                "≤ 5",
                before,
                mean,
                trials,
            )
            if factor == 1:
                yield make_row(
                    "one run against several: the other's next run lies in the interval",
                    setting,
                    "≥ 95",
                    None,
                    held,
                    trials,
                )
        alarms, world = 0, World(seeds=0.0)
        for _ in range(trials):
            a, b = world.draw_images(rng, 500)
            alarms += compare_recipes(world.train(rng, a, 1), world.train(rng, b, seeds), margin=0.005)["p"] < LEVEL
        yield make_row(
            "one trained model against the mean of several trained ones, equal",
            f"{seeds} models",
            "≤ 5",
            None,
            alarms,
            trials,
        )


def equality(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    many, margin = 10 * trials, 0.005
    for pairs in (1, 4, 9):
        drawn = rng.multinomial(10_000, [0.015, 0.01, 0.975], size=(many, pairs))
        p = equality_p(drawn[..., 0], drawn[..., 1], 10_000, margin=margin)
        now = sum(adjust_holm(row).min() < LEVEL for row in p)
        yield make_row(
            "difference at the margin: any false “practically equal”",
            f"{pairs} pair{'s' * (pairs > 1)}",
            "≤ 5",
            (p.min(axis=1) < LEVEL).sum(),
            now,
            many,
        )


def coverage(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for share in (0.7, 0.9, 0.98):
        for count in (50, 200, 1_000):
            right = rng.binomial(count, share, 10 * trials)
            ends = {k: accuracy_interval([[True] * k + [False] * (count - k)]) for k in np.unique(right)}
            held = sum(ends[k][0] <= share <= ends[k][1] for k in right)
            yield make_row(
                "accuracy of one run: the interval holds the truth",
                f"{count:,} images, {share:.0%}",
                "95",
                held,
                held,
                len(right),
            )
    for seeds in (2, 3, 5, 10):
        for label, world, count in (
            ("seeds vary little, 500 images", World(), 500),
            ("seeds vary little, 5,000 images", World(), 5_000),
            ("seeds vary much, 5,000 images", World(seeds=0.3), 5_000),
            ("accuracy 99%, 500 images", World(ease=7.0), 500),
        ):
            truth, before, now = world.accuracy, 0, 0
            for _ in range(trials):
                right = world.train(rng, world.draw_images(rng, count, 1)[0], seeds)
                low, high = ends_before(float(right.mean()), spread_of_mean(right))
                before += low <= truth <= high
                low, high = accuracy_interval(right)
                now += low <= truth <= high
            yield make_row(
                "mean accuracy of several seeds: the interval holds the truth",
                f"{seeds} seeds, {label}",
                "≥ 95",
                before,
                now,
                trials,
            )
            before, now = 0, 0
            for _ in range(trials if count < 1_000 else trials // 2):
                a, b = world.draw_images(rng, count)
                first, second = world.train(rng, a, seeds), world.train(rng, b, seeds)
                difference, spread = float(first.mean() - second.mean()), spread_of_difference(first, second)
                low, high = ends_before(difference, welch_before(first, second, spread))
                before += low <= 0 <= high
                low, high = spread.interval(difference)
                now += low <= 0 <= high
            yield make_row(
                "difference of two recipes: the interval holds the truth",
                f"{seeds} seeds, {label}",
                "≥ 95",
                before,
                now,
                trials if count < 1_000 else trials // 2,
            )
    for seeds in (3, 5):
        held, world = 0, World()
        for _ in range(trials):
            models = [world.train(rng, x, seeds) for x in world.draw_images(rng, 500, 5)]
            rows = [
                spread_of_difference(models[i], models[j]).interval(
                    float(models[i].mean() - models[j].mean()), confidence=1 - LEVEL / 10
                )
                for i in range(5)
                for j in range(i)
            ]
            held += all(low <= 0 <= high for low, high in rows)
        yield make_row(
            "ten pairs: all simultaneous intervals hold the truth", f"{seeds} seeds", "≥ 95", None, held, trials
        )


def losses(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    for count in (50, 300, 1_000):
        sure = rng.beta(4, 1, (1_000_000, 2)) * [1.0, 0.97]
        truth = float(np.mean(np.log(sure[:, 1]) - np.log(sure[:, 0])))
        held = 0
        for _ in range(trials // 2):
            drawn = rng.beta(4, 1, (count, 2)) * [1.0, 0.97]
            groups = [[np.column_stack([1 - drawn[:, i], drawn[:, i]])] for i in (0, 1)]
            scored = score_resamples(groups, np.ones(count, np.int64), rng, clip=1e-7)["loss"]
            low, high = np.quantile(scored[0] - scored[1], [0.025, 0.975])
            held += low <= truth <= high
        yield make_row(
            "loss of one run each: the interval holds the truth", f"{count:,} images", "95", held, held, trials // 2
        )


def these_images(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    """What holds for the test images at hand only, asked of others as well."""
    for seeds in (5, 10):
        for label, count in (("200 images", 200), ("2,000 images", 2_000)):
            world, permuted, before, now = World(taste=1.0), 0, 0, 0
            for _ in range(trials // 2):
                a, b = world.draw_images(rng, count)
                first, second = world.train(rng, a, seeds), world.train(rng, b, seeds)
                accuracies = first.mean(axis=1), second.mean(axis=1)
                permuted += permutation_p(*accuracies, rng=rng) < LEVEL
                better, low, high = probability_of_better(*accuracies)
                said = (low > 0.5 and better >= 0.75) or (high < 0.5 and better <= 0.25)
                before += said
                now += said and p_both(first, second)[1] < LEVEL
            setting = f"{seeds} seeds, {label}"
            yield make_row(
                "equal recipes: p (permutation) below 0.05, read as of other images too",
                setting,
                "–",
                permuted,
                permuted,
                trials // 2,
            )
            yield make_row("equal recipes: “a difference that matters”", setting, "≤ 5", before, now, trials // 2)
    for seeds in (3, 5, 10, 20):
        for shift in (0.0, 0.8):
            truth = float(scipy.stats.norm.cdf(shift / 2**0.5))
            ends = [
                probability_of_better(rng.normal(shift, 1, seeds), rng.normal(0, 1, seeds))[1:] for _ in range(trials)
            ]
            held = sum(low <= truth <= high for low, high in ends)
            yield make_row(
                "P(first beats second): the interval holds the truth",
                f"{seeds} seeds, P = {truth:.2f}",
                "95",
                held,
                held,
                trials,
            )


def peeking(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    world, found, planned = World(seeds=0.2), 0, 0
    for _ in range(trials):
        a, b = world.draw_images(rng, 500)
        first, second = world.train(rng, a, 12), world.train(rng, b, 12)
        p = [p_both(first[:k], second[:k])[1] for k in range(3, 13)]
        found, planned = found + (min(p) < LEVEL), planned + (p[-1] < LEVEL)
    yield make_row(
        "equal recipes, seeds added one by one from 3 to 12 until “better”",
        "told as “added seeds” now",
        "–",
        found,
        found,
        trials,
    )
    yield make_row("equal recipes, 12 seeds as planned", "", "≤ 5", planned, planned, trials)


def equal_images(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    clusters = np.arange(2_000) % 200
    before, now = 0, 0
    for _ in range(5 * trials):
        difference = np.tile(rng.choice([-1.0, 0.0, 1.0], 200, p=[0.1, 0.8, 0.1]), 10)
        before += mcnemar_p(*count_disagreements(difference)[:2]) < LEVEL
        now += mcnemar_p(*count_disagreements(difference, clusters)[:2]) < LEVEL
    yield make_row(
        "one run each, equal, every image ten times: false “better”",
        "200 images ten times",
        "≤ 5",
        before,
        now,
        5 * trials,
    )
    world, before, now = World(), 0, 0
    for _ in range(trials):
        pair = [np.tile(world.train(rng, x, 3), 10) for x in world.draw_images(rng, 200)]
        difference = float(pair[0].mean() - pair[1].mean())
        before += p_before(difference, spread_of_difference(*pair)) < LEVEL
        now += spread_of_difference(*pair, clusters=clusters).p(difference) < LEVEL
    yield make_row(
        "3 seeds each, equal, every image ten times: false “better”", "200 images ten times", "≤ 5", before, now, trials
    )


def power(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    many = 10 * trials
    for share in (0.02, 0.1):
        for count in (500, 5_000):
            detectable = float(smallest_detectable(share * count, count))
            if detectable >= share:
                continue
            drawn = rng.multinomial(count, [(share + detectable) / 2, (share - detectable) / 2, 1 - share], size=many)
            found = (compare_trained_models(drawn[:, 0], drawn[:, 1], count, margin=0.005)["p"] < LEVEL).sum()
            yield make_row(
                "the smallest detectable difference is found",
                f"one run each, {count:,} images, {share:.0%} disagree",
                "80",
                found,
                found,
                many,
            )
    for seeds in (2, 3, 5, 10):
        for ratio in (0.0, 1.0, 5.0):
            variance, images = 2 / seeds, ratio * 2 / seeds
            plan = Spread(((variance, 2.0 * seeds - 2),), images, 9_999.0)
            detectable = plan.detectable()
            d = rng.normal(detectable, (variance + images) ** 0.5, trials)
            v = variance * rng.chisquare(2 * seeds - 2, trials) / (2 * seeds - 2)
            found = sum(
                Spread(((x, 2.0 * seeds - 2),), images, 9_999.0).p(y) < LEVEL for x, y in zip(v, d, strict=True)
            )
            yield make_row(
                "the planned difference is found",
                f"{seeds} seeds, images vary {ratio:g} times as much as seeds",
                "≥ 80",
                None,
                found,
                trials,
            )


QUESTIONS: dict[str, Callable[[np.random.Generator, int], Iterator[Row]]] = {
    question.__name__: question
    for question in (
        single_runs,
        families,
        paired_seeds,
        unequal_numbers,
        one_against_several,
        equality,
        coverage,
        losses,
        these_images,
        peeking,
        equal_images,
        power,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 trials a row: whether it runs, not what comes out")
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=QUESTIONS, action="append", help="one question; may be given several times")
    parser.add_argument("--output", type=Path, help="folder for coverage.csv and coverage.json")
    arguments = parser.parse_args()
    trials = 40 if arguments.quick else arguments.trials
    start, rows = time.time(), []
    print("| question | setting | stated (%) | before (%) | now (%) |\n|---|---|---|---|---|")
    for name in arguments.only or QUESTIONS:
        for row in QUESTIONS[name](np.random.default_rng([arguments.seed, list(QUESTIONS).index(name)]), trials):
            rows.append(row)
            before = "" if row.before is None else f"{row.before}"
            print(f"| {row.question} | {row.setting} | {row.stated} | {before} | {row.now} ± {row.error} |", flush=True)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        with (arguments.output / "coverage.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(asdict(rows[0])), lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, rows))
        about = {
            "trials": trials,
            "seed": arguments.seed,
            "seconds": round(time.time() - start),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }
        (arguments.output / "coverage.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
