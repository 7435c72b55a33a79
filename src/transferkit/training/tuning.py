"""tune: the best network that a given time allows, chosen on validation, measured on the test images once."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from transferkit import files
from transferkit.data.dataset import Dataset
from transferkit.errors import DataError, InvalidInputError, RunError
from transferkit.models.arguments import positive_int
from transferkit.models.backbones import Preprocessing, backbone_info
from transferkit.models.hdf5 import BadFileError, load_weights
from transferkit.models.hub import HUB
from transferkit.models.saving import load_model
from transferkit.models.transfer import build_transfer_model
from transferkit.runs.records import Candidate, ProbeRecord, Recipe
from transferkit.runs.run import Run
from transferkit.training.augmentation import check_augmentations
from transferkit.training.batchnorm import STATISTICS_IMAGES
from transferkit.training.contract import Outcome, Training
from transferkit.training.identity import identify_network
from transferkit.training.keeping import keep, say
from transferkit.training.kernels import fast_kernels
from transferkit.training.logistic_head import LogisticHead
from transferkit.training.options import (
    FineTuneRecipe,
    Fitting,
    FittingOptions,
    HeadRecipe,
    TrainRecipe,
    is_number,
    takes,
)
from transferkit.training.record import check_data
from transferkit.training.step_counts import WARMUP_SHARE, steps_an_epoch
from transferkit.training.steps import GradientSteps

_SIZES = (1.0, 1.5, 2.0)  # of the backbone's default size
_FROZEN_SHARE = 0.5  # of the time, for the frozen candidates
_FITTING_SHARE = (
    0.8  # of what is left then, for the steps: the rest goes to validation, compilation and the test images
)
_SCRATCH_SHARE = 0.7  # of what is left at last: every layer's BatchNorm trains then, which takes longer
_TIMED_STEPS = 3
_FORWARD_SHARE = 1 / 3  # of a training step's time
_FEWEST_STEPS = 40  # fewer would leave the network worse than the frozen one


@dataclass(frozen=True, eq=False)
class Tuned:
    """What `tune` found.

    Parameters
    ----------
    model : keras.Model
        The best one, on raw pixels, with its trained weights.
    run : Run
        Its record; ``run.metrics`` are those of the test images.
    table : pandas.DataFrame
        What was tried, in order: ``image_size``, ``method``, ``epochs``, ``val_accuracy``, ``val_loss``, ``seconds``, ``chosen``. No
        column is about test images, since only the chosen one has seen them.

    Examples
    --------
    >>> import pandas as pd
    >>> import transferkit as tk
    >>> run = tk.Run(name="toy", class_names=("cat", "dog"), test_probabilities=[[0.75, 0.25]], test_labels=[0], seed=0)
    >>> tk.Tuned(None, run, pd.DataFrame({"method": ["frozen"], "chosen": [True]})).table
       method  chosen
    0  frozen    True
    """

    model: Any
    run: Run
    table: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.run!r}\n{self.table.to_string(index=False)}"


@takes(Fitting)
def tune(
    data: Dataset,
    minutes: float = 10,
    *,
    backbone: Any = "mobilenet",
    pretrained: bool | str | Path = True,
    preprocessing: Preprocessing | None = None,
    image_sizes: Iterable[int] | None = None,
    augment: str | Iterable[str] | None = "centred",
    **options: Unpack[FittingOptions],
) -> Tuned:
    """Return the best network that the time allows, chosen on validation images alone.

    First the exact softmax layer on the frozen backbone at several image sizes, seconds each, since the features are kept; then
    fine-tuning at the size that was best, or at a smaller one if the time is short, with the recipe of `fine_tune` and as many of its
    epochs as fit by the measured time of a step; then, if time is left, the same network from scratch, so that one knows what the
    pretrained weights are worth. The test images are predicted once, by the winner.

    Parameters
    ----------
    data : Dataset
        With a validation split.
    minutes : float, default 10
        How long it may take. What has begun is finished, so a slow machine may take a little longer.
    backbone : str or keras.Model, default "mobilenet"
        See `build_transfer_model`. One of your own keeps its own size.
    pretrained : bool, str or Path, default True
        See `build_transfer_model`.
    preprocessing : str, optional
        Of a backbone of your own; see `build_transfer_model`.
    image_sizes : iterable of int, optional
        Pixels a side that the backbone sees; 1, 1.5 and 2 times its default size if None, a preset of KerasHub's own size.
    augment : str or iterable of str, default "centred"
        Of fine-tuning: small shifts, rotations and zooms, none of which turns one class into another in most data. See `train`.
    seed : int, default 0
        Of initial weights, order, augmentation and dropout.
    name : str, optional
        What tables and plots call the run; ``"tuned"`` if None.
    class_weight : "balanced" or dict, optional
        How much each class counts; see `train`.
    folder, save_as, tuning_trials, overwrite, verbose
        See `train`. The settings tried here are counted. A killed call goes on where it stopped, with a new account of time.

    Returns
    -------
    Tuned
        With ``model``, ``run`` and ``table``.

    Raises
    ------
    InvalidInputError
        If there is no validation split, or an option is out of its range.
    DataError, RunError
        See `train`.

    Examples
    --------
    >>> import keras
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> trained = tk.build_cnn(preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(trained.inputs, trained.get_layer("pool").output)
    >>> tuned = tk.tune(data, minutes=1, backbone=backbone, verbose=False)
    >>> tuned.table["method"].tolist()
    ['frozen', 'fine-tuned']
    >>> tuned.run.name
    'tuned'
    """
    recipe = Fitting(**options)
    if not is_number(minutes) or not 0 < minutes < np.inf:
        raise InvalidInputError(f"minutes must be a finite number above 0; got {minutes!r}.")
    if not len(check_data(data).validation.labels):
        raise InvalidInputError(
            "tune chooses on validation images, but the data have no validation split. Keep one back."
        )
    sizes = _sizes(backbone, image_sizes)
    build = partial(
        build_transfer_model,
        backbone,
        pretrained=pretrained,
        num_classes=data.num_classes,
        input_shape=data.image_shape,
        preprocessing=preprocessing,
        seed=recipe.seed,
    )
    tuning = Tuning(build, sizes, data, float(minutes), check_augmentations(augment), recipe)
    run = keep(tuning, recipe)
    return Tuned(tuning.model, run, pd.DataFrame(run.model_info["tried"]))


def _sizes(backbone: Any, image_sizes: Any) -> list[int | None]:
    if not isinstance(backbone, str):
        if image_sizes is not None:
            raise InvalidInputError("image_sizes is for backbones given by name; one of your own keeps its own size.")
        return [None]
    if image_sizes is None and backbone.startswith(HUB):
        return [None]  # the preset's own
    if image_sizes is None:
        usual = backbone_info(backbone).default_size
        return [round(share * usual) for share in _SIZES]
    if isinstance(image_sizes, str) or not isinstance(image_sizes, Iterable):
        raise InvalidInputError(f"image_sizes must be several ints, for example (64, 96); got {image_sizes!r}.")
    sizes = sorted({positive_int("image_sizes", size) for size in image_sizes})
    if not sizes:
        raise InvalidInputError("image_sizes is empty; give at least one size.")
    return list(sizes)


class Tuning:
    """One search for the best network: a training whose outcome is the winner's."""

    def __init__(
        self,
        build: Any,
        sizes: list[int | None],
        data: Dataset,
        minutes: float,
        augment: tuple[str, ...],
        recipe: Fitting,
    ) -> None:
        self._start = time.perf_counter()
        self._build, self._sizes, self._minutes, self._augment, self._recipe = build, sizes, minutes, augment, recipe
        self.data, self.name = data, recipe.name or "tuned"
        self.model = self._made(sizes[0], freeze=True)
        self.recipe: Recipe = {}
        asked = {"minutes": minutes, "sizes": sizes, "augment": augment, "class_weight": recipe.class_weight}
        self.identity = identify_network(
            self.model, data, recipe={}, settings={"tune": asked}, callbacks=(), seed=recipe.seed
        )
        self._tried: list[Candidate] = []
        self._trials = 0
        self._found: list[tuple[Training, Outcome]] = []

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: all models are built here."""
        return nullcontext()

    def probe(self) -> ProbeRecord | None:
        """Return None: each candidate has its own."""
        return None

    def take_up(self, finished: Run) -> bool:
        """Rebuild the winner's model."""
        if finished.weights_file is None or finished.path is None:
            return False
        try:
            self.model = load_model(finished.path)
        except RunError:  # a backbone of one's own may hold a layer that no file may name
            chosen = next(row for row in finished.model_info["tried"] if row["chosen"])
            frozen = chosen["method"] != "from scratch"
            self.model = self._made(None if self._sizes[0] is None else chosen["image_size"], freeze=frozen)
            for phase in self._usual().phases if chosen["method"] == "fine-tuned" else ():
                phase.prepare(self.model)
            try:
                load_weights(self.model, finished.weights_file, "the winner of this search")
            except BadFileError as error:
                raise RunError(f"{finished.weights_file} cannot be used: {error}.") from None
        return True

    def interrupted(self) -> Outcome:
        """Return nothing but that it was interrupted."""
        return Outcome("interrupted", [], [], {"name": self.name}, None, "none")

    def fit(self, checkpoint: Path | None) -> Outcome:
        """Try the frozen backbone at each size, then fine-tune, and return the outcome of what validation prefers."""
        self._try_frozen()
        plan = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.plan")
        self._try_fine_tuning(checkpoint, plan)
        if plan is not None:
            plan.unlink(missing_ok=True)
        best = max(range(len(self._tried)), key=lambda i: (self._tried[i]["val_accuracy"], -self._tried[i]["val_loss"]))
        training, outcome = self._found[best]
        self.model, self.recipe = training.model, training.recipe
        tried = [cast("Candidate", {**row, "chosen": index == best}) for index, row in enumerate(self._tried)]
        return Outcome(
            status=outcome.status,
            history=outcome.history,
            phases=outcome.phases,
            model_info={**outcome.model_info, "tried": tried},
            predict=outcome.predict,
            selection=outcome.selection,
            selected_epoch=outcome.selected_epoch,
            trials=self._trials,
            test_seconds=outcome.test_seconds,
            versions=outcome.versions,
            notes=[*outcome.notes, *_what_it_says(tried)],
        )

    def _made(self, size: int | None, **options: Any) -> Any:
        return self._build(**options) if size is None else self._build(image_size=size, **options)

    def _left(self) -> float:
        return 60 * self._minutes - (time.perf_counter() - self._start)

    def _keep(self, training: Training, outcome: Outcome, size: int | None, method: str, seconds: float) -> None:
        """Note what validation says of a candidate; its test images stay unseen."""
        self._trials += outcome.trials
        chosen = outcome.selected_epoch
        row = next((row for row in outcome.history if row["epoch"] == chosen), None)
        if outcome.status != "completed" or row is None:
            say(f"{self.name}: {method} at {size} px has no result ({outcome.status})", verbose=self._recipe.verbose)
            return
        side = int(training.model.get_layer("backbone").inputs[0].shape[1] or 0) if size is None else size
        candidate: Candidate = {
            "image_size": side,
            "method": method,
            "epochs": len(outcome.history),
            "val_accuracy": float(row["val_accuracy"] or 0),
            "val_loss": float(row["val_loss"] or 0),
            "seconds": seconds,
            "chosen": False,
        }
        self._tried.append(candidate)
        self._found.append((training, outcome))
        say(
            f"{self.name}: {method} at {side} px: validation accuracy {candidate['val_accuracy']:.4f}, {seconds:.0f} s; "
            f"{max(0, self._left()) / 60:.1f} minutes left",
            verbose=self._recipe.verbose,
        )

    def _try_frozen(self) -> None:
        seconds = 0.0
        for index, size in enumerate(self._sizes):
            growth = 1.0 if index == 0 or not size else (size / cast("int", self._sizes[index - 1])) ** 2
            if index and seconds * growth > self._left() - (1 - _FROZEN_SHARE) * 60 * self._minutes:
                break
            start = time.perf_counter()
            model = self.model if index == 0 else self._made(size, freeze=True)
            asked = HeadRecipe(seed=self._recipe.seed, class_weight=self._recipe.class_weight, name=self.name)
            head = LogisticHead(model, self.data, asked)
            outcome = head.fit(None)
            seconds = time.perf_counter() - start
            self._keep(head, outcome, size, "frozen", seconds)

    def _usual(self) -> FineTuneRecipe:
        """Return what `fine_tune` does if nothing is stated."""
        asked = self._recipe
        recipe = FineTuneRecipe(
            augment=self._augment,
            class_weight=asked.class_weight,
            seed=asked.seed,
            name=self.name,
            verbose=asked.verbose,
        )
        return recipe.settled(len(self.data.train.labels), exact_head=True)

    def _try_fine_tuning(self, checkpoint: Path | None, kept: Path | None) -> None:
        usual = self._usual()
        plan = self._read_plan(kept) or self._plan_fine_tuning(usual)
        if plan is None:
            say(f"{self.name}: no time to fine-tune", verbose=self._recipe.verbose)
            return
        if kept is not None:  # measured anew, it would differ, and the checkpoint would be another training's
            files.write_sealed_json(
                kept, {"key": self.identity.key, "plan": list(plan)}, what="the plan of this search"
            )
        size, epochs = plan
        recipe = replace(usual, epochs=epochs, warmup_epochs=WARMUP_SHARE * epochs)
        training = GradientSteps(self._made(size, freeze=True), self.data, recipe)
        outcome = training.fit(checkpoint)
        # Of all its epochs, also of those that a search that was cut off had finished.
        seconds = sum(row["seconds"] + row.get("validation_seconds", 0.0) for row in outcome.history)
        self._keep(training, outcome, size, "fine-tuned", seconds)
        if size is not None and outcome.status == "completed":
            self._try_scratch(usual, size, seconds / epochs)

    def _try_scratch(self, usual: FineTuneRecipe, size: int, seconds_an_epoch: float) -> None:
        """Train the same network without pretrained weights in the time that is left, so that one knows what they are worth."""
        batch_size, images = cast("int", usual.batch_size), len(self.data.train.labels)
        epochs = min(2 * cast("int", usual.epochs), int(_SCRATCH_SHARE * self._left() / seconds_an_epoch))
        if epochs * steps_an_epoch(images, batch_size) < _FEWEST_STEPS:
            say(f"{self.name}: no time to train from scratch", verbose=self._recipe.verbose)
            return
        start = time.perf_counter()
        shared = {name: getattr(usual, name) for name in ("augment", "class_weight", "seed", "name", "verbose")}
        recipe = TrainRecipe(
            epochs=epochs,
            batch_size=batch_size,
            schedule="cosine",
            warmup_epochs=WARMUP_SHARE * epochs,
            **shared,
        )
        training = GradientSteps(self._made(size, freeze=False, pretrained=False), self.data, recipe)
        self._keep(training, training.fit(None), size, "from scratch", time.perf_counter() - start)

    def _read_plan(self, path: Path | None) -> tuple[int | None, int] | None:
        """Return what a call that was killed meant to do; None if there was none."""
        try:
            found = {} if path is None else files.read_sealed_json(path)
        except (OSError, DataError):
            return None
        return None if found.get("key") != self.identity.key else (found["plan"][0], found["plan"][1])

    def _plan_fine_tuning(self, usual: FineTuneRecipe) -> tuple[int | None, int] | None:
        """Return the image size, the best one that leaves time for the usual epochs, and the epochs; None if too few fit."""
        images, wanted, batch_size = (
            len(self.data.train.labels),
            cast("int", usual.epochs),
            cast("int", usual.batch_size),
        )
        steps = steps_an_epoch(images, batch_size)
        order = sorted(zip(self._tried, self._sizes, strict=False), key=lambda pair: -pair[0]["val_accuracy"])
        size = best = order[0][1]
        asked = len(self.data.validation.labels)  # without a gradient, in each epoch
        if usual.batch_norm:
            asked += min(images, STATISTICS_IMAGES)
        seconds = self._seconds_a_step(best, usual) * (steps + _FORWARD_SHARE * asked / batch_size)
        budget = _FITTING_SHARE * self._left()
        affordable = int(budget / seconds)
        for _, other in order[1:]:
            if affordable < wanted and other and size and best and other < size:
                size, affordable = other, int(budget / (seconds * (other / best) ** 2))
        epochs = min(wanted, affordable)
        return (size, epochs) if epochs * steps >= _FEWEST_STEPS else None

    def _seconds_a_step(self, size: int | None, recipe: FineTuneRecipe) -> float:
        """Measure a training step of the unfrozen network, on a model that is thrown away."""
        model, train, size_of_batch = self._made(size, freeze=False), self.data.train, cast("int", recipe.batch_size)
        recipe.phases[-1].prepare(model)
        batch = np.asarray(train.images[:size_of_batch]), train.labels[:size_of_batch]
        seconds = []
        with fast_kernels(model):
            for _ in range(1 + _TIMED_STEPS):
                start = time.perf_counter()
                model.train_on_batch(*batch)
                seconds.append(time.perf_counter() - start)
        return float(np.median(seconds[1:]))


def _what_it_says(tried: list[Candidate]) -> list[str]:
    """Say so if, on validation, fine-tuning was no better than frozen features, or pretraining no better than none."""
    best = {row["method"]: row["val_accuracy"] for row in sorted(tried, key=lambda row: row["val_accuracy"])}
    frozen, tuned, scratch = (best.get(method) for method in ("frozen", "fine-tuned", "from scratch"))
    notes = []
    if frozen is not None and tuned is not None and tuned <= frozen:
        notes.append(f"on validation, frozen features ({frozen:.1%}) were as good as fine-tuning ({tuned:.1%})")
    pretrained = max((value for value in (frozen, tuned) if value is not None), default=1.0)
    if scratch is not None and scratch >= pretrained:
        notes.append(
            f"on validation, training from scratch ({scratch:.1%}) was as good as pretrained weights ({pretrained:.1%})"
        )
    return notes
