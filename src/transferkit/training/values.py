"""One digest for the value of any Python object: built-ins by content, code of one's own by what it does.

A function is its code, defaults, closure and the globals that it reads; a class its bases and its body; an object its class and
its attributes. What an installed package holds is its name there. These are the rules by which cloudpickle ships code to another
process; its bytes cannot be compared, since they differ from process to process.
"""

import dis
import enum
import functools
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePath
from typing import Any

import keras
import numpy as np
from sklearn.utils import check_random_state

from transferkit.models.keras_internals import (
    excluded_from_weight_decay,
    inner_optimizer,
    is_state,
    optimizer_config,
    plain_kind,
    rate_of,
    settings_beside_config,
)

_DEPTH = 80
_PLAIN = (type(None), type(Ellipsis), type(NotImplemented), bool, int, float, complex, str, bytes, bytearray)
_PLACES = tuple(
    {str(Path(path).resolve()) for path in map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_FOLDERS = {"site-packages", "dist-packages"}  # also those of the user, of the system, and of a .pth file
_NO_BODY = ("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__",
            "__static_attributes__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__")  # fmt: skip


class UnidentifiedError(Exception):
    """An object has no value that could be compared; the message says which and why."""


def value_digest(value: Any) -> str:
    """Return the SHA-256 of an object's value, the same in every process.

    Parameters
    ----------
    value : object
        Numbers, arrays, containers, functions, classes, objects; Keras's losses, metrics, optimisers, schedules, callbacks, layers.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    UnidentifiedError
        If some part has no value that can be read, such as an open file, a lock or a generator.
    """
    return _Walk().digest(value).hex()


class _Walk:
    """One walk through an object; knows what it is in the middle of, so that cycles end."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[Any, bytes]] = {}  # with the object, so that its id stays its own

    def digest(self, value: Any) -> bytes:
        if type(value) in _PLAIN:
            return _hash(type(value).__name__, repr(value))
        if id(value) in self._done:
            return self._done[id(value)][1]
        if id(value) in self._open:
            return _hash("cycle", len(self._open) - self._open[id(value)])
        if len(self._open) > _DEPTH:
            raise UnidentifiedError(f"{_name(value)} lies too deep in other objects")
        self._open[id(value)] = len(self._open)
        try:
            found = self._content(value)
        finally:
            del self._open[id(value)]
        self._done[id(value)] = value, found
        return found

    def all(self, *values: Any) -> bytes:
        return _hash(*map(self.digest, values))

    def _content(self, value: Any) -> bytes:
        for kinds, rule in _RULES:
            if isinstance(value, kinds):
                return _hash(rule.__name__, rule(self, value))
        if _is_tf_function(value):
            return self.all("tf.function", value.python_function)
        if all(hasattr(value, name) for name in ("__array__", "dtype", "shape")):  # a tensor
            return self.tensor(value)
        return self.reduced(value)

    def array(self, array: Any) -> bytes:
        array = np.asarray(array)
        if array.dtype.hasobject:
            return self.all(str(array.dtype), array.shape, array.tolist())
        return _hash(array.dtype, array.shape, np.ascontiguousarray(array).tobytes())

    def tensor(self, value: Any) -> bytes:
        try:
            return self.array(keras.ops.convert_to_numpy(value))
        except Exception as error:  # noqa: BLE001 - symbolic, or a handle of TensorFlow's
            raise UnidentifiedError(f"{_name(value)} has no value that could be compared ({error})") from None

    def variable(self, value: Any) -> bytes:
        return self.array(keras.ops.convert_to_numpy(value))

    def sequence(self, value: Any) -> bytes:
        kind = plain_kind(value)
        return self.reduced(value) if kind is None else self.all(kind.__name__, *value)

    def mapping(self, value: Mapping[Any, Any]) -> bytes:
        if type(value) is not types.MappingProxyType and plain_kind(value) is None:
            return self.reduced(value)
        return _hash(*sorted(self.all(key, item) for key, item in value.items()))

    def set(self, value: AbstractSet[Any]) -> bytes:
        return _hash(*sorted(map(self.digest, value)))

    def path(self, value: PurePath) -> bytes:
        return _hash(value)

    def slice(self, value: slice) -> bytes:
        return self.all(value.start, value.stop, value.step)

    def enum(self, value: enum.Enum) -> bytes:
        return self.all(type(value), value.name)

    def partial(self, value: functools.partial[Any]) -> bytes:
        return self.all(value.func, value.args, value.keywords)

    def method(self, value: types.MethodType) -> bytes:
        return self.all(value.__func__, value.__self__)

    def cell(self, value: types.CellType) -> bytes:
        try:
            return self.digest(value.cell_contents)
        except ValueError:  # nothing in it yet
            return _hash("empty")

    def module(self, value: types.ModuleType) -> bytes:
        return _hash(value.__name__)

    def descriptor(self, value: Any) -> bytes:
        return self.all(*(getattr(value, name, None) for name in ("__func__", "fget", "fset", "fdel", "func")))

    def code(self, value: types.CodeType) -> bytes:
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        return self.all(value.co_code, value.co_exceptiontable, value.co_consts, *names, *counts)

    def function(self, value: types.FunctionType) -> bytes:
        if is_installed(value):
            return _hash(value.__module__, value.__qualname__)
        read = _globals_read(value.__code__, value.__globals__)
        return self.all(value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value), read)

    def kind(self, value: type) -> bytes:
        if is_installed(value):
            return _hash(value.__module__, value.__qualname__)
        slots = (types.MemberDescriptorType, types.GetSetDescriptorType)
        body = {
            name: item for name, item in vars(value).items() if name not in _NO_BODY and not isinstance(item, slots)
        }
        return self.all(value.__name__, value.__bases__, type(value), body)

    def builtin(self, value: Any) -> bytes:
        owner = getattr(value, "__self__", None)
        bound = None if isinstance(owner, types.ModuleType | type) else owner
        return self.all(getattr(value, "__module__", None), getattr(value, "__qualname__", value.__name__), bound)

    def callback(self, value: Any) -> bytes:
        """Digest a callback: a package's by what it was made with, since all else changes while it is used."""
        kind, held = type(value), vars(value)
        if kind in _observers():
            return self.digest(kind)
        if not is_installed(kind):
            return self.all(kind, {k: v for k, v in held.items() if k not in vars(keras.callbacks.Callback())})
        given = {name: held[name] for name in _parameters(kind) if name in held}
        if "min_delta" in given:
            given["min_delta"] = abs(given["min_delta"])  # its sign follows the direction, once that is known
        return self.all(kind, given, _own_code_in(value))

    def configured(self, value: Any) -> bytes:
        """Digest a loss, metric or schedule: Keras's own by configuration, others by class and attributes."""
        kind, base = type(value), _base_of(value)
        if is_installed(kind):
            return self.all(kind, _config_of(value), _own_code_in(value))
        held = {k: v for k, v in vars(value).items() if k not in _attributes_of(base)}
        if isinstance(value, keras.metrics.Metric):
            held = {k: v for k, v in held.items() if not is_state(v)}  # what it has counted
        return self.all(kind, held, _settings(value))

    def optimizer(self, value: Any) -> bytes:
        """Digest an optimiser: class, settings and rate, without its state."""
        inner = inner_optimizer(value)
        kind, known = type(inner), keras.optimizers.SGD().get_config()
        single, excluded = excluded_from_weight_decay(inner)
        if single:
            raise UnidentifiedError(f"{_name(inner)} excludes single variables from weight decay")
        if is_installed(kind):
            config = optimizer_config(inner)
        else:
            config = {name: getattr(inner, name) for name in known if hasattr(inner, name)}
            config |= {
                n: held for n, held in settings_beside_config(inner).items() if not n.startswith("_exclude_from")
            }
        scale = [getattr(value, name, None) for name in ("initial_scale", "dynamic_growth_steps")]
        return self.all(kind, config | {"learning_rate": rate_of(inner), "name": None}, excluded, scale)

    def layer(self, value: Any) -> bytes:
        """Digest a layer or model that some object holds: class, configuration, weights, code of its own."""
        return self.all(type(value), _without_names(_config_of(value)), value.get_weights(), _own_code_in(value))

    def reduced(self, value: Any) -> bytes:
        """Digest an object as pickle would take it apart."""
        if isinstance(value, np.random.RandomState) and value is check_random_state(None):
            return _hash("numpy.random")  # the global generator, which SciPy's distributions hold
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # noqa: BLE001 - a foreign object may raise what it likes
            raise UnidentifiedError(f"{_name(value)} has no value that could be compared ({error})") from None
        if isinstance(reduced, str):  # what stands under this name; lru_cache wraps a function that counts
            return self.all(
                type(value), getattr(value, "__module__", None), reduced, getattr(value, "__wrapped__", None)
            )
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        return self.all(make, arguments, state, list(items or ()), list(pairs or ()))


def _hash(*parts: Any) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def _is_tf_function(value: Any) -> bool:
    return type(value).__module__.startswith("tensorflow.") and hasattr(value, "python_function")


def _name(value: Any) -> str:
    return f"an object of class {type(value).__qualname__}"


@functools.cache
def _is_library(module: str) -> bool:
    """Whether a module is Python's, an installed package's or transferkit's, so that its name stands for its content."""
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == "transferkit":
        return True
    file = getattr(sys.modules.get(module) or sys.modules.get(top), "__file__", None)
    return file is not None and _is_place(file)


def _is_place(path: str) -> bool:
    """Whether a path lies where packages are installed; a link to one's own code does not."""
    real = Path(path).resolve()
    return str(real).startswith(_PLACES) or not _FOLDERS.isdisjoint(real.parts)


def is_installed(thing: Any) -> bool:
    """Whether a function or class is what stands under its name in an installed package."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "<")
    if module is not None and not isinstance(module, str):  # a type made by Cython, whose name says it all
        return True
    if module is None or "<" in name or not _is_library(module):
        return False
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


def _globals_read(code: types.CodeType, space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the globals that code reads, functions inside it included, and what it may read of modules of one's own."""
    names = sorted({name for part in _codes(code) for name in part.co_names})  # in one order in every process
    found = {name: space[name] for name in names if name in space} | _imported_inside(code)
    waiting, opened = list(found.items()), set[str]()
    while waiting:
        name, module = waiting.pop(0)
        if isinstance(module, types.ModuleType) and module.__name__ not in opened and not _is_library(module.__name__):
            opened.add(module.__name__)
            inside = {f"{name}.{inner}": getattr(module, inner) for inner in names if inner in vars(module)}
            found |= inside
            waiting += inside.items()
    return found


def _imported_inside(code: types.CodeType) -> dict[str, Any]:
    """Return the modules of one's own that code imports when it runs."""
    lines = (line for part in _codes(code) for line in dis.get_instructions(part) if line.opname == "IMPORT_NAME")
    modules = {f"import {name}": _own_module(name) for name in sorted({str(line.argval) for line in lines})}
    return {name: module for name, module in modules.items() if module is not None}


def _own_module(name: str) -> types.ModuleType | None:
    """Return a module that is neither Python's nor a package's, imported now if it was not; None for any other."""
    top = name.partition(".")[0]
    try:
        if name in sys.modules:
            return None if _is_library(name) else sys.modules[name]
        spec = None if top in sys.stdlib_module_names else importlib.util.find_spec(top)
        places = [] if spec is None else [*(spec.submodule_search_locations or [str(spec.origin)])]
        return importlib.import_module(name) if places and not _is_place(str(places[0])) else None
    except Exception:  # noqa: BLE001 - whatever importing raises; running the code will raise it again
        return None


def _codes(code: types.CodeType) -> Iterable[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


@functools.cache
def _observers() -> frozenset[type]:
    """Return Keras's callbacks that watch and write, and change nothing about a training."""
    kinds = keras.callbacks
    return frozenset((kinds.CSVLogger, kinds.TensorBoard, kinds.ModelCheckpoint, kinds.History, kinds.ProgbarLogger,
                      kinds.RemoteMonitor, kinds.BackupAndRestore, kinds.TerminateOnNaN))  # fmt: skip


def _parameters(kind: type) -> list[str]:
    """Return the names of what a class, and those it inherits from, are made with."""
    made = (vars(base).get("__init__") for base in kind.__mro__)
    return sorted(
        {name for function in made for name in getattr(getattr(function, "__code__", None), "co_varnames", ())}
    )


def _own_code_in(value: Any, depth: int = 3) -> list[Any]:
    """Return the code of others inside an object of a package, whose configuration no more than names it."""
    found: list[Any] = []
    for name, held in sorted(vars(value).items()):
        for item in held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else (held,):
            if isinstance(item, types.FunctionType | types.MethodType | functools.partial | type):
                if not is_installed(item) and getattr(item, "__self__", None) is not value:
                    found.append([name, item])
            elif isinstance(item, keras.losses.Loss | keras.metrics.Metric) and depth:
                found += _own_code_in(item, depth - 1)
            elif callable(item) and not is_installed(type(item)) and not isinstance(item, keras.layers.Layer):
                found.append([name, item])
    return found


def _config_of(value: Any) -> dict[str, Any]:
    """Return the configuration without the name; what is plain among the attributes if some part has no configuration."""
    try:
        config = value.get_config()
    except Exception:  # noqa: BLE001 - Keras raises the error of the object that has none
        config = {name: held for name, held in vars(value).items() if type(held) in _PLAIN}
    return {name: held for name, held in config.items() if name != "name"}


def _settings(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in ("reduction", "dtype") if hasattr(value, name)}


def _base_of(value: Any) -> type:
    bases = (keras.losses.Loss, keras.metrics.Metric)
    return next((base for base in bases if isinstance(value, base)), object)


@functools.cache
def _attributes_of(base: type) -> frozenset[str]:
    """Return the names of the attributes that an object of a base class of Keras has: bookkeeping."""
    return frozenset(vars(base()) if base is not object else ())


def _without_names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_names(item)
            for key, item in value.items()
            if key not in ("name", "inbound_nodes", "input_layers", "output_layers")
        }
    return [_without_names(item) for item in value] if isinstance(value, list | tuple) else value


_DESCRIPTORS = (staticmethod, classmethod, property, functools.cached_property)
_BUILTINS = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType,
             types.ClassMethodDescriptorType, types.MethodWrapperType, np.ufunc)  # fmt: skip
_CONFIGURED = keras.losses.Loss | keras.metrics.Metric | keras.optimizers.schedules.LearningRateSchedule
_RULES: tuple[tuple[Any, Callable[[_Walk, Any], bytes]], ...] = (
    (np.ndarray | np.generic, _Walk.array),
    (enum.Enum, _Walk.enum),
    (types.ModuleType, _Walk.module),
    (types.CodeType, _Walk.code),
    (types.FunctionType, _Walk.function),
    (types.MethodType, _Walk.method),
    (types.CellType, _Walk.cell),
    (functools.partial, _Walk.partial),
    (_DESCRIPTORS, _Walk.descriptor),
    (_BUILTINS, _Walk.builtin),
    (type, _Walk.kind),
    (slice, _Walk.slice),
    (PurePath, _Walk.path),
    (keras.Variable, _Walk.variable),
    (keras.callbacks.Callback, _Walk.callback),
    (keras.optimizers.Optimizer, _Walk.optimizer),
    (_CONFIGURED, _Walk.configured),
    (keras.layers.Layer, _Walk.layer),
    (Mapping, _Walk.mapping),
    (AbstractSet, _Walk.set),
    ((list, tuple), _Walk.sequence),
)
