"""What a project says of itself in several files says the same everywhere: its address and its version."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import transferkit

ROOT = Path(__file__).parents[1]
ADDRESS = re.compile(r"github\.com/([\w-]+)/transferkit\b")


@pytest.fixture(scope="module")
def urls():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def test_every_file_names_the_repository_of_pyproject(urls):
    owner = ADDRESS.search(urls["Repository"])[1]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    texts = [
        ROOT / name
        for name in listed
        if name.endswith((".md", ".py", ".toml", ".cff", ".yml", ".yaml", ".po", ".ipynb"))
    ]
    if not texts:
        pytest.skip("not a clone")
    named = {
        (path.name, found) for path in texts if path.is_file() for found in ADDRESS.findall(path.read_text("utf-8"))
    }
    assert {found for _, found in named} == {owner}, named


def test_the_citation_names_the_version(urls):
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {transferkit.__version__}\n" in citation
    assert f"\nrepository-code: {urls['Repository']}\n" in citation
