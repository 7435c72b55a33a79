"""What TensorFlow and LiteRT tell each other in C++: it goes to file descriptor 2, past ``sys.stderr`` and ``logging``."""

import faulthandler
import logging
import os
import re
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import IO, Final

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"

_PACKAGE: Final = str(Path(__file__).parents[1])
_REMARKS: Final = ("triggered tf.function retracing", "Assets written to")

# Where one of these exists, TensorFlow looks later: which devices it may see can still be set after its import.
_GRAPHICS: Final = ("/dev/nvidiactl", "/dev/dxg")
_WHERE = rb"[\w./+-]+\.(?:cc|h|cpp|mm|inc):\d+\]"
_NOISE: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # Information and warnings, as absl and as TensorFlow write them
        rb"[IW]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ " + _WHERE,
        rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] " + _WHERE,
        # Errors that are none: no graphics card, and libraries that register themselves twice
        rb".*(?:failed call to cuInit|Unable to register cu\w+ (?:factory|plugin)|computation placer already registered)",
        rb"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
        rb"To enable the following instructions: .*rebuild TensorFlow with the appropriate compiler flags",
        rb"(?:INFO|VERBOSE): (?:Created|Initialized|Applying|Replacing) .*(?:TensorFlow Lite|LiteRT|TfLite|XNNPack|delegate)",
    )
)


class _QuietImport(MetaPathFinder):
    """Finds TensorFlow as Python would, whoever imports it, and lets it be loaded quietly."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what Python would find, for TensorFlow only."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "tensorflow" else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with quietly():
                    load(module)
                    if not any(Path(device).exists() for device in _GRAPHICS) and hasattr(module, "config"):
                        module.config.list_physical_devices()  # TensorFlow looks once, and complains that there is none

            setattr(spec.loader, "exec_module", load_quietly)  # noqa: B010 - a method, to mypy
        return spec


class _Remarks(logging.Filter):
    """Drops what TensorFlow remarks on the work of this package, and on nobody else's.

    That each network's step is traced anew is no fault of the user's, and where a conversion was written for a moment is no news.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is passed on."""
        known = any(remark in str(record.msg) for remark in _REMARKS)
        return not known or os.environ.get(LEVEL) == "0" or not _works_for_us()


def _works_for_us() -> bool:
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_stack(sys._getframe()))
    return any(file.startswith(_PACKAGE) and file != __file__ for file in files)


def ask_for_quiet() -> None:
    """Let TensorFlow's C++ write errors only, unless the user has said how much, and nothing known while it is first imported."""
    os.environ.setdefault(LEVEL, "2")
    logger = logging.getLogger("tensorflow")
    if not any(isinstance(one, _Remarks) for one in logger.filters):
        logger.addFilter(_Remarks())
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, _QuietImport())


class _Diversion:
    """Standard error of the process in a file, for as long as any thread wants it there.

    A file, not a pipe: what writes in C++ may hold Python's lock, and would wait for ever for a reader in Python.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._file: IO[bytes] | None = None
        self._kept = -1
        self._watches = False

    def begin(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                with suppress(OSError):  # no standard error, or no place for a file: then nothing is diverted
                    self._open()

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._file is not None:
                self._close(self._file)

    def _open(self) -> None:
        _flush()
        self._kept = os.dup(2)
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this function
            os.dup2(self._file.fileno(), 2)
        except OSError:
            os.close(self._kept)
            self._file = None
            raise
        # C++ may abort the process, and its words are in the file: that it died here is said at least.
        self._watches = not faulthandler.is_enabled()
        if self._watches:
            faulthandler.enable(file=self._kept)

    def _close(self, file: IO[bytes]) -> None:
        _flush()
        if self._watches:
            faulthandler.disable()
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._file = None
        with file, suppress(OSError):
            file.seek(0)
            rest = b"".join(line for line in file if not is_noise(line))
            while rest:
                rest = rest[os.write(2, rest) :]


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):  # None, closed, or no file at all
        sys.stderr.flush()


def is_noise(line: bytes) -> bool:
    """Whether a line is one of those that C++ writes at each start, whatever is done."""
    return any(pattern.match(line) for pattern in _NOISE)


_DIVERSION: Final = _Diversion()


@contextmanager
def quietly() -> Iterator[None]:
    """Keep known noise of C++ away while a call runs that makes it; all else that is written meanwhile appears when it has ended.

    Nothing is kept away from who sets ``TF_CPP_MIN_LOG_LEVEL=0``. For short calls: a process that is killed inside takes
    the last words with it.
    """
    if os.environ.get(LEVEL) == "0":
        yield
        return
    _DIVERSION.begin()
    try:
        yield
    finally:
        _DIVERSION.end()
