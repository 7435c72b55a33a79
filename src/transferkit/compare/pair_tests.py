"""Pairs of models put to the tests, all of a family at once."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferkit.compare.compared_model import ComparedModel, are_paired, share_folds
from transferkit.compare.transfer import find_transfer_pairs
from transferkit.errors import InvalidInputError
from transferkit.runs.metrics import LOG_LOSS_CLIP
from transferkit.statistics.accuracy_tests import compare_recipes, compare_trained_models, count_disagreements
from transferkit.statistics.bootstrap import METRICS, Scores, score_resamples
from transferkit.statistics.clusters import Clusters, score_clusters
from transferkit.statistics.conventions import LEVEL, NO_VARIANCE
from transferkit.statistics.cross_validation import compare_folds, spread_over_folds
from transferkit.statistics.image_scores import Metric
from transferkit.statistics.multiple_tests import adjust_holm
from transferkit.statistics.seeds_and_images import spread_of_difference
from transferkit.statistics.verdicts import Scope, Verdict, decide, turn_verdict

if TYPE_CHECKING:
    import pandas as pd

_ALL_PAIRS: Final = 10  # of five models
_PAIRS_AT_ONCE: Final = 2_000
_CLEARLY: Final = 0.75
_Places = NDArray[np.int64]


class Family(StrEnum):
    """Which pairs are tested, and so adjusted for."""

    ALL = "all"
    BASELINE = "baseline"
    """Those with the baseline, and those that say whether transfer helped."""


def choose_family(family: str | None, models: Sequence[ComparedModel]) -> Family:
    """Return which pairs to test: by default all of up to five models, and those with the baseline of more."""
    if family is None:
        completed = sum(bool(model.completed) for model in models)
        return Family.ALL if completed * (completed - 1) // 2 <= _ALL_PAIRS else Family.BASELINE
    try:
        return Family(family)
    except ValueError:
        raise InvalidInputError(
            f"family must be 'all', 'baseline' or None (all pairs of up to five models, else those with the baseline); got {family!r}."
        ) from None


def test_pairs(
    models: Sequence[ComparedModel], *, baseline: str | None, family: Family, margin: float, seed: int
) -> "pd.DataFrame":
    """Return one row for each pair of the family, the later model against the earlier one.

    Parameters
    ----------
    models : sequence of ComparedModel
        Models whose runs `check_fair` let pass.
    baseline : str or None
        Name of the baseline.
    family : Family
        Which pairs.
    margin : float
        Differences in accuracy up to this fraction count as practically none.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        The columns that `transferkit.Comparison` describes under ``tests``.
    """
    import pandas as pd

    completed = [model for model in models if model.completed]
    b, a = _choose_pairs(completed, baseline, family)
    names = pd.DataFrame({"a": [completed[i].name for i in a], "b": [completed[i].name for i in b]}, dtype=object)
    if not len(names):
        return names
    rng = np.random.default_rng(seed)
    clusters = find_clusters(completed)
    several = np.array([len(model.completed) > 1 or model.folds is not None for model in completed])
    of_runs, of_recipes = (np.flatnonzero(chosen) for chosen in (~(several[a] | several[b]), several[a] | several[b]))
    parts, level = [], LEVEL / len(names)  # Holm's adjustment asks this of the pair with the smallest p
    if len(of_runs):
        columns = _compare_runs(completed, a[of_runs], b[of_runs], clusters, margin, level, rng)
        parts.append(pd.DataFrame(columns, index=of_runs))
    if len(of_recipes):
        pairs = [(completed[i], completed[j]) for i, j in zip(a[of_recipes], b[of_recipes], strict=True)]
        rows = [
            compare_models(*pair, clusters=clusters, margin=margin, level=level, rng=rng)
            | _compare_scores(*pair, clusters)
            for pair in pairs
        ]
        parts.append(pd.DataFrame(rows, index=of_recipes))
    table = names.join(pd.concat(parts))
    accuracies = np.array([model.mean("accuracy") for model in completed])
    table["detectable"] = drop_impossible(table["detectable"], accuracies[a], accuracies[b])
    table = take_verdicts(table)
    for name in METRICS:
        table[f"{name}_p_holm"] = _adjust(table[f"{name}_p"])
        table[f"{name}_verdict"] = decide(
            table[f"{name}_p_holm"], table[f"{name}_difference"], smaller_is_better=Metric(name).smaller_is_better
        )
    return table


def _choose_pairs(models: Sequence[ComparedModel], baseline: str | None, family: Family) -> tuple[_Places, _Places]:
    """Return the places of the earlier and of the later model of each pair."""
    b, a = np.triu_indices(len(models), 1)
    if family is Family.ALL:
        return b, a
    place = {model.name: i for i, model in enumerate(models)}
    asked = {frozenset((place[str(baseline)], i)) for i in range(len(models))} if baseline in place else set()
    asked |= {frozenset((place[first], place[second])) for first, second in find_transfer_pairs(models)}
    chosen = np.array([frozenset(pair) in asked for pair in zip(b.tolist(), a.tolist(), strict=True)], bool)
    return b[chosen], a[chosen]


def find_clusters(models: Sequence[ComparedModel]) -> Clusters | None:
    """Return which test images are equal, by the first model that knows."""
    return next((model.clusters for model in models if model.completed and model.clusters is not None), None)


def compare_models(
    a: ComparedModel,
    b: ComparedModel,
    *,
    margin: float,
    level: float,
    images: NDArray[np.bool_] | None = None,
    clusters: Clusters | None = None,
    rng: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Compare the accuracy of two models, of which one has several seeds or neither has, on all images or on some of them."""
    if images is None and share_folds(a, b):
        differences = a.fold_means("accuracy") - b.fold_means("accuracy")
        return compare_folds(differences, test_share=_held_out(a), margin=margin, level=level)
    right_a, right_b = (model.correct if images is None else model.correct[:, images] for model in (a, b))
    if clusters is not None and images is not None:
        clusters = np.unique(clusters[images], return_inverse=True)[1]
    if len(right_a) == len(right_b) == 1:
        return _compare_two_runs(right_a[0], right_b[0], _scope(a, b), clusters, margin, level)
    return compare_recipes(
        right_a,
        right_b,
        margin=margin,
        paired=are_paired(a, b),
        no_chance=(_lacks_chance(a, b), _lacks_chance(b, a)),
        level=level,
        clusters=clusters,
        rng=rng,
    )


