"""Every public name is documented as numpydoc, completely and truly: read from the source, so that nothing heavy is imported.

That the examples run is for the doctests to show (``--doctest-modules``).
"""

import ast
import functools
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.hooks.validate_docstrings import AstValidator
from numpydoc.validate import validate

import transferkit as tk
from transferkit import errors

SOURCE = Path(tk.__file__).parent
# Of numpydoc's checks, all but: how a sentence after a type begins and ends (PR08, PR09, RT03 to RT05), a longer summary and See Also
# for everything (ES01, SA01), those that know neither dataclasses nor "a, b : type" (PR01 to PR04, checked below), Returns in
# properties (RT01, checked below), a blank line where the text goes on (GL03), and Examples (EX01, checked below).
CHECKS = {"GL01", "GL02", "GL05", "GL06", "GL07", "GL08", "SS01", "SS02", "SS03", "SS04", "SS05", "SS06"}
OPEN = {"**options"}  # what it holds is for another function to say
CHECKS |= {"PR05", "PR06", "PR07", "PR10", "RT02", "YD01", "SA02", "SA03", "SA04"}


def file_of(name):
    """Return the file that defines a public name or a member of it."""
    return (SOURCE / tk._EXPORTS[name.split(".")[0]].replace(".", "/")).with_suffix(".py")


@functools.cache
def parse(module):
    """Return the functions and classes of a module by name."""
    tree = ast.parse((SOURCE / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def decorators(node):
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def is_property(node):
    return any(name.endswith("property") for name in decorators(node))


def members(name):
    """Return the public methods and properties of a public class."""
    node = parse(tk._EXPORTS[name])[name]
    return [item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]


def is_class(name):
    return name in tk._EXPORTS and isinstance(parse(tk._EXPORTS[name])[name], ast.ClassDef)


CLASSES = [name for name in tk.__all__ if is_class(name)]
METHODS = [f"{name}.{method.name}" for name in CLASSES for method in members(name) if not is_property(method)]
PROPERTIES = [f"{name}.{method.name}" for name in CLASSES for method in members(name) if is_property(method)]


def find(name):
    owner, _, member = name.partition(".")
    node = parse(tk._EXPORTS[owner])[owner]
    return next(item for item in members(owner) if item.name == member) if member else node


def document(name):
    return NumpyDocString(inspect.cleandoc(ast.get_docstring(find(name), clean=False) or ""))


def documented_parameters(name):
    """Return the names; "a, b : type" documents two."""
    return [part.strip() for item in document(name)["Parameters"] for part in item.name.split(",")]


def fields(module, node):
    """Return the fields of a dataclass, those of the classes of the package that it stands on first."""
    tree = ast.parse((SOURCE / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
    imports = {
        alias.name: item.module.removeprefix("transferkit.")
        for item in tree.body
        if isinstance(item, ast.ImportFrom) and (item.module or "").startswith("transferkit.")
        for alias in item.names
    }
    names = [ast.unparse(base) for base in node.bases]
    inherited = [
        field for base in names if base in imports for field in fields(imports[base], parse(imports[base])[base])
    ]
    return inherited + [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]


def signature(name):
    """Return the parameters in order, without defaults: of a function those it takes, of a class its fields, or what makes it."""
    node = find(name)
    if isinstance(node, ast.ClassDef):
        own = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name in ("__new__", "__init__")]
        if not own:
            return fields(tk._EXPORTS[name], node)
        node = own[0]
    if any(ast.unparse(decorator).startswith("takes(") for decorator in node.decorator_list):  # options of a recipe
        return list(inspect.signature(getattr(tk, name)).parameters)
    arguments = node.args
    names = [item.arg for item in [*arguments.posonlyargs, *arguments.args]]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [item.arg for item in arguments.kwonlyargs]
    names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return [item for item in names if item not in ("self", "cls")]


def called_names(node):
    """Return the plain names of the functions that a function calls."""
    calls = (item.func for item in ast.walk(node) if isinstance(item, ast.Call))
    return {item.id for item in calls if isinstance(item, ast.Name)}


def raised(name):
    """Return the errors of transferkit that a function raises, itself or through functions of its own module."""
    node, module = find(name), parse(tk._EXPORTS[name.split(".")[0]])
    todo = [item for item in node.body if getattr(item, "name", "") == "__post_init__"] if is_class(name) else [node]
    seen, found = set(), set()
    while todo:
        node = todo.pop()
        for item in ast.walk(node):
            if isinstance(item, ast.Raise) and isinstance(item.exc, ast.Call) and isinstance(item.exc.func, ast.Name):
                found.add(item.exc.func.id)
        for called in called_names(node) - seen:
            seen.add(called)
            if isinstance(module.get(called), ast.FunctionDef):
                todo.append(module[called])
    return {error for error in found if hasattr(errors, error)}


@pytest.mark.parametrize("name", [*tk.__all__, *METHODS, *PROPERTIES])
def test_docstring_passes_numpydoc(name):
    validator = {"filename": file_of(name), "ancestry": [ast.Module([], [])], "ast_node": find(name)}
    found = validate(name, AstValidator, **validator)["errors"]
    assert [error for error in found if error[0] in CHECKS] == []


@pytest.mark.parametrize("name", [*tk.__all__, *METHODS])
def test_parameters_are_documented_with_types_in_the_order_of_the_signature(name):
    assert documented_parameters(name) == signature(name)
    referring = {item.name for item in document(name)["Parameters"] if re.match("(See|As in) `", item.desc[0])}
    assert [
        item.name for item in document(name)["Parameters"] if not item.type and item.name not in referring | OPEN
    ] == []


@pytest.mark.parametrize("name", [*tk.__all__, *METHODS])
def test_what_comes_back_is_documented(name):
    node = find(name)
    gives = isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or ast.Constant(None)) != "None"
    assert bool(document(name)["Returns"]) == gives


@pytest.mark.parametrize("name", tk.__all__)
def test_public_name_has_a_running_example(name):
    examples = "\n".join(document(name)["Examples"])
    assert ">>> " in examples, "no Examples"
    assert name in examples or is_class(name), "its Examples do not use it"  # some classes are made by functions
    assert "doctest: +SKIP" not in examples


@pytest.mark.parametrize("name", METHODS)
def test_method_has_a_running_example_or_is_in_that_of_its_class(name):
    owner, member = name.split(".")
    examples = "\n".join([*document(owner)["Examples"], *document(name)["Examples"]])
    assert f".{member}(" in examples
    assert "doctest: +SKIP" not in examples


@pytest.mark.parametrize("name", [*tk.__all__, *METHODS])
def test_errors_that_are_raised_are_documented(name):
    documented = [part.strip() for item in document(name)["Raises"] for part in item.type.split(",")]
    known = tuple(getattr(errors, item) for item in documented if hasattr(errors, item))
    assert [item for item in raised(name) if not issubclass(getattr(errors, item), known)] == []


@pytest.mark.parametrize("name", tk.__all__)
def test_errors_that_are_documented_exist(name):
    for item in document(name)["Raises"]:
        for part in item.type.split(","):
            assert hasattr(errors, part.strip()), f"no such error: {part}"
