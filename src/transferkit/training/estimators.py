"""What a record says of a scikit-learn estimator: its class and parameters as plain JSON values."""

import functools
import hashlib
import inspect
import marshal
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

# They say who draws, how many processors work, what is printed and where steps are kept: nothing that tells recipes apart.
NO_RECIPE = ("random_state", "n_jobs", "verbose", "memory")


def describe_estimator(estimator: Any) -> dict[str, Any]:
    """Return class and all parameters of an estimator and of those inside it, from which it can be made again.

    ``random_state``, ``n_jobs`` and ``verbose`` are left out: the run's seed is the first, the others change no result.
    """
    parameters = estimator.get_params(deep=False)
    kept = {name: _plain(value) for name, value in sorted(parameters.items()) if name not in NO_RECIPE}
    return {"class": _path(type(estimator)), "parameters": kept}


def describe_settings(classifier: Any) -> dict[str, Any]:
    """Return the recipe for tables: the steps, and the parameters of the last one that are not their default."""
    steps = [step for _, step in getattr(classifier, "steps", [("", classifier)])]
    named = {"steps": [type(step).__name__ if not isinstance(step, str) else step for step in steps], "augment": []}
    return named | _changed(final_estimator(classifier))


def _changed(estimator: Any, prefix: str = "") -> dict[str, Any]:
    defaults = _defaults(type(estimator))
    changed: dict[str, Any] = {}
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name in NO_RECIPE:
            continue
        if _is_estimator(value):
            changed[prefix + name] = type(value).__name__
            changed |= _changed(value, f"{prefix}{name}__")
        elif value is not None and _plain(value) != _plain(defaults.get(name)):
            changed[prefix + name] = _plain(value)
    return changed


def _defaults(kind: Any) -> dict[str, Any]:
    try:
        return dict(kind().get_params(deep=False))
    except TypeError:  # it cannot be made without arguments
        return {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}


def final_estimator(classifier: Any) -> Any:
    """Return the last step of a pipeline, or the classifier itself."""
    steps = getattr(classifier, "steps", None)
    return steps[-1][1] if steps else classifier


def name_of(classifier: Any) -> str:
    """Return the name of a pipeline's last step, or of the class."""
    steps = getattr(classifier, "steps", None)
    return str(steps[-1][0]) if steps else type(classifier).__name__


def package_of(classifier: Any) -> str:
    """Return the distribution that the classifier comes from."""
    package = type(final_estimator(classifier)).__module__.partition(".")[0]
    return "scikit-learn" if package == "sklearn" else package


def parameter_names(classifier: Any, ending: str) -> list[str]:
    """Return the names of all parameters called `ending`, also of estimators inside."""
    return [name for name in classifier.get_params() if name == ending or name.endswith(f"__{ending}")]


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _path(kind: Any) -> str:
    """Return where users import a class from, without the private modules in between."""
    parts = [part for part in kind.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, kind.__qualname__])


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # NaN equals nothing, and JSON has no word for it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if _is_estimator(value):
        return describe_estimator(value)
    if isinstance(value, functools.partial):
        return [_plain(value.func), _plain(value.args), _plain(value.keywords)]
    if hasattr(value, "dist") and hasattr(value, "kwds"):  # a distribution of scipy.stats
        return [value.dist.name, _plain(value.args), _plain(value.kwds)]
    if inspect.isfunction(value) and "<" in value.__qualname__:  # a lambda, whose name says nothing
        return _digest_function(value)
    return _path(value) if hasattr(value, "__qualname__") else _repr(value)


def _repr(value: Any) -> str:
    """Return what an object prints, without the address at which it lies in this process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _digest_function(function: Any) -> str:
    """Return a name for a function written in place that no other has: its code with file and line, and what it encloses."""
    enclosed = [_repr(cell.cell_contents) for cell in function.__closure__ or ()]
    content = marshal.dumps(function.__code__) + _repr([function.__defaults__, enclosed]).encode()
    return f"{_path(function)} {hashlib.sha256(content).hexdigest()}"
