"""Did transfer help? By how much, at what cost, and is it real: one sentence each for pretraining and for fine-tuning."""

import math
from collections.abc import Sequence
from typing import Final

from transferkit.compare.comparison import ComparisonResults
from transferkit.compare.pair_tests import turn_pair
from transferkit.compare.transfer import Start, TransferEffect, TransferQuestion
from transferkit.report.number_phrases import join_words, write_numbers
from transferkit.report.vocabulary import CONDITIONS
from transferkit.statistics.verdicts import Verdict
from transferkit.translation import Translator, mark

_UNFAIR: Final = {"image_size", "train_size", "labels_per_class"}
_ABOUT_EQUAL: Final = 0.05  # numbers of parameters that differ by less are one price

_HOW: Final = {Start.FINE_TUNED: mark("pretrained and fine-tuned"), Start.FROZEN: mark("pretrained and frozen")}

_PRETRAINING: Final[dict[str, str]] = {
    Verdict.A_BETTER: mark(
        "Transfer helped: {how}, “{a}” is {size} points better in test accuracy (95% interval {size_low} to {size_high}) than "
        "the same network from scratch, “{b}”{cost} ({test})."
    ),
    Verdict.B_BETTER: mark(
        "Transfer did not help: {how}, “{a}” is {size} points worse in test accuracy (95% interval {size_low} to {size_high}) "
        "than the same network from scratch, “{b}”{cost} ({test})."
    ),
    Verdict.EQUAL: mark(
        "Transfer made practically no difference (within ±{margin} points): {how}, “{a}” differs by {points} points of test accuracy "
        "(95% interval {low} to {high}) from the same network from scratch, “{b}”{cost}."
    ),
    Verdict.UNDECIDED: mark(
        "Whether transfer helped is undecided: {how}, “{a}” differs by {points} points of test accuracy (95% interval {low} to {high}) "
        "from the same network from scratch, “{b}”{cost} ({test}; smallest detectable difference {detectable})."
    ),
}

_FREEZING: Final[dict[str, str]] = {
    Verdict.A_BETTER: mark(
        "Fine-tuning helped: “{a}” is {size} points better (95% interval {size_low} to {size_high}) than “{b}”, whose "
        "pretrained layers stayed frozen{cost} ({test})."
    ),
    Verdict.B_BETTER: mark(
        "Fine-tuning did harm: “{a}” is {size} points worse (95% interval {size_low} to {size_high}) than “{b}”, whose "
        "pretrained layers stayed frozen{cost} ({test})."
    ),
    Verdict.EQUAL: mark(
        "Fine-tuning made practically no difference (within ±{margin} points): “{a}” differs by {points} points (95% interval {low} to "
        "{high}) from “{b}”, whose pretrained layers stayed frozen{cost}."
    ),
    Verdict.UNDECIDED: mark(
        "Whether fine-tuning helped is undecided: “{a}” differs by {points} points (95% interval {low} to {high}) from “{b}”, whose "
        "pretrained layers stayed frozen{cost} ({test}; smallest detectable difference {detectable})."
    ),
}


def choose_effects(effects: Sequence[TransferEffect]) -> list[TransferEffect]:
    """Return the effect that answers each question best for each architecture, pretraining first.

    That is a pair which saw the same images in the same size, if there is one.
    """
    chosen: dict[tuple[TransferQuestion, str], TransferEffect] = {}
    for effect in sorted(effects, key=lambda effect: not _UNFAIR.isdisjoint(effect.differing)):
        chosen.setdefault((effect.kind, effect.backbone), effect)
    return sorted(chosen.values(), key=lambda effect: effect.kind is not TransferQuestion.PRETRAINING)


def write_effect(effect: TransferEffect, results: ComparisonResults, say: Translator) -> str:
    """Return the answer to the question that a pair of models was made for."""
    sentences = _PRETRAINING if effect.kind is TransferQuestion.PRETRAINING else _FREEZING
    # What is worse is worse by a positive number of points.
    test = turn_pair(effect.test) if effect.test["verdict"] == Verdict.B_BETTER else effect.test
    numbers = write_numbers(test, results, say)
    how = say(_HOW[effect.start_a]) if effect.start_a in _HOW else ""
    answer = say(
        sentences[effect.test["verdict"]], how=how, a=effect.a, b=effect.b, cost=_write_cost(effect, say), **numbers
    )
    if not effect.differing:
        return answer
    names = join_words([say(CONDITIONS[name]) for name in effect.differing], say)
    caveat = say("They also differ in {names}, so part of it may come from that.", names=names)
    return f"{answer} {caveat}"


def _write_cost(effect: TransferEffect, say: Translator) -> str:
    time, parameters = _write_ratio(effect.time_ratio), _write_ratio(effect.trainable_ratio)
    if abs(effect.trainable_ratio - 1) < _ABOUT_EQUAL:
        parameters = ""
    if time and parameters:
        return say(
            ", at {time} times the training time and {parameters} times the trainable parameters",
            time=time,
            parameters=parameters,
        )
    if time:
        return say(", at {time} times the training time", time=time)
    return say(", at {parameters} times the trainable parameters", parameters=parameters) if parameters else ""


def _write_ratio(ratio: float) -> str:
    """Return a ratio with two figures that count; empty if it is unknown."""
    return "" if math.isnan(ratio) else f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"
