"""The records that a Run is made of, as they stand in ``run.json``: each key, its type, and who writes it.

Every key but a row's ``epoch`` may be absent: other programs record less, older versions of transferkit recorded less, and later
ones record more. Keys that are not listed are kept as they are. A whole number is 0 or more; a float is finite, and None stands for
one that is not, since JSON has no word for NaN.
"""

from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired, Required

from typing_extensions import ReadOnly, TypedDict

from transferkit.data.description import DatasetRecord

Selection = Literal["validation", "last", "test", "none"]
Status = Literal["completed", "diverged", "interrupted"]


class Limits(NamedTuple):
    """The smallest and the largest value that a number may have."""

    low: float
    high: float = float("inf")


FRACTION: Final = Limits(0.0, 1.0)

Fraction = Annotated[float, FRACTION]
Seconds = Annotated[float, Limits(0.0)]
Positive = Annotated[int, Limits(1)]


class EpochRecord(TypedDict, total=False):
    """One row of the history: an epoch, or one strength of the penalty that a logistic head tried.

    Other metrics of the model stand beside these under the names that Keras gives them; a metric of the user's own may be called
    accuracy and go above 1. The time of ``seconds`` is the training's alone. Written by the training of each phase, and by `transferkit.Run.from_history`.
    """

    epoch: Required[ReadOnly[Positive]]
    phase: ReadOnly[str]
    loss: ReadOnly[float | None]
    accuracy: ReadOnly[float | None]
    val_loss: ReadOnly[float | None]
    val_accuracy: ReadOnly[float | None]
    learning_rate: ReadOnly[float | None]
    seconds: ReadOnly[Seconds]
    validation_seconds: ReadOnly[Seconds]
    strength: ReadOnly[float]


class PhaseRecord(TypedDict, total=False):
    """What a phase did. ``images`` counts every image of every epoch; ``seconds`` include ``preparation_seconds``.

    ``features_computed`` is the number of images that went through the frozen layers, 0 if all their features were kept.
    """

    name: ReadOnly[str]
    epochs: ReadOnly[int]
    trainable_parameters: ReadOnly[int | None]
    engine: ReadOnly[str]
    seconds: ReadOnly[Seconds | None]
    preparation_seconds: ReadOnly[Seconds]
    validation_seconds: ReadOnly[Seconds]
    images: ReadOnly[int]
    images_per_second: ReadOnly[Annotated[float, Limits(0.0)] | None]
    features_computed: ReadOnly[int]


class PhasePlan(TypedDict, total=False):
    """What a phase was asked to do; a ``learning_rate`` of None leaves the optimiser's own.

    ``views`` is the number of augmented views of each image, absent if there is no limit; ``unfreeze_from`` the first layer of the
    backbone that trains, ``unfreeze_last`` how many of its blocks do, absent where all of it does; ``batch_norm`` is False where its BatchNorm layers do not.
    """

    name: ReadOnly[str]
    epochs: ReadOnly[int]
    learning_rate: ReadOnly[float | str | None]
    schedule: ReadOnly[str]
    warmup_epochs: ReadOnly[float]
    views: ReadOnly[int]
    unfreeze_from: ReadOnly[str]
    unfreeze_last: ReadOnly[int]
    batch_norm: ReadOnly[bool]


class Recipe(TypedDict, total=False):
    """How a network was trained: everything that was chosen, besides the model, the data and the seed.

    ``learning_rate`` is the last phase's; words if the optimiser has a schedule of its own. ``penalty`` describes that of a
    logistic head. ``left_out_of_an_epoch`` counts the training images that made no whole batch. ``plain_because`` says why
    the whole model was trained as it is, where a part of it is frozen.
    ``temperature`` is what `transferkit.calibrate` divided the logits by; ``test_time_augment`` is ``"flip"`` after
    `transferkit.average_flips`.
    """

    epochs: ReadOnly[int]
    batch_size: ReadOnly[int]
    left_out_of_an_epoch: ReadOnly[int]
    head: ReadOnly[Literal["gradient", "logistic"]]
    optimizer: ReadOnly[str]
    optimizer_config: ReadOnly[dict[str, Any]]
    learning_rate: ReadOnly[float | str | None]
    weight_decay: ReadOnly[float | None]
    schedule: ReadOnly[str | None]
    warmup_epochs: ReadOnly[float]
    augment: ReadOnly[list[str] | str]
    label_smoothing: ReadOnly[float]
    class_weight: ReadOnly[str | dict[str, float]]
    early_stopping: ReadOnly[int]
    average_weights: ReadOnly[float]
    matmul_precision: ReadOnly[str]
    layer_decay: ReadOnly[float]
    batchnorm_images: ReadOnly[int | None]
    loss: ReadOnly[str]
    loss_config: ReadOnly[dict[str, Any]]
    metrics: ReadOnly[list[str]]
    callbacks: ReadOnly[list[str]]
    penalty: ReadOnly[str]
    plain_because: ReadOnly[str]
    phases: ReadOnly[list[PhasePlan]]
    temperature: ReadOnly[float]
    test_time_augment: ReadOnly[str]
    steps: ReadOnly[list[str]]


