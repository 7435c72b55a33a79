"""Check the plain values of a record against the types that it is declared with."""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import ReadOnly, get_type_hints, is_typeddict

from transferkit.errors import InvalidInputError
from transferkit.runs.records import EstimatorRecipe, Limits, RunRecord

_WHOLE: Final = Limits(0, 2**128)  # sizes, counts and seeds
_FINITE: Final = Limits(-1.7e308, 1.7e308)
_ROUNDING: Final = 1e-6  # Keras averages in float32
_NAMES: Final = {str: "a text", bool: "true or false", NoneType: "null", list: "a list", dict: "a dict"}


_Place = tuple[str | int, ...]


class _Fault(NamedTuple):
    place: _Place
    expected: str
    got: object


@cache
def _types_of(record: Any) -> dict[str, Any]:
    return dict(get_type_hints(record, include_extras=True))


def check_run(record: Mapping[str, Any]) -> None:
    """Raise unless each part of a run's record is what it is declared as, and they fit together.

    Keys that are not declared may hold anything; so may the settings of a scikit-learn classifier, which it names itself.

    Parameters
    ----------
    record : mapping of str
        Plain values, as JSON gives them, under the names of `transferkit.runs.records.RunRecord`; any of them may be absent.

    Raises
    ------
    InvalidInputError
        If something is not; the message names it, says what it should be and what it is.
    """
    kinds = _types_of(RunRecord)
    info = record.get("model_info")
    if isinstance(info, Mapping) and "estimator" in info:
        kinds = kinds | {"recipe": EstimatorRecipe}
    for name, kind in kinds.items():
        if name in record:
            check(record[name], kind, name)
    completed = record.get("status") == "completed"
    _check_epochs(record.get("history", ()), record.get("selected_epoch") if completed else None)
    dead = (info or {}).get("dead_features")
    if dead is not None and (len(dead) != 2 or dead[0] > dead[1]):
        raise InvalidInputError(f"model_info['dead_features'] must be how many, and of how many; got {dead!r:.80}.")


def _check_epochs(history: Any, selected: int | None) -> None:
    epochs = [row["epoch"] for row in history]
    for before, epoch in pairwise(epochs):
        if epoch <= before:
            raise InvalidInputError(
                f"history must have one row an epoch, in order; epoch {epoch} follows epoch {before}. Give the rows of one training."
            )
    if selected is not None and epochs and selected not in epochs:
        raise InvalidInputError(
            f"selected_epoch must be one of the history's, {epochs[0]} to {epochs[-1]}; got {selected}."
        )


def check(value: Any, kind: Any, name: str) -> None:
    """Raise unless a plain value is of a declared type, down to its last part.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, and lists and dicts of them.
    kind : type
        One of these, ``Any``, a TypedDict, ``Literal``, or a union or ``Annotated`` with `Limits` of them. An int is 0 or more, a
        float finite; an int is a float as well.
    name : str
        How the message calls it.

    Raises
    ------
    InvalidInputError
        If it is not; the message names the part.

    Examples
    --------
    >>> check([{"epoch": 1}, {"epoch": 2.5}], list[dict[str, int]], "history")
    Traceback (most recent call last):
    transferkit.errors.InvalidInputError: history[1]['epoch'] must be a whole number of 0 or more; got 2.5.
    """
    fault = _find_fault(value, kind, ())
    if fault is not None:
        place = "".join(f"[{part!r}]" for part in fault.place)
        raise InvalidInputError(f"{name}{place} must be {fault.expected}; got {fault.got!r:.80}.")


def _find_fault(value: Any, kind: Any, place: _Place) -> _Fault | None:
    kind, origin, limits = _unwrap(kind)
    if kind is Any:
        return None
    if origin in (Union, UnionType):
        return _find_fault_in_union(value, kind, place)
    if origin in (int, float):
        fits = _is_number(value, origin, limits)
    elif origin is Literal:
        fits = isinstance(value, str) and value in get_args(kind)
    else:
        fits = isinstance(value, origin)
    if not fits:
        return _Fault(place, _describe(kind, origin, limits), value)
    if origin is dict:
        return _find_fault_in_dict(value, kind, place)
    if origin is list:
        return _first(_find_fault(item, get_args(kind)[0], (*place, i)) for i, item in enumerate(value))
    return None


@cache
def _unwrap(kind: Any) -> tuple[Any, Any, Limits | None]:
    """Return a type without what only qualifies it, what it is made of (dict, list, int, ...), and its limits."""
    limits = None
    while (origin := get_origin(kind)) in (ReadOnly, Required, NotRequired, Annotated):
        if origin is Annotated:
            limits = next((item for item in kind.__metadata__ if isinstance(item, Limits)), limits)
        kind = get_args(kind)[0]
    return kind, dict if is_typeddict(kind) else origin or kind, limits


def _find_fault_in_dict(value: dict[str, Any], kind: Any, place: _Place) -> _Fault | None:
    if not is_typeddict(kind):
        item_kind = get_args(kind)[1]
        return _first(_find_fault(item, item_kind, (*place, name)) for name, item in value.items())
    missing = next((name for name in sorted(kind.__required_keys__) if name not in value), None)
    if missing is not None:
        return _Fault(place, f"a dict with {missing!r}", value)
    kinds = _types_of(kind)
    return _first(_find_fault(item, kinds[name], (*place, name)) for name, item in value.items() if name in kinds)


def _find_fault_in_union(value: Any, kind: Any, place: _Place) -> _Fault | None:
    faults = []
    for option in get_args(kind):
        fault = _find_fault(value, option, place)
        if fault is None:
            return None
        faults.append(fault)
    inner = _first(fault for fault in faults if fault.place != place)
    return inner or _Fault(place, " or ".join(fault.expected for fault in faults), value)


def _first(faults: Iterable[_Fault | None]) -> _Fault | None:
    return next((fault for fault in faults if fault is not None), None)


def _is_number(value: Any, kind: type, limits: Limits | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return False
    widest = _WHOLE if kind is int else _FINITE
    low, high = limits or widest
    return low <= value <= high + _ROUNDING and widest.low <= value <= widest.high


def _describe(kind: Any, origin: Any, limits: Limits | None) -> str:
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if origin not in (int, float):
        return _NAMES.get(origin, str(origin))
    noun = "a whole number" if origin is int else "a finite number"
    low, high = limits or (_WHOLE.low if origin is int else None, None)
    if low is None:
        return noun
    return f"{noun} of {low:g} or more" if high in (None, float("inf")) else f"{noun} from {low:g} to {high:g}"
