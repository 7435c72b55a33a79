"""Workers of joblib's backends: which ones, and what is done when one is lost."""

import pickle
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import joblib

from transferkit.errors import MissingDependencyError
from transferkit.progress import tell

ROUNDS: Final = 3
"""How often work is handed out before workers that die at it are taken for its fault."""


def joblib_backend(name: str | None) -> AbstractContextManager[Any]:
    """Return a context in which joblib hands out work by a backend, to all its workers; those of Ray and Spark are registered first."""
    if name is None:
        return nullcontext()
    package = {"ray": "ray", "spark": "joblibspark", "dask": "distributed"}.get(name, "joblib")
    try:
        if name == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        elif name == "spark":
            from joblibspark import register_spark

            register_spark()
        elif name == "dask":
            import distributed  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"the backend {name!r} needs the package {package} ({error}): pip install 'transferkit[clusters]'."
        ) from None
    context: AbstractContextManager[Any] = joblib.parallel_config(backend=name, n_jobs=-1)
    return context


def may_be_lost_worker(error: Exception) -> bool:
    """Whether a backend's error may be the death of a worker: each backend has errors of its own for that.

    What cannot be sent to a worker is none, and would fail again.
    """
    return not isinstance(error, TypeError | AttributeError | NameError | pickle.PicklingError)


def describe_lost_worker(error: Exception) -> str:
    """Return what a backend says of a worker that died, in one line."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[0][:200]}"


def tell_lost_worker(reason: str) -> None:
    """Say that work is handed out again."""
    tell(f"A worker was lost ({reason}). What is finished is kept, and the rest is handed out again.")
