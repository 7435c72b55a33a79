"""What was trained: on which data, how, from which weights."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.table import list_augmentations
from transferkit.compare.transfer import Start, start_of
from transferkit.report.vocabulary import CHOICES, ORIGINS, PHASES, RECIPE
from transferkit.runs.run import Run
from transferkit.translation import Translator, mark

_CHECKED: Final = mark(", official files, verified by SHA-256")
_PHASE_RECIPE: Final = ("learning_rate", "schedule", "warmup_epochs")


def name_seed(name: str, seed: int | None, say: Translator) -> str:
    """Return the name of one run of several of a model."""
    return name + ", " + say.counted("seed {seeds}", "seeds {seeds}", 1, seeds=seed)


def describe_data(runs: Sequence[Run], say: Translator) -> list[str]:
    """Return sentences on the data: one line where all runs share it, else one line each."""
    lines: dict[str, list[str]] = {}
    for run in runs:
        lines.setdefault(_describe_dataset(run, say), []).append(run.name)
    shared = len(lines) == 1
    found = [line if shared else f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in lines.items()]
    fingerprints = {run.dataset.get("test_fingerprint") for run in runs} - {None, ""}
    return [
        *found,
        *(
            say("Fingerprint of the test data: {fingerprint}", fingerprint=value[:16])
            for value in sorted(map(str, fingerprints))
        ),
    ]


def _describe_dataset(run: Run, say: Translator) -> str:
    data = run.dataset
    test = data.get("test_size") or len(run.test_labels)
    classes = len(run.class_names)
    if data.get("train_size") is None:
        return say(
            "{test:,} test images, {classes} classes; the training data is not recorded.", test=test, classes=classes
        )
    validation = data.get("validation_size") or 0
    sentences = [
        say(
            "{dataset}: {train:,} training, {validation:,} validation and {test:,} test images, {classes} classes.",
            dataset=data.get("name") or say("unnamed data"),
            train=data["train_size"],
            validation=validation,
            test=test,
            classes=classes,
        )
    ]
    if data.get("labels_per_class"):
        sentences.append(say("{count:,} labelled training images per class.", count=data["labels_per_class"]))
    if data.get("folds"):
        sentences.append(say("Cross-validated: each image is predicted by a model that was trained without its fold."))
    if not validation:
        sentences.append(say("No image was held out for validation."))
    if data.get("source"):
        source = str(data["source"])
        checked = source.removesuffix(_CHECKED)
        sentences.append(say("Source: {source}.", source=source if checked == source else checked + say(_CHECKED)))
    return " ".join(sentences)


def describe_training(model: ComparedModel, say: Translator) -> str:
    """Return one line on how a model was trained."""
    run = model.example
    recipe: dict[str, Any] = {
        key: value for key, value in run.recipe.items() if value not in (None, "", (), [], {}, 0, "constant")
    }
    if start_of(model) is Start.FROZEN:
        recipe.pop("batchnorm_images", None)  # its statistics stay those of pretraining
    planned = {str(phase.get("name")): phase for phase in recipe.pop("phases", []) if isinstance(phase, dict)}
    for name, phase in planned.items():
        if phase.get("learning_rate") is None and "learning_rate" in recipe:  # then it is the one of the optimiser
            planned[name] = phase | {"learning_rate": recipe["learning_rate"]}
    parts = [_describe_phase(dict(phase), planned.get(str(phase.get("name")), {}), say) for phase in run.phases]
    if run.dataset.get("folds"):
        parts = list(dict.fromkeys(parts))  # each fold has phases of its own
    told = ("epochs", *_PHASE_RECIPE) if planned and run.phases else ("epochs",) if run.phases else ()
    parts += _describe_options({key: value for key, value in recipe.items() if key not in told}, RECIPE, say)
    if "augment" in run.recipe:
        names = list_augmentations(run)
        parts.append(say("augmentation {value}", value=names) if names else say("no augmentation"))
    parts += [f"{key}={plain(value)}" for key, value in recipe.items() if key not in (*RECIPE, "augment")]
    if not parts:
        parts.append(say("the recipe is not recorded"))
    if run.selection != "none" and len({one.selected_epoch for one in model.completed}) > 1:
        epochs = ", ".join(str(one.selected_epoch) for one in model.completed)
        parts.append(say(CHOICES[run.selection], epoch=epochs))
    elif run.selection != "none" and (run.selected_epoch is not None or run.selection == "last"):
        parts.append(say(CHOICES[run.selection], epoch=run.selected_epoch))
    if run.tuning_trials > 1:
        parts.append(say("settings tried on validation: {count}", count=run.tuning_trials))
    seeds = ", ".join(map(str, model.seeds))
    parts.append(say.counted("seed {seeds}", "seeds {seeds}", len(model.runs), seeds=seeds))
    return "; ".join(parts)


def _describe_options(options: dict[str, Any], order: Iterable[str], say: Translator) -> list[str]:
    return [say(RECIPE[name], value=plain(options[name])) for name in order if name in options]


def _describe_phase(phase: dict[str, Any], planned: dict[str, Any], say: Translator) -> str:
    """Return what a phase trained (`phase`) and at which rate (`planned`, empty if only the recipe knows)."""
    name = str(phase.get("name", ""))
    parts = [
        say(
            "{name}: epochs {epochs}",
            name=say(PHASES[name]) if name in PHASES else name,
            epochs=phase.get("epochs", "?"),
        )
    ]
    if phase.get("trainable_parameters") is not None:
        parts.append(say("trainable parameters {parameters:,}", parameters=phase["trainable_parameters"]))
    if phase.get("features_computed") is not None:
        computed = int(phase["features_computed"])
        parts.append(
            say("features computed for {count:,} images", count=computed)
            if computed
            else say("features of all images found in the cache")
        )
    options = {key: value for key, value in planned.items() if value not in (None, 0, "constant")}
    return ", ".join([*parts, *_describe_options(options, _PHASE_RECIPE, say)])


def plain(value: object) -> str:
    """Return a setting as it is read, without quotes and brackets."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


def describe_weights(run: Run, say: Translator) -> str:
    """Return one line on where a run's initial weights came from."""
    provenance = run.provenance
    if not provenance.get("source"):
        return say("no pretrained weights recorded")
    source = str(provenance["source"])
    if source == "random":
        return say("random initialisation, nothing pretrained")
    backbone = str(provenance.get("backbone") or "")
    width = provenance.get("width")
    if width is not None:
        backbone = f"{backbone} {float(width)}"
    parts = [_describe_origin(source, backbone, provenance, say)]
    if provenance.get("file"):
        parts.append(say("file {file}", file=provenance["file"]))
    if provenance.get("sha256"):
        parts.append(say("SHA-256 {sha256}", sha256=str(provenance["sha256"])[:16]))
    return ", ".join(parts)


def _describe_origin(source: str, backbone: str, provenance: Mapping[str, Any], say: Translator) -> str:
    size = provenance.get("image_size") or "?"
    if source == "path":
        return say(
            "{backbone}, weights from a file of the user's, used at {image_size} px", backbone=backbone, image_size=size
        )
    if source == "user-model":
        return say("a model of the user's own, used at {image_size} px", image_size=size)
    if source not in ORIGINS:
        return say("{backbone}, from {origin}", backbone=backbone, origin=source)
    return say(
        "{backbone}, pretrained on ImageNet (weights for {resolution} px, used at {image_size} px), from {origin}",
        backbone=backbone,
        resolution=provenance.get("resolution") or "?",
        image_size=size,
        origin=say(ORIGINS[source]),
    )