class EstimatorRecipe(TypedDict, total=False):
    """How a scikit-learn classifier was trained: the classes of its ``steps``, and beside them its settings.

    A setting is called as the classifier calls it and has the value that it likes: ``batch_size="auto"``.
    """

    steps: ReadOnly[list[str]]
    augment: ReadOnly[list[str]]
    temperature: ReadOnly[float]
    test_time_augment: ReadOnly[str]


class Provenance(TypedDict, total=False):
    """Where a backbone's initial weights came from; see `transferkit.models.weights.WeightsProvenance`."""

    source: ReadOnly[str]
    sha256: ReadOnly[str | None]
    backbone: ReadOnly[str]
    width: ReadOnly[float | None]
    resolution: ReadOnly[int | None]
    image_size: ReadOnly[int]
    file: ReadOnly[str | None]


class Candidate(TypedDict):
    """One thing that `transferkit.tune` tried: its epochs, what validation said of it, and whether it was chosen."""

    image_size: ReadOnly[int]
    method: ReadOnly[str]
    epochs: ReadOnly[int]
    val_accuracy: ReadOnly[float]
    val_loss: ReadOnly[float]
    seconds: ReadOnly[float]
    chosen: ReadOnly[bool]


class ModelRecord(TypedDict, total=False):
    """What was trained: a network, or with ``estimator`` a scikit-learn classifier and what it takes to make it again.

    ``tried`` is what `transferkit.tune` chose it from. ``dead_features`` are how many features of the frozen layers are the same for every image, and of how many. ``own_code`` names
    what of the model was written by the user and was run as it is. ``settings_tried`` is how many settings the fit itself chose among.
    """

    name: ReadOnly[str]
    parameters: ReadOnly[int | None]
    trainable_parameters: ReadOnly[int | None]
    trainable_backbone_parameters: ReadOnly[int]
    layers: ReadOnly[int]
    provenance: ReadOnly[Provenance | None]
    engine: ReadOnly[str]
    dead_features: ReadOnly[list[int] | None]
    weights_sha256: ReadOnly[str]
    own_code: ReadOnly[list[str]]
    settings_tried: ReadOnly[Positive]
    estimator: ReadOnly[dict[str, Any]]
    tried: ReadOnly[list[Candidate]]


class EnvironmentRecord(TypedDict, total=False):
    """What a run was made with: versions, by the names of their packages, and hardware.

    ``backend`` is Keras's, ``precision`` the name of its dtype policy. A version is None where the package is absent.
    """

    transferkit: ReadOnly[str]
    python: ReadOnly[str]
    keras: ReadOnly[str | None]
    tensorflow: ReadOnly[str | None]
    jax: ReadOnly[str | None]
    torch: ReadOnly[str | None]
    numpy: ReadOnly[str]
    backend: ReadOnly[str]
    precision: ReadOnly[str]
    platform: ReadOnly[str]
    cpu: ReadOnly[str | None]
    cores: ReadOnly[int | None]
    accelerator: ReadOnly[str | None]


class ProbeRecord(TypedDict, total=False):
    """The loss of one fixed batch at the initial weights, and the norm of its gradient for each trained variable."""

    loss: ReadOnly[float | None]
    gradients: ReadOnly[list[float | None]]


class PartRecord(TypedDict, total=False):
    """One part of what determines a run: its SHA-256, or None and why it has none."""

    sha256: Required[ReadOnly[str | None]]
    reason: ReadOnly[str]


class PlanRecord(TypedDict, total=False):
    """Which seeds were declared before the first of them was trained, and how many times the list was extended."""

    seeds: ReadOnly[list[int]]
    looks: ReadOnly[int]


class RunRecord(TypedDict):
    """The whole of ``run.json``, besides its ``schema``; see `transferkit.Run` for the meaning of each part."""

    name: ReadOnly[str]
    class_names: ReadOnly[list[str]]
    dataset: ReadOnly[DatasetRecord]
    history: ReadOnly[list[EpochRecord]]
    phases: ReadOnly[list[PhaseRecord]]
    recipe: ReadOnly[Recipe]
    model_info: ReadOnly[ModelRecord]
    seed: ReadOnly[int]
    selection: ReadOnly[Selection]
    selected_epoch: ReadOnly[Positive | None]
    status: ReadOnly[Status]
    train_accuracy: ReadOnly[Fraction | None]
    test_seconds: ReadOnly[Seconds | None]
    environment: ReadOnly[EnvironmentRecord]
    tuning_trials: ReadOnly[Positive]
    key: ReadOnly[str]
    created: ReadOnly[str]
    notes: ReadOnly[list[str]]
    probe: NotRequired[ReadOnly[ProbeRecord]]
    identity: NotRequired[ReadOnly[dict[str, PartRecord]]]
    plan: NotRequired[ReadOnly[PlanRecord]]


FACTS: Final = tuple(name for name in RunRecord.__annotations__ if name != "class_names")
"""The parts of the record that a `transferkit.Run` holds as they are."""

ARRAYS: Final = ("test_probabilities", "test_labels", "validation_probabilities", "validation_labels")
"""The parts of a run that are arrays; they stand in a file of their own."""
