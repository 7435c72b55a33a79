"""The same seed gives the same initial weights, and nobody else's random numbers change."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transferkit.models.arguments import positive_int

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw every unseeded Keras initialiser and dropout seed inside the block from `seed`.

    Keras draws them with ``random.randint``. Seeding that module would not be enough where other threads draw from it at the
    same time, as those of a Dask worker do; so this thread, and no other, gets a generator of its own.
    """
    own, thread = random.Random(positive_int("seed", seed, at_least=0)), threading.get_ident()  # noqa: S311 - no secrets
    with _ONE_AT_A_TIME:
        shared = random.randint

        def randint(a: int, b: int) -> int:
            return (own.randint if threading.get_ident() == thread else shared)(a, b)

        random.randint = randint
        try:
            yield
        finally:
            random.randint = shared
