"""A number in a table that no committed file holds is found, and nothing else is."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "check_numbers.py"
pytestmark = pytest.mark.skipif(not TOOL.is_file(), reason="without the tools")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("check_numbers", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(tool, tmp_path):
    """Return a function that checks one table, and one file of results."""
    (tmp_path / "docs" / "results").mkdir(parents=True)

    def run(rows, *, result="", name="a.json", above="<!-- from docs/results/a.* -->\n\n"):
        (tmp_path / "docs" / "results" / name).write_text(result, encoding="utf-8")
        lines = ["| model | value |", "|---|---:|", *(f"| {first} | {second} |" for first, second in rows)]
        (tmp_path / "docs" / "page.md").write_text(above + "\n".join(lines) + "\n", encoding="utf-8")
        return tool.list_problems(tmp_path)[0]

    return run


def test_every_number_on_our_pages_is_held(tool):
    assert tool.list_problems(ROOT)[0] == []


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        ("0.52", '{"loss": 0.5160}'),
        ("83.8% [83.0, 84.5]", "[0.8378, 0.8304, 0.8449]"),
        ("1,442 s", '{"seconds": 1441.7}'),
        ("3,217,226", "of 3,217,226 parameters"),
        ("-0.17", "[-0.1702]"),
        ("2e-04", "[0.00021]"),
        ("29 ms", "[0.0291]"),
        ("56 min", "in 55 min 41 s"),
    ],
)
def test_a_rounded_number_of_the_file_is_held(check, printed, result):
    assert check([("CNN", printed)], result=result) == []


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        ("0.53", '{"loss": 0.5160}'),
        ("83.7%", "[0.8378]"),
        ("1,443 s", "[1441.7]"),
        ("83.78", "[0.8378]"),
        ("2e-04", "[0.002]"),
    ],
)
def test_another_number_is_found(check, printed, result):
    (problem,) = check([("CNN", printed)], result=result)
    assert problem.startswith("docs/page.md:3: ")
    assert problem.endswith("not in docs/results/a.*")


def test_means_over_seeds_are_held(check):
    result = "way,seed,f1\nfrozen,0,0.80\nfrozen,1,0.90\ntuned,0,0.70\n"
    assert check([("frozen", "85.0%")], result=result, name="a.csv") == []
    assert check([("frozen", "75.0%")], result=result, name="a.csv") != []


def test_a_table_without_a_file_is_named(check):
    assert "say above the table" in check([("CNN", "0.52")], above="")[0]


def test_words_and_versions_are_no_measurements(check):
    assert check([("option", "one of 3 words"), ("other", "text")], above="") == []
    assert check([("TensorFlow", "2.21.0")], above="") == []


def test_a_source_that_is_not_there_ends_it(check):
    with pytest.raises(SystemExit, match=r"no file docs/results/b\.json"):
        check([("CNN", "0.52")], above="<!-- from docs/results/b.json -->\n\n")
