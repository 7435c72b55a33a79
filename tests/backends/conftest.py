"""Which public functions these tests cover, and the table of them by backend."""

import json
import logging
import os
from collections import defaultdict
from pathlib import Path

import pytest

logging.getLogger("torch.__trace").disabled = True  # pytest would keep all of it
_FOUND: dict[str, set[str]] = defaultdict(set)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.backends)


@pytest.fixture(scope="session", autouse=True)
def each_program_is_compiled_once():
    """Let JAX take what was compiled for an equal network, however short that took."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" or report.outcome == "failed":
        for name in (name for mark in item.iter_markers("covers") for name in mark.args):
            _FOUND[name].add(report.outcome)
    return report


def pytest_sessionfinish():
    """Add this backend's column to the table in the folder TRANSFERKIT_BACKENDS_TABLE."""
    folder = os.environ.get("TRANSFERKIT_BACKENDS_TABLE")
    if folder is None or not _FOUND:
        return
    import keras

    from transferkit.backends import BACKENDS, chosen_backend

    file = Path(folder) / "table.json"
    table = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    versions = ", ".join(f"{name} {version}" for name, version in chosen_backend().versions().items())
    works = {name: "failed" not in outcomes and "passed" in outcomes for name, outcomes in _FOUND.items()}
    column = table.setdefault(keras.backend.backend(), {"versions": "", "works": {}})
    column["versions"] = f"keras {keras.__version__}, {versions}"
    column["works"] |= works  # some tests may be run anew
    file.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    columns = [backend for backend in BACKENDS if backend in table]
    names = sorted({name for backend in columns for name in table[backend]["works"]})
    cells = {True: "works", False: "**fails**", None: "not tried"}
    lines = [f"| | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    lines += [f"| | {' | '.join(table[backend]['versions'] for backend in columns)} |"]
    lines += [
        f"| `{name}` | {' | '.join(cells[table[backend]['works'].get(name)] for backend in columns)} |"
        for name in names
    ]
    (Path(folder) / "table.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
