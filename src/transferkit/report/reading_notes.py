"""What a reader must know in order not to misread a comparison; versions and hardware."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.comparison import ComparisonResults
from transferkit.compare.table import differing_conditions, differing_settings
from transferkit.plots.style import STATUS
from transferkit.report.number_phrases import join_words
from transferkit.report.training_sentences import name_seed, plain
from transferkit.report.vocabulary import COLUMNS, CONDITIONS
from transferkit.runs.run import Run
from transferkit.statistics.verdicts import Method
from transferkit.translation import Translator

_HARDWARE: Final = ("platform", "cpu", "accelerator", "cores", "memory")
_PARTS_SHOWN: Final = 5


def list_notes(results: ComparisonResults, say: Translator) -> list[str]:
    """Return what a reader must know in order not to misread the tables."""
    told = {model.name: dict.fromkeys(note for run in model.runs for note in run.notes) for model in results.models}
    return [
        *_notes_on_unfinished(results, say),
        *_notes_on_seeds(results, say),
        *_notes_on_images(results, say),
        *_notes_on_differences(results, say),
        *(f"{name}: {note}" for name, found in told.items() for note in found),
        *_notes_on_numbers(results, say),
    ]


def _notes_on_unfinished(results: ComparisonResults, say: Translator) -> Iterator[str]:
    left_out = [
        f"{name_seed(model.name, run.seed, say) if len(model.runs) > 1 else model.name} ({say(STATUS[run.status])})"
        for model in results.models
        for run in model.runs
        if run.status != "completed"
    ]
    if left_out:
        yield say(
            "Listed but not compared, {left_out} of {count} runs: {names}.",
            left_out=len(left_out),
            count=len(results.runs),
            names=", ".join(left_out),
        )
    thinned = [model.name for model in results.models if 0 < len(model.completed) < len(model.runs)]
    if thinned:
        yield say(
            "Not all seeds finished: {names}. The mean is of those that did, and so may flatter.",
            names=", ".join(thinned),
        )


def _notes_on_seeds(results: ComparisonResults, say: Translator) -> Iterator[str]:
    if few := results.few_seeds:
        yield say(
            "Only two seeds: {names}. Two say next to nothing of how much seeds vary, so intervals are wide and little is found; "
            "train with three or more.",
            names=list_names(few),
        )
    if added := results.added_seeds:
        names = "; ".join(f"“{name}”: {', '.join(map(str, seeds))}" for name, seeds in added.items())
        yield say(
            "Seeds added after the first plan ({names}). Adding seeds until a difference shows finds differences that are not "
            "there: p and intervals hold for seeds that were planned.",
            names=names,
        )


def _notes_on_images(results: ComparisonResults, say: Translator) -> Iterator[str]:
    if repeated := results.repeated_images:
        yield say(
            "{count:,} test images equal another one or belong to one group with it. Each group counts once in intervals and "
            "tests.",
            count=repeated,
        )
    if (frequent := results.most_frequent) is not None:
        yield say(
            "The classes are of unequal size: answering “{class_name}” every time is right in {accuracy:.1%} of cases, with a "
            "macro F1 of {f1:.2f}. Compare macro F1 as well.",
            class_name=frequent.name,
            accuracy=frequent.accuracy,
            f1=frequent.f1_macro,
        )


def _notes_on_differences(results: ComparisonResults, say: Translator) -> Iterator[str]:
    """Yield in what the models were not trained alike."""
    examples = [model.example for model in results.models]
    differing = [say(COLUMNS[name]) for name in differing_conditions(examples)]
    if differing:
        yield say(
            "Not trained alike: {columns} differ (see the table). A difference in accuracy may come from that.",
            columns=", ".join(differing),
        )
    if rising := [model.name for model in results.models if _rises_still(model)]:
        yield say(
            "Chosen on validation was the last epoch of {names}: with more epochs, results might have been better.",
            names=list_names(rising),
        )
    if recipes := differing_settings(examples):
        yield say(
            "Their recipes differ in {names} as well, see “{section}”.",
            names=join_words([say(CONDITIONS[name]) for name in recipes], say),
            section=say("How each model was trained"),
        )
    if not differing and len(shared := _by_train_data(results.models)) > 1:
        groups = _join([list_names(names) for names in shared], " / ")
        yield say("The models were not trained on the same training images: {models}.", models=groups)
    if values := _write_differing(_collect(results.runs, hardware=False)):
        yield say("The software differs: {values}. Small differences may come from that.", values=values)
    if values := _write_differing(_collect(results.runs, hardware=True)):
        yield say(
            "The runs were made on different hardware, so training times cannot be compared: {values}.", values=values
        )


def _notes_on_numbers(results: ComparisonResults, say: Translator) -> Iterator[str]:
    """Yield what the columns mean, and how far they can be trusted."""
    completed = [run for run in results.runs if run.status == "completed"]
    if any(len(model.completed) == 1 and model.folds is None for model in results.models):
        yield say(
            "The 95% interval (Wilson) says what {test:,} test images leave open about this one trained model. Training "
            "again with another seed moves the accuracy besides.",
            test=len(completed[0].test_labels),
        )
    if completed and results.has_seeds:
        yield say(
            "Where a model has several seeds, results are their means. The 95% interval counts what other test images (Wilson) and "
            "other seeds (Student's t) would change; the interval over seeds alone holds for these test images only."
        )
    if completed and len(results.models) > 1 and results.baseline is not None:
        yield say(
            "Differences are in percentage points of test accuracy, against the baseline {baseline}.",
            baseline=results.baseline,
        )
    if len(results.tests):
        yield from _notes_on_tests(results, say)
    if completed:
        classes = len(completed[0].class_names)
        yield say(
            "Test loss is the mean cross-entropy (log-loss); guessing among {classes} classes gives {chance:.2f}. Macro F1 "
            "is the mean of the classes' F1, each class with the same weight.",
            classes=classes,
            chance=math.log(classes),
        )
    if any(run.overfit_gap is not None for run in completed):
        yield say(
            "Overfit gap: accuracy on training images minus accuracy on test images, both of the final model and without "
            "augmentation. A large gap means that the model knows its training images better than new ones (overfitting)."
        )
    if front := _list_front(results):
        yield say("No model trains as fast as one of these and is more accurate: {names}.", names=list_names(front))
    if any(run.images_per_second is not None for run in results.runs):
        yield say("Images/s: training images processed in a second of training time, over all phases.")


def _notes_on_tests(results: ComparisonResults, say: Translator) -> Iterator[str]:
    methods, pairs = set(results.tests["method"]), len(results.tests)
    if methods & {Method.MCNEMAR, Method.ONE_AGAINST_SEVERAL}:
        yield say(
            "Trained models are compared on the same test images: interval for paired proportions (Tango 1998), exact McNemar "
            "test, loss differences by paired bootstrap."
        )
    if methods & {Method.WELCH, Method.PAIRED_T}:
        yield say(
            "Pairs with several seeds: Student's t for what seeds would change (Welch) and for what test images would change, put "
            "together (Howe 1974)."
        )
    if "better" in results.tests and results.tests["better"].notna().any():
        yield say(
            "The exact permutation test, shown where it can reach 0.05 at all, and P hold for these test images only. P is the "
            "probability that a training of the first beats one of the second, a tie counting half (Newcombe 2006). A difference "
            "matters if the verdict says better, P is 0.75 or more, and its interval lies above 0.5 (Bouthillier et al. 2021)."
        )
    if pairs > 1:
        yield say(
            "p (Holm) is adjusted for the {pairs} pairs that were tested (Holm 1979), and decides. A 95% interval is that of its "
            "pair alone: it may exclude 0 where p (Holm) is above 0.05.",
            pairs=pairs,
        )
    margin = f"{100 * results.margin:g}"
    yield say(
        "“Better” needs p, adjusted for all pairs, below 0.05; “practically equal” needs the same of a test that the difference is "
        "within ±{margin} points; all else is undecided.",
        margin=margin,
    )
    yield say(
        "Smallest detectable: the true difference, in points, that such a test would find in 80% of cases, also where the "
        "adjustment is at its strictest. A smaller difference may exist and stay undecided."
    )


def _list_front(results: ComparisonResults) -> list[str]:
    """Return the models that no quicker one beats, if the times can be compared at all."""
    if len(results.models) < 3 or any(len(values) > 1 for values in _collect(results.runs, hardware=True).values()):
        return []
    front = results.pareto("train_seconds")
    return [str(name) for name in front.index[front["on_front"].to_numpy(bool)]]


def _rises_still(model: ComparedModel) -> bool:
    """Whether validation chose the last epoch of every run: the training may have ended too early (He et al. 2018, arXiv:1811.08883)."""
    return bool(model.completed) and all(
        run.selection == "validation"
        and len(run.history) > 1
        and "strength" not in run.history[-1]  # a row is a penalty there, no epoch
        and run.selected_epoch == run.history[-1].get("epoch")
        for run in model.completed
    )


def describe_environment(runs: Sequence[Run]) -> list[str]:
    """Return versions and hardware, each value once: ``keras 3.15.1``, ``cpu AMD EPYC``."""
    found = _collect(runs, hardware=False) | _collect(runs, hardware=True)
    return [f"{name} {' / '.join(values)}" for name, values in found.items()]


def _by_train_data(models: Sequence[ComparedModel]) -> list[list[str]]:
    """Return the names of the models that share their training images, group by group; not those of which it is unknown."""
    groups: dict[frozenset[Any], list[str]] = {}
    for model in models:
        fingerprints = frozenset(run.dataset.get("train_fingerprint") for run in model.runs)
        if fingerprints.isdisjoint({None, ""}):
            groups.setdefault(fingerprints, []).append(model.name)
    return list(groups.values())


def _write_differing(entries: dict[str, dict[str, list[str]]]) -> str:
    """Return the entries with several values, and which models have which: ``keras 3.14.0 (“CNN”) / 3.15.1 (“SVM”)``."""
    return "; ".join(
        f"{name} {_join([f'{value} ({list_names(models)})' for value, models in values.items()], ' / ')}"
        for name, values in entries.items()
        if len(values) > 1
    )


def list_names(names: Sequence[str]) -> str:
    """Return names in quotes, the first few."""
    return _join([f"“{name}”" for name in names], ", ")


def _join(parts: Sequence[str], separator: str) -> str:
    """Return the first parts, and how many more there are."""
    more = [f"+{len(parts) - _PARTS_SHOWN}"] if len(parts) > _PARTS_SHOWN else []
    return separator.join([*parts[:_PARTS_SHOWN], *more])


def _collect(runs: Iterable[Run], *, hardware: bool) -> dict[str, dict[str, list[str]]]:
    """Return the values of each entry of the environments in order of appearance, and which models have them."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        flat = {key: value for key, value in run.environment.items() if not isinstance(value, dict)}
        for value in run.environment.values():
            if isinstance(value, dict):  # versions in an object of their own
                flat |= value
        for key, value in flat.items():
            if (key in _HARDWARE) != hardware or (value in (None, "") and key != "accelerator"):
                continue
            text = plain(value or "none")  # no accelerator differs from a GPU
            models = found.setdefault(str(key), {}).setdefault(text, [])
            if run.name not in models:
                models.append(run.name)
    return found
