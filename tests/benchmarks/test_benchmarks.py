import ast
import csv
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
SHARED = {"machine", "run", "torch_mobilenet"}
if not SCRIPTS:
    pytest.skip("a source distribution has no benchmarks", allow_module_level=True)


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "benchmarks"))  # they import `machine`
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_benchmark_reaches_into_is_there(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transferkit"):
            found = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(found, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


def test_every_function_that_fixed_costs_times_is_there():
    for name in (name for names in load("fixed_costs").TIMED.values() for name in names):
        module, _, path = name.partition(":")
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        assert callable(found)


def test_the_runner_knows_every_script():
    run = load("run")
    assert {*run.FULL, *run.OTHERS} == {script.stem for script in SCRIPTS} - SHARED


def test_the_runner_goes_on_after_a_failure(tmp_path):
    shutil.copy(ROOT / "benchmarks" / "run.py", tmp_path)
    (tmp_path / "importing.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "comparing.py").write_text(
        "import os, sys; print(sys.argv[1:], os.listdir(os.environ['TRANSFERKIT_HOME']))"
    )
    command = [sys.executable, str(tmp_path / "run.py"), "--quick", "importing", "comparing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "['--quick'] []" in done.stdout
    assert re.findall(r"\| (\w+) \| (\d) \|", done.stdout) == [("importing", "3"), ("comparing", "0")]


def results(tmp_path, *, quick=False):
    columns = {"what": "{}", "seconds": "{:.1f}"}
    return load("machine").Results("speed", columns, Namespace(quick=quick, output=tmp_path / "new"))


def test_a_row_is_on_disk_when_it_is_printed(tmp_path, capsys):
    table = results(tmp_path)
    table.add("one, and more", 1.25)
    assert "| one, and more | 1.2 |" in capsys.readouterr().out
    record = json.loads((tmp_path / "new" / "speed.json").read_text(encoding="utf-8"))
    assert record["rows"] == [{"what": "one, and more", "seconds": 1.25}]
    assert {"command", "machine", "versions"} <= set(record)
    table.add("two", None)
    rows = list(csv.reader((tmp_path / "new" / "speed.csv").open(encoding="utf-8")))
    assert rows == [["what", "seconds"], ["one, and more", "1.2"], ["two", ""]]
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["speed.csv", "speed.json"]


def test_a_quick_run_writes_nothing(tmp_path):
    results(tmp_path, quick=True).add("one", 1.0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
@pytest.mark.parametrize("difference", [2e-3, float("nan")], ids=["larger", "nan"])
def test_unequal_results_of_equal_work_end_a_benchmark(tmp_path, difference, quick):
    table = results(tmp_path, quick=quick)
    table.check("alike", 1e-3, 1e-3)
    with pytest.raises(SystemExit, match="equal work"):
        table.check("features", difference, 1e-3)


def test_every_table_of_the_page_has_machine_versions_and_command():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "|---" not in page, "tables come from result files"
    for name in re.findall(r"^:file: benchmarks/(\w+)\.csv$", page, re.MULTILINE):
        folder = ROOT / "docs" / "benchmarks"
        record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if isinstance(record, list):  # own_photographs keeps rows of several calls, each with its machine
            assert all("machine" in row for row in record)
            continue
        script = re.fullmatch(r"python benchmarks/(\w+\.py).*", record["command"])[1]
        assert (ROOT / "benchmarks" / script).is_file()
        assert record["machine"]
        assert {"python", "keras"} <= set(record["versions"])
        heading, *rows = csv.reader((folder / f"{name}.csv").open(encoding="utf-8"))
        assert [list(row) for row in record["rows"]] == [heading] * len(rows)
