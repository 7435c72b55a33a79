"""The first page is short, says the same in both languages, and its lines are those of the assignment."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README, KOREAN = (ROOT / name for name in ("README.md", "README.ko.md"))
pytestmark = pytest.mark.skipif(not KOREAN.is_file(), reason="not a clone")


def code_of(file):
    return re.findall(r"```\w*\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)


def numbers_of(file):
    rows = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(("| CNN", "| MobileNet"))]
    return [re.findall(r"[\d.,]+", row) for row in rows]


def test_it_is_short_and_narrow():
    assert len(README.read_text(encoding="utf-8").split()) < 450
    assert all(len(line) <= 88 for block in code_of(README) for line in block.splitlines())


def test_both_languages_have_the_same_code_and_numbers():
    (_, english, _), (_, korean, _) = code_of(README), code_of(KOREAN)
    assert english == korean
    assert numbers_of(README) == numbers_of(KOREAN)
    assert len(numbers_of(README)) == 4


def test_its_lines_train_as_the_assignment_does():
    def given(text):
        return {
            name: re.findall(rf"\b{name}\b(?:\": |=)(\"\w+\"|[\d.]+)", text)
            for name in ("augment", "label_smoothing", "schedule", "batch_size")
        }

    lines = code_of(README)[1]
    script = (ROOT / "examples" / "assignment.py").read_text(encoding="utf-8")
    for name, values in given(lines).items():
        assert values
        assert set(values) <= set(given(script)[name])
    assert (
        re.findall(r"epochs=(\d+)", lines)
        == ["60", "15"]
        == re.findall(r'"epochs": (\d+)', script.partition("else:")[2])
    )


def test_the_notebooks_of_the_homework_are_its_scripts():
    pytest.importorskip("sphinx_gallery")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "notebooks.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
