"""Made answers: trainings whose skill varies, on images whose ease varies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def answers(
    rng: np.random.Generator, seeds: int, *, images: Any, shift: float = 0.0, between_seeds: Any = 0.2
) -> np.ndarray:
    """Return right and wrong answers, shape (seeds, images)."""
    ease = images + shift + rng.normal(0, 1, (seeds, 1)) * between_seeds
    return rng.random(ease.shape) < 1 / (1 + np.exp(-ease))


@pytest.fixture(scope="session")
def make_answers() -> Callable[..., np.ndarray]:
    return answers
