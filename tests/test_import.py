"""The public surface: instant to import, complete, and nothing missing behind a lazy name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import transferkit

HEAVY = ("tensorflow", "keras", "matplotlib", "pandas", "sklearn", "scipy", "PIL", "numpy")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_no_heavy_package():
    code = f"import sys, transferkit; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code) == "[]"


def test_every_public_name_resolves_in_a_fresh_process():
    code = "import transferkit as tk; print(all(getattr(tk, name) is not None for name in tk.__all__))"
    assert run_python(code) == "True"


def test_names_for_type_checkers_are_the_lazy_ones():
    source = Path(transferkit.__file__).read_text(encoding="utf-8")
    typed = {(name, module) for module, name in re.findall(r"from transferkit\.([\w.]+) import (\w+) as \w+", source)}
    assert typed == set(transferkit._EXPORTS.items())


def test_no_public_name_collides_with_a_module():
    package = Path(transferkit.__file__).parent
    modules = {path.stem for path in package.iterdir()}
    assert not modules & set(transferkit.__all__)


def test_an_old_name_works_says_the_new_one_and_is_not_listed():
    with pytest.warns(DeprecationWarning, match="label_efficiency is called train_label_budgets now") as warned:
        assert transferkit.label_efficiency is transferkit.train_label_budgets
    assert warned[0].filename == __file__
    assert "label_efficiency" not in dir(transferkit)


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(transferkit, "build_everything")