def _held_out(model: ComparedModel) -> float:
    """Return the share of the images that a fold holds out."""
    folds = model.folds
    return 0.0 if folds is None else 1 / len(np.unique(folds[0]))


def _lacks_chance(model: ComparedModel, other: ComparedModel) -> bool:
    """Whether a run is all that its recipe can give, for the training images that the other model had as well."""
    both = (*model.completed, *other.completed)
    return model.has_no_chance and len({run.dataset.get("train_fingerprint") for run in both}) == 1


def _scope(a: ComparedModel, b: ComparedModel) -> str:
    return (Scope.RECIPES if _lacks_chance(a, b) and _lacks_chance(b, a) else Scope.MODELS).value


def _compare_two_runs(
    a: NDArray[np.bool_], b: NDArray[np.bool_], scope: str, clusters: Clusters | None, margin: float, level: float
) -> dict[str, Any]:
    counts = count_disagreements(a.astype(np.float64) - b, clusters)
    row = compare_trained_models(*counts, margin=margin, level=level)
    plain = {name: value.item() if isinstance(value, np.ndarray | np.generic) else value for name, value in row.items()}
    return plain | {"scope": scope, "only_a": int((a & ~b).sum()), "only_b": int((b & ~a).sum())}


def _compare_runs(
    models: Sequence[ComparedModel],
    a: _Places,
    b: _Places,
    clusters: Clusters | None,
    margin: float,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Compare two trained models each time: what their answers to the same images say."""
    right = np.stack([model.correct[0] for model in models]).astype(np.float64)
    only = np.rint(right @ (1 - right).T).astype(np.int64)
    if clusters is None:
        counts = (only[a, b], only[b, a], right.shape[1])
    else:
        pairs = [count_disagreements(right[i] - right[j], clusters) for i, j in zip(a, b, strict=True)]
        counts = tuple(np.array(pairs).T)
    columns = compare_trained_models(*counts, margin=margin, level=level)
    columns |= {"only_a": only[a, b], "only_b": only[b, a]}
    columns["scope"] = [_scope(models[i], models[j]) for i, j in zip(a, b, strict=True)]
    used = np.unique([a, b])
    groups = [[models[i].example.test_probabilities] for i in used]
    labels = models[0].test_labels
    resampled = score_resamples(groups, labels, rng, clip=LOG_LOSS_CLIP, clusters=clusters)
    places = np.searchsorted(used, a), np.searchsorted(used, b)
    for name in METRICS:
        columns |= _compare_scores_of_runs(name, [models[i] for i in used], resampled, *places, clusters)
    return columns


def _compare_scores_of_runs(
    name: str, models: Sequence[ComparedModel], resampled: Scores, a: _Places, b: _Places, clusters: Clusters | None
) -> dict[str, Any]:
    """Return difference, interval (paired bootstrap over images) and p (Student's t over images) for each pair."""
    values = np.array([model.mean(name) for model in models])
    columns: dict[str, Any] = {f"{name}_difference": values[a] - values[b]}
    ends = [np.empty((2, 0))]
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        chosen = slice(start, start + _PAIRS_AT_ONCE)
        differences = resampled[name][a[chosen]] - resampled[name][b[chosen]]
        ends.append(np.quantile(differences, [LEVEL / 2, 1 - LEVEL / 2], axis=1))
    low, high = np.concatenate(ends, axis=1)
    scores = score_clusters(np.concatenate([model.scores(name)[:1] for model in models]), clusters)
    count = scores.shape[1]
    if count < 2:  # one image says nothing of others
        return columns | dict.fromkeys((f"{name}_low", f"{name}_high", f"{name}_p"), np.nan)
    products = np.cov(scores).reshape(len(scores), len(scores))
    variance = np.maximum(products[a, a] + products[b, b] - 2 * products[a, b], 0.0) / count
    p = _p_by_t(columns[f"{name}_difference"], variance, count - 1)
    return columns | {f"{name}_low": low, f"{name}_high": high, f"{name}_p": p}


def _p_by_t(difference: NDArray[np.float64], variance: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    from scipy.special import stdtr

    known = variance > NO_VARIANCE
    t = np.divide(-np.abs(difference), np.sqrt(variance), out=np.zeros_like(difference), where=known)
    return np.where(known, 2 * stdtr(freedom, t), 1.0)


def _compare_scores(a: ComparedModel, b: ComparedModel, clusters: Clusters | None) -> dict[str, float]:
    """Return difference, interval and p of each metric of two recipes: seeds and images counted, as for accuracy."""
    # One trained model against the mean of several: only the images can vary.
    one = 1 in (len(a.completed), len(b.completed)) and not (_lacks_chance(a, b) or _lacks_chance(b, a))
    row = {}
    for name in METRICS:
        row[f"{name}_difference"] = difference = a.mean(name) - b.mean(name)
        if share_folds(a, b):
            spread = spread_over_folds(a.fold_means(name) - b.fold_means(name), test_share=_held_out(a))
            row[f"{name}_low"], row[f"{name}_high"] = spread.interval(difference)
            row[f"{name}_p"] = spread.p(difference)
            continue
        first, second = a.scores(name), b.scores(name)
        if first.shape[1] < 2:  # one image says nothing of others
            row |= dict.fromkeys((f"{name}_low", f"{name}_high", f"{name}_p"), np.nan)
            continue
        if one:
            first, second = first.mean(axis=0, keepdims=True), second.mean(axis=0, keepdims=True)
        spread = spread_of_difference(first, second, paired=are_paired(a, b), clusters=clusters)
        row[f"{name}_low"], row[f"{name}_high"] = spread.interval(difference)
        row[f"{name}_p"] = spread.p(difference)
    return row


def drop_impossible(detectable: Any, accuracy_a: Any, accuracy_b: Any) -> NDArray[np.float64]:
    """Return the smallest detectable differences, infinite where no model could be so much better than the worse of the two."""
    room = 1 - np.minimum(accuracy_a, accuracy_b)
    values = np.asarray(detectable, np.float64)
    return np.where(values > np.maximum(room, 0.0), np.inf, values)


def _adjust(p: Any) -> NDArray[np.float64]:
    """Return p adjusted by Holm for those that are known."""
    values = np.asarray(p, np.float64)
    adjusted = np.full(values.shape, np.nan)
    known = ~np.isnan(values)
    adjusted[known] = adjust_holm(values[known])
    return adjusted


def take_verdicts(table: "pd.DataFrame", *, smaller_is_better: bool = False) -> "pd.DataFrame":
    """Add the adjusted p values and the verdicts to a table of tests."""
    table["p_holm"] = _adjust(table["p"])
    table["p_equal_holm"] = _adjust(table["p_equal"])
    for name in ("models", "mean"):
        if f"p_{name}" in table:
            table[f"p_{name}_holm"] = _adjust(table[f"p_{name}"].fillna(table["p"]))
            table.loc[table[f"p_{name}"].isna(), f"p_{name}_holm"] = np.nan
    table["verdict"] = decide(
        table["p_holm"], table["difference"], table["p_equal_holm"], smaller_is_better=smaller_is_better
    )
    if "better" in table:
        for_a = (table["verdict"] == Verdict.A_BETTER) & (table["better"] >= _CLEARLY) & (table["better_low"] > 0.5)
        for_b = (
            (table["verdict"] == Verdict.B_BETTER) & (table["better"] <= 1 - _CLEARLY) & (table["better_high"] < 0.5)
        )
        table["matters"] = for_a | for_b
    return table


def find_pair(tests: "pd.DataFrame", name: str, other: str) -> dict[str, Any]:
    """Return the tests of two models, turned round if need be so that `name` is ``a``.

    Raises
    ------
    InvalidInputError
        If this pair was not tested.
    """
    for a, b, turned in ((name, other, False), (other, name, True)):
        found = tests[(tests["a"] == a) & (tests["b"] == b)] if len(tests) else tests
        if len(found):
            row = {str(key): value for key, value in found.iloc[0].to_dict().items()}
            return turn_pair(row) if turned else row
    raise InvalidInputError(
        f"{name!r} and {other!r} were not tested against each other: only pairs with the baseline were. "
        "compare_runs(..., family='all') tests all pairs, and adjusts for all."
    )


_SIGNED: Final = ("difference", "loss", "brier", "f1_macro")
_ENDS: Final = ("difference", "simultaneous", "seed", "models", "mean", "next", "loss", "brier", "f1_macro")


def turn_pair(row: dict[str, Any]) -> dict[str, Any]:
    """Return the tests of the same pair with ``a`` and ``b`` exchanged."""
    turned = row | {"a": row["b"], "b": row["a"], "only_a": row["only_b"], "only_b": row["only_a"]}
    for stem in _SIGNED:
        name = stem if stem == "difference" else f"{stem}_difference"
        if name in row:
            turned[name] = -row[name]
    for stem in _ENDS:
        if f"{stem}_low" in row:
            turned |= {f"{stem}_low": -row[f"{stem}_high"], f"{stem}_high": -row[f"{stem}_low"]}
    if "better" in row:
        names = ("better", "better_low", "better_high")
        turned |= dict(zip(names, (1 - row["better"], 1 - row["better_high"], 1 - row["better_low"]), strict=True))
    return turned | {key: turn_verdict(value) for key, value in row.items() if key.endswith("verdict")}
