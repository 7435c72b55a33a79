"""How many threads this process may compute with."""

import os

import joblib


def thread_count() -> int:
    """Return the number of usable cores, or ``OMP_NUM_THREADS`` where that is less.

    joblib and Dask set that variable in the processes that they start, so that these do not crowd each other out.
    """
    granted = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(joblib.cpu_count())
    return min(cores, int(granted)) if granted.isdecimal() and int(granted) else cores


def limit_threads() -> None:
    """Let Keras's backend take as many threads as this process may."""
    from transferkit.backends import chosen_backend

    chosen_backend().limit_threads(thread_count())
