"""The reference has a place for every public name, every error, and every type of ours that a public name gives back."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import transferkit as tk
from transferkit import errors

SOURCE = Path(tk.__file__).parent
PAGES = Path(__file__).parents[1] / "docs" / "api"
pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="without the documentation")


def page(name):
    return (PAGES / name).read_text(encoding="utf-8")


@cache
def parse(module):
    """Return the classes and functions of a module by name, and where it has its other names of ours from."""
    tree = ast.parse((SOURCE / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
    imports = (item for item in ast.walk(tree) if isinstance(item, ast.ImportFrom) and item.module)
    origins = {
        alias.asname or alias.name: item.module.removeprefix("transferkit.")
        for item in imports
        for alias in item.names
        if item.module.startswith("transferkit.")
    }
    return {item.name: item for item in tree.body if isinstance(item, ast.ClassDef | ast.FunctionDef)}, origins


def is_class_of(module, name):
    """Whether a name in a module is a class of ours, defined there or imported from where it is."""
    own, origins = parse(module)
    if name in own:
        return isinstance(own[name], ast.ClassDef)
    file = (SOURCE / origins.get(name, "-").replace(".", "/")).with_suffix(".py")
    return file.is_file() and is_class_of(origins[name], name)


def annotations(name):
    """Yield what a public function returns, or the public members of a class return or are."""
    node = parse(tk._EXPORTS[name])[0][name]
    for item in node.body if isinstance(node, ast.ClassDef) else [node]:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and item.returns is not None:
            yield item.returns
        elif isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
            yield item.annotation


def named_classes(name):
    """Return the classes of ours in these annotations."""
    texts = " ".join(map(ast.unparse, annotations(name)))
    return {word for word in re.findall(r"\b[A-Z]\w+", texts) if is_class_of(tk._EXPORTS[name], word)}


def test_every_public_name_has_a_page_and_every_page_a_name():
    listed = re.findall(r"^   (\w+)$", page("index.rst"), re.MULTILINE)
    assert sorted(listed) == sorted([*tk.__all__, "errors", "records"])


@pytest.mark.parametrize("name", tk.__all__)
def test_what_a_public_name_gives_back_is_exported_or_a_documented_record(name):
    assert named_classes(name) - set(tk.__all__) <= set(re.findall(r"autoclass:: [\w.]+\.(\w+)", page("records.rst")))


def test_every_error_is_on_its_page():
    documented = re.findall(r"autoexception:: (\w+)", page("errors.rst"))
    defined = [
        name for name, item in vars(errors).items() if inspect.isclass(item) and item.__module__ == errors.__name__
    ]
    assert sorted(documented) == sorted(defined)


@pytest.mark.parametrize(
    "name", ["build_cnn", "build_googlenet", "build_transfer_model", "freeze", "unfreeze", "load_model"]
)
def test_an_editor_learns_that_it_is_a_keras_model(name):
    assert ast.unparse(parse(tk._EXPORTS[name])[0][name].returns) == "keras.Model"


@pytest.mark.parametrize("name", [name for name in tk.__all__ if name.startswith("plot_")])
def test_every_plot_is_in_the_gallery(name):
    script = PAGES.parents[1] / "examples" / "plots" / f"{name}.py"
    assert f"tk.{name}(" in script.read_text(encoding="utf-8")
