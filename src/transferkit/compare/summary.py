"""The sentences of a report: verdict, data, training, weights, notes, versions. No markup."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from transferkit.compare.fairness import selected_on_test, trained_on_test
from transferkit.compare.model_runs import ModelRuns
from transferkit.compare.results import Results
from transferkit.compare.table import differing_conditions, differing_settings, list_augmentations
from transferkit.compare.texts import texts_in
from transferkit.compare.verdicts import find_pair, write_pair, write_scope
from transferkit.runs.run import Run
from transferkit.runs.spread import decimals_for

_HARDWARE: Final = ("platform", "cpu", "accelerator", "cores", "memory")
_PARTS_SHOWN: Final = 5
_RECIPE_ORDER: Final = (
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_epochs",
    "label_smoothing",
    "weight_decay",
    "batchnorm_images",
)
_PHASE_RECIPE: Final = ("learning_rate", "schedule", "warmup_epochs")


def write_title(models: Sequence[ModelRuns], language: str) -> str:
    """Return the heading of a report."""
    texts = texts_in(language)
    names = list(dict.fromkeys(str(run.dataset.get("name") or "") for model in models for run in model.runs))
    dataset = ", ".join(name for name in names if name) or texts["unnamed_dataset"]
    return texts["title_one" if len(models) == 1 else "title_many"].format(count=len(models), dataset=dataset)


def list_banners(runs: Sequence[Run], language: str) -> list[str]:
    """Return what bars a verdict: weights selected by, or trained on, the test images."""
    texts = texts_in(language)
    found = []
    for key, names in (
        ("banner_test_selection", selected_on_test(runs)),
        ("banner_test_training", trained_on_test(runs)),
    ):
        if names:
            found.append(texts[key].format(names=", ".join(names)))
    return found


def write_verdict(results: Results, language: str) -> str:
    """Return what can be said of the most accurate model against the baseline, and what cannot.

    Where the baseline itself is the most accurate, the runner-up takes its place.
    """
    texts = texts_in(language)
    if banners := list_banners(results.runs, language):
        return texts["verdict_none_barred"].format(reason=banners[0])
    completed = [model for model in results.models if model.completed]
    if not completed:
        return texts["verdict_none_finished"]
    if len(completed) == 1:
        return texts["verdict_one"]
    best, other = results.leading
    return write_pair_verdict(results, best.name, other.name, language)


def write_pair_verdict(results: Results, name: str, other: str, language: str) -> str:
    """Return what can be said of two models with completed runs, and what the sentence is about."""
    decimals = decimals_for(max(len(run.test_labels) for run in results.runs))
    pair = find_pair(results, name, other)
    return " ".join([write_pair(pair, results, language, decimals), write_scope(pair, language)])


def describe_data(runs: Sequence[Run], language: str) -> list[str]:
    """Return sentences on the data: one line where all runs share it, else one line each."""
    texts = texts_in(language)
    lines: dict[str, list[str]] = {}
    for run in runs:
        lines.setdefault(_describe_dataset(run, texts), []).append(run.name)
    shared = len(lines) == 1
    found = [line if shared else f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in lines.items()]
    fingerprints = {run.dataset.get("test_fingerprint") for run in runs} - {None, ""}
    return [
        *found,
        *(texts["data_fingerprint"].format(fingerprint=value[:16]) for value in sorted(map(str, fingerprints))),
    ]


def _describe_dataset(run: Run, texts: dict[str, str]) -> str:
    data = run.dataset
    test = data.get("test_size") or len(run.test_labels)
    classes = len(run.class_names)
    if data.get("train_size") is None:
        return texts["data_test_only"].format(test=test, classes=classes)
    validation = data.get("validation_size") or 0
    sentences = [
        texts["data_line"].format(
            dataset=data.get("name") or texts["unnamed_dataset"],
            train=data["train_size"],
            validation=validation,
            test=test,
            classes=classes,
        )
    ]
    if data.get("labels_per_class"):
        sentences.append(texts["data_labels_per_class"].format(count=data["labels_per_class"]))
    if not validation:
        sentences.append(texts["data_no_validation"])
    if data.get("source"):
        sentences.append(texts["data_source"].format(source=data["source"]))
    return " ".join(sentences)


def describe_training(model: ModelRuns, language: str) -> str:
    """Return one line on how a model was trained."""
    texts = texts_in(language)
    run = model.example
    recipe = {key: value for key, value in run.recipe.items() if value not in (None, "", (), [], {}, 0, "constant")}
    planned = {str(phase.get("name")): phase for phase in recipe.pop("phases", []) if isinstance(phase, dict)}
    for name, phase in planned.items():
        if phase.get("learning_rate") is None and "learning_rate" in recipe:  # then it is the one of the optimiser
            planned[name] = phase | {"learning_rate": recipe["learning_rate"]}
    parts = [_describe_phase(phase, planned.get(str(phase.get("name")), {}), texts) for phase in run.phases]
    told = ("epochs", *_PHASE_RECIPE) if planned and run.phases else ("epochs",) if run.phases else ()
    parts += _describe_options({key: value for key, value in recipe.items() if key not in told}, _RECIPE_ORDER, texts)
    if "augment" in run.recipe:
        names = list_augmentations(run)
        parts.append(texts["recipe_augment"].format(value=names) if names else texts["recipe_no_augment"])
    parts += [f"{key}={_plain(value)}" for key, value in recipe.items() if key not in (*_RECIPE_ORDER, "augment")]
    if not parts:
        parts.append(texts["recipe_unknown"])
    if run.selection != "none" and len({one.selected_epoch for one in model.completed}) > 1:
        epochs = ", ".join(str(one.selected_epoch) for one in model.completed)
        parts.append(texts[f"selection_{run.selection}"].format(epoch=epochs))
    elif run.selection != "none" and (run.selected_epoch is not None or run.selection == "last"):
        parts.append(texts[f"selection_{run.selection}"].format(epoch=run.selected_epoch))
    if run.tuning_trials > 1:
        parts.append(texts["tuning_trials"].format(count=run.tuning_trials))
    seeds = ", ".join(map(str, model.seeds))
    parts.append(texts["seed" if len(model.runs) == 1 else "several_seeds"].format(seed=seeds))
    return "; ".join(parts)


def _describe_options(options: dict[str, Any], order: Sequence[str], texts: dict[str, str]) -> list[str]:
    return [texts[f"recipe_{name}"].format(value=_plain(options[name])) for name in order if name in options]


def _describe_phase(phase: dict[str, Any], planned: dict[str, Any], texts: dict[str, str]) -> str:
    """Return what a phase trained (`phase`) and at which rate (`planned`, empty if only the recipe knows)."""
    name = str(phase.get("name", ""))
    parts = [texts["phase"].format(name=texts.get(f"phase_{name}", name), epochs=phase.get("epochs", "?"))]
    if phase.get("trainable_parameters") is not None:
        parts.append(texts["phase_parameters"].format(parameters=phase["trainable_parameters"]))
    if phase.get("features_computed") is not None:
        computed = int(phase["features_computed"])
        parts.append(texts["phase_features" if computed else "phase_features_found"].format(count=computed))
    options = {key: value for key, value in planned.items() if value not in (None, 0, "constant")}
    return ", ".join([*parts, *_describe_options(options, _PHASE_RECIPE, texts)])


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def describe_weights(run: Run, language: str) -> str:
    """Return one line on where a run's initial weights came from."""
    texts = texts_in(language)
    provenance = run.provenance
    if not provenance.get("source"):
        return texts["weights_unknown"]
    source = str(provenance["source"])
    if source == "random":
        return texts["weights_random"]
    backbone = str(provenance.get("backbone") or "")
    if provenance.get("width") is not None:
        backbone = f"{backbone} {float(provenance['width'])}"
    values = {
        "backbone": backbone,
        "image_size": provenance.get("image_size") or "?",
        "resolution": provenance.get("resolution") or "?",
        "origin": texts.get(f"origin_{source}", source),
    }
    key = {"path": "weights_path", "user-model": "weights_user_model"}.get(source)
    if key is None:
        key = "weights_imagenet" if f"origin_{source}" in texts else "weights_other"
    parts = [texts[key].format(**values)]
    if provenance.get("file"):
        parts.append(texts["weights_file"].format(file=provenance["file"]))
    if provenance.get("sha256"):
        parts.append(texts["weights_sha256"].format(sha256=str(provenance["sha256"])[:16]))
    return ", ".join(parts)


