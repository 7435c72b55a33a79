"""The same seed gives the same initial weights, and nobody else's random state moves."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from transferkit.models.arguments import check_positive


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw every unseeded Keras initialiser and dropout seed inside the block from `seed`.

    Keras draws them from Python's global ``random`` module, so its state is put aside and back.
    """
    check_positive("seed", seed, at_least=0)
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
