"""Sphinx configuration; the build needs no network."""

import html
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import get_args

import polib
import typing_extensions
from docutils import nodes
from sphinx.locale import _

import transferkit

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

project = "transferkit"
author = "The transferkit authors"
copyright = "The transferkit authors"
PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
release = transferkit.__version__
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "measured",
]
exclude_patterns = ["_build", "_templates", "results", "locale", "**/*.ipynb", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"  # the types stand in the numpydoc line
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Korean: docs/locale/ko; what has no translation stays English (CONTRIBUTING.md, "Translations").
language = "en"
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False

html_theme = "furo"
html_title = "transferkit"
html_static_path = ["_static"]
html_css_files = ["transferkit.css"]
html_js_files = ["korean.js", "tables.js"]
html_context = {"site_version": os.environ.get("READTHEDOCS_VERSION", "")}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# Each script is a page and a notebook, run once: a build in another language finds its output.
FIRST_CELL = f"""\
# In Colab: transferkit, and the saved runs that this page shows. On your own machine, put the notebook into the folder
# examples/course of your clone, and leave this cell out.
!git clone --quiet --depth 1 {REPOSITORY}
%cd transferkit/examples/course
%pip install --quiet ../.."""
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/plots", "../examples/course", "../examples/pitfalls", "../examples/homework"],
    "gallery_dirs": ["plots", "course", "pitfalls", "homework"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "first_notebook_cell": FIRST_CELL,
    "abort_on_example_error": True,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "garments.png"),
    "thumbnail_size": (520, 364),
    "download_all_examples": False,
    "write_computation_times": False,
    "min_reported_time": 600,
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "reset_modules": (),
    "capture_repr": ("__repr__",),
    "plot_gallery": "True",
    "parallel": 2,  # in processes, which give their memory back
    "show_signature": False,
}


MODULES = r"\b(typing|transferkit(\.\w+)*)\."
MARKUP = r"[`*]+(?:\\ )?|:\w+:`([^`<]+?)(?: <[^>]+>)?`"  # what the tooltips leave out


def translate_thumbnails(app, doctree):
    """Translate the titles and tooltips of a gallery's thumbnails, which sphinx-gallery writes as raw HTML."""
    gallery = Path(__file__).parent / "locale" / app.config.language / "LC_MESSAGES" / Path(app.env.docname).parent
    if app.env.docname not in {f"{name}/index" for name in sphinx_gallery_conf["gallery_dirs"]} or not gallery.is_dir():
        return
    entries = [entry for file in sorted(gallery.glob("*.po")) for entry in polib.pofile(str(file))]
    texts = {re.sub(MARKUP, r"\1", entry.msgid): re.sub(MARKUP, r"\1", entry.msgstr) for entry in entries}
    for raw in doctree.findall(nodes.raw):
        found = re.search(r'tooltip="(.+?)">|thumbnail-title">(.+?)</div>', raw.astext(), re.DOTALL)
        english = found and (found[1] or found[2])
        translation = texts.get(html.unescape(english or ""))
        if translation:
            raw[:] = [nodes.Text(raw.astext().replace(english, html.escape(translation)))]


ALIGNED = re.compile(r"\S {2,}\S|[│┃━─]")


def mark_columns(app, doctree):
    """Mark printed tables, whose lines must stay whole."""
    for block in doctree.findall(nodes.literal_block):
        aligned = [line for line in block.astext().splitlines() if ALIGNED.search(line)]
        if block.get("language") in ("none", "text") and len(aligned) > 1:
            block["classes"].append("columns")


def wrap_sentences(app, pagename, templatename, context, doctree):
    """Let the sentences that are printed with a table wrap all the same."""

    def wrap(block):
        lines = block[2].split("\n")
        return block[1] + "\n".join(s if ALIGNED.search(s) else f'<span class="sentence">{s}</span>' for s in lines)

    pattern = re.compile(
        r'(<div class="[^"]*\bcolumns\b[^"]*"><div class="highlight"><pre><span></span>)(.*?)(?=</pre>)', re.DOTALL
    )
    context["body"] = pattern.sub(wrap, context.get("body", ""))


def add_colab(app, pagename, templatename, context, doctree):
    """Put a button beneath the title of the pages whose notebooks lie in the repository."""
    notebook = Path("examples", pagename).with_suffix(".ipynb")
    if (Path(__file__).parents[1] / notebook).is_file():
        address = f"{REPOSITORY.replace('https://github.com', 'https://colab.research.google.com/github')}/blob/main/{notebook.as_posix()}"
        button = f'<p><a class="colab" href="{address}">{_("Open in Colab")}</a></p>'
        context["body"] = context["body"].replace("</h1>", f"</h1>{button}", 1)


def list_keys(app, what, name, record, options, lines):
    """Add the keys of a record and their types to what its docstring says."""
    if typing_extensions.is_typeddict(record):
        lines.append("")
        for key, kind in typing_extensions.get_type_hints(record).items():
            words = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
            words = re.sub(r"Optional\[(.+)\]$", r"\1 | None", re.sub(MODULES, "", words))
            lines.append(f"* ``{key}`` : {words}")


def setup(app):
    app.connect("doctree-read", translate_thumbnails)
    app.connect("doctree-read", mark_columns)
    app.connect("html-page-context", wrap_sentences)
    app.connect("html-page-context", add_colab)
    app.connect("autodoc-process-docstring", list_keys)
