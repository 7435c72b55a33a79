"""Sphinx configuration; the build needs no network."""

import transferkit

project = "transferkit"
author = "The transferkit authors"
copyright = "The transferkit authors"
release = transferkit.__version__
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "results"]
html_theme = "furo"
html_title = "transferkit"
autosummary_generate = True
autodoc_typehints = "none"  # the types stand in the numpydoc line
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
