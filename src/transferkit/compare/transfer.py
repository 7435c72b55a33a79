"""Did transfer help? Pairs of one architecture, pretrained and from scratch, or fine-tuned and frozen, and what each cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.table import differing_conditions, differing_settings

_FROZEN_SHARE: Final = 0.1
"""Where the record does not say what of the backbone trained, a network that trains less than this share of its weights is frozen."""
_UNKNOWN: Final = (None, "", "user-model")
_HARDWARE: Final = ("platform", "cpu", "accelerator", "cores")


class TransferQuestion(StrEnum):
    """What a pair of models answers."""

    PRETRAINING = "pretraining"
    """Pretrained (a) against the same network from scratch (b)."""
    FREEZING = "freezing"
    """Fine-tuned (a) against frozen (b), both pretrained."""


class Start(StrEnum):
    """From what a network was trained, and how much of it."""

    SCRATCH = "scratch"
    FROZEN = "frozen"
    FINE_TUNED = "fine-tuned"


@dataclass(frozen=True, eq=False)
class TransferEffect:
    """What one pair of models says of transfer.

    Parameters
    ----------
    kind : TransferQuestion
        Which question it answers.
    backbone : str
        The architecture that both share.
    a, b : str
        Names of the models: `a` pretrained or fine-tuned, `b` from scratch or frozen.
    start_a, start_b : Start
        What each was trained from.
    test : dict
        The tests of this pair, `a` minus `b`: a row of `transferkit.Comparison.tests`, or of a label curve's ``differences``.
    seconds_a, seconds_b : float
        Training time, NaN if it is not recorded.
    time_ratio : float
        Time of `a` over that of `b`; NaN if unknown or if the hardware differs.
    parameters_a, parameters_b, trainable_a, trainable_b : float
        Number of weights, of all and of those that the last phase trained; NaN if not recorded.
    differing : tuple of str
        In what else the recipes differ: names of conditions and settings, such as ``"epochs"``.
    labels_per_class : int, optional
        The budget, if it is one of a label curve.
    """

    kind: TransferQuestion
    backbone: str
    a: str
    b: str
    start_a: Start
    start_b: Start
    test: dict[str, Any]
    seconds_a: float
    seconds_b: float
    time_ratio: float
    parameters_a: float
    parameters_b: float
    trainable_a: float
    trainable_b: float
    differing: tuple[str, ...]
    labels_per_class: int | None = None

    @property
    def parameters_ratio(self) -> float:
        """Weights of `a` over those of `b`."""
        return _ratio(self.parameters_a, self.parameters_b)

    @property
    def trainable_ratio(self) -> float:
        """Trained weights of `a` over those of `b`."""
        return _ratio(self.trainable_a, self.trainable_b)


def start_of(model: ComparedModel) -> Start | None:
    """Return from what a model was trained; None if its run does not say."""
    run = model.example
    source = run.provenance.get("source")
    if source in _UNKNOWN or not run.provenance.get("backbone"):
        return None
    if source == "random":
        return Start.SCRATCH
    if run.parameters is None or run.trainable_parameters is None:
        return None
    trained = run.model_info.get("trainable_backbone_parameters")
    frozen = run.trainable_parameters < _FROZEN_SHARE * run.parameters if trained is None else trained == 0
    return Start.FROZEN if frozen else Start.FINE_TUNED


def find_transfer_pairs(models: Sequence[ComparedModel]) -> list[tuple[str, str]]:
    """Return the names of the pairs that say whether transfer helped, the question of pretraining and the best models first."""
    found = []
    known = [(model, start) for model in models if model.completed and (start := start_of(model)) is not None]
    for a, start_a in known:
        for b, start_b in known:
            question = _question(start_a, start_b)
            if question is not None and _architecture(a) == _architecture(b):
                # A fine-tuned network is what the question is about, a frozen one where there is no other.
                rank = (question is TransferQuestion.FREEZING, -a.mean("accuracy"), -b.mean("accuracy"))
                found.append((rank, (a.name, b.name)))
    return [names for _, names in sorted(found)]


def _question(a: Start, b: Start) -> TransferQuestion | None:
    if b is Start.SCRATCH and a is not Start.SCRATCH:
        return TransferQuestion.PRETRAINING
    return TransferQuestion.FREEZING if (a, b) == (Start.FINE_TUNED, Start.FROZEN) else None


def _architecture(model: ComparedModel) -> tuple[object, ...]:
    run = model.example
    return run.provenance.get("backbone"), run.provenance.get("width"), run.parameters


def describe_effect(
    a: ComparedModel, b: ComparedModel, test: dict[str, Any], *, labels_per_class: int | None = None
) -> TransferEffect:
    """Return what a pair from `find_transfer_pairs` says, given its tests, `a` minus `b`."""
    start_a, start_b = start_of(a), start_of(b)
    question = None if start_a is None or start_b is None else _question(start_a, start_b)
    if start_a is None or start_b is None or question is None:
        raise ValueError(f"{a.name!r} and {b.name!r} say nothing of transfer")
    examples = [a.example, b.example]
    seconds_a, seconds_b = (_mean(model, "train_seconds") for model in (a, b))
    hardware = [[run.environment.get(name) for name in _HARDWARE] for run in examples]
    return TransferEffect(
        kind=question,
        backbone=str(a.example.provenance["backbone"]),
        a=a.name,
        b=b.name,
        start_a=start_a,
        start_b=start_b,
        test=test,
        seconds_a=seconds_a,
        seconds_b=seconds_b,
        time_ratio=_ratio(seconds_a, seconds_b) if hardware[0] == hardware[1] else math.nan,
        parameters_a=_mean(a, "parameters"),
        parameters_b=_mean(b, "parameters"),
        trainable_a=_mean(a, "trainable_parameters"),
        trainable_b=_mean(b, "trainable_parameters"),
        differing=(*differing_conditions(examples), *differing_settings(examples)),
        labels_per_class=labels_per_class,
    )


def _mean(model: ComparedModel, name: str) -> float:
    known = [value for run in model.completed if (value := getattr(run, name)) is not None]
    return float(sum(known) / len(known)) if known else math.nan


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan
