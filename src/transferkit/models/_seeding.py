"""The same seed gives the same initial weights, and nobody else's random state moves."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from transferkit.errors import InvalidInputError


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw every unseeded Keras initialiser and dropout seed inside the block from `seed`.

    Keras draws them from Python's global ``random`` module, so its state is put aside and back.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInputError(f"seed must be an integer of 0 or more; got {seed!r}.")
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