def list_notes(results: Results, language: str) -> list[str]:
    """Return what a reader must know in order not to misread the table."""
    texts = texts_in(language)
    runs, baseline = results.runs, results.baseline
    completed = [run for run in runs if run.status == "completed"]
    notes = []
    left_out = [
        f"{_name(model, run, texts)} ({texts[run.status]})"
        for model in results.models
        for run in model.runs
        if run.status != "completed"
    ]
    if left_out:
        notes.append(texts["note_left_out"].format(left_out=len(left_out), count=len(runs), names=", ".join(left_out)))
    thinned = [model.name for model in results.models if 0 < len(model.completed) < len(model.runs)]
    if thinned:
        notes.append(texts["note_thinned"].format(names=", ".join(thinned)))
    differing = [texts[f"column_{name}"] for name in differing_conditions([model.example for model in results.models])]
    if differing:
        notes.append(texts["note_differ"].format(columns=", ".join(differing)))
    if rising := [model.name for model in results.models if _rises_still(model)]:
        notes.append(texts["note_rising"].format(names=_list_names(rising)))
    if recipes := differing_settings([model.example for model in results.models]):
        names = ", ".join(texts[f"setting_{name}"] for name in recipes)
        notes.append(texts["note_recipes"].format(names=names, section=texts["section_training"]))
    if not differing and len(shared := _by_train_data(results.models)) > 1:
        notes.append(texts["note_train_data"].format(models=_join([_list_names(names) for names in shared], " / ")))
    for key, hardware in (("note_versions", False), ("note_hardware", True)):
        if values := _write_differing(_collect(runs, hardware=hardware)):
            notes.append(texts[key].format(values=values))
    told = {model.name: dict.fromkeys(note for run in model.runs for note in run.notes) for model in results.models}
    notes += [texts["note_run"].format(name=name, note=note) for name, found in told.items() for note in found]
    if completed:
        classes = len(completed[0].class_names)
        if any(len(model.completed) == 1 for model in results.models):
            notes.append(texts["note_interval"].format(test=len(completed[0].test_labels)))
        if results.has_seeds:
            notes.append(texts["note_seeds"])
        if len(results.models) > 1 and baseline is not None:
            notes.append(texts["note_difference"].format(baseline=baseline))
        if len(results.tests):
            methods = set(results.tests["method"])
            if "mcnemar" in methods:
                notes.append(texts["note_mcnemar"])
            if methods - {"mcnemar"}:
                notes.append(texts["note_welch"])
            notes.append(texts["note_tests"].format(pairs=len(results.tests), margin=f"{100 * results.margin:g}"))
            notes.append(texts["note_detectable"])
        notes.append(texts["note_loss"].format(classes=classes, chance=math.log(classes)))
        if any(run.overfit_gap is not None for run in completed):
            notes.append(texts["note_gap"])
    if any(run.images_per_second is not None for run in runs):
        notes.append(texts["note_speed"])
    return notes


def _name(model: ModelRuns, run: Run, texts: dict[str, str]) -> str:
    return model.name if len(model.runs) == 1 else f"{model.name}, {texts['seed'].format(seed=run.seed)}"


def _rises_still(model: ModelRuns) -> bool:
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


def _by_train_data(models: Sequence[ModelRuns]) -> list[list[str]]:
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
        f"{name} {_join([f'{value} ({_list_names(models)})' for value, models in values.items()], ' / ')}"
        for name, values in entries.items()
        if len(values) > 1
    )


def _list_names(names: Sequence[str]) -> str:
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
            text = _plain(value or "none")  # no accelerator differs from a GPU
            models = found.setdefault(str(key), {}).setdefault(text, [])
            if run.name not in models:
                models.append(run.name)
    return found
