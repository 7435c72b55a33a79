"""The same seed gives the same initial weights, and nobody else's random numbers change."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from transferkit.models.arguments import positive_int
from transferkit.models.keras_internals import drawing_seeds_from


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw every unseeded Keras initialiser and dropout seed inside the block from `seed`."""
    own = random.Random(positive_int("seed", seed, at_least=0))  # noqa: S311 - no secrets
    with drawing_seeds_from(own):
        yield
