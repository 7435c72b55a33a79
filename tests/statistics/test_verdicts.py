"""The rule that takes a verdict from tests."""

import numpy as np
import pytest

from transferkit.statistics.verdicts import Verdict, decide, turn_verdict


def test_a_small_p_decides_first_and_no_test_leaves_it_open():
    p, equal = [0.01, 0.01, 0.2, 0.2, np.nan], [0.01, 0.9, 0.01, 0.9, np.nan]
    found = decide(p, [0.1, -0.1, 0.1, 0.1, 0.1], equal)
    assert found.tolist() == ["a better", "b better", "practically equal", "undecided", "undecided"]
    assert all(type(verdict) is str for verdict in found)


def test_a_smaller_loss_is_better():
    assert decide([0.01], [-0.1], smaller_is_better=True).tolist() == ["a better"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_turning_twice_gives_the_same(verdict):
    assert turn_verdict(turn_verdict(verdict)) == verdict
    assert (turn_verdict(verdict) == verdict) == (verdict in (Verdict.EQUAL, Verdict.UNDECIDED, Verdict.TOO_FEW_SEEDS))
