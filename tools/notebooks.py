"""Write the homework as notebooks that Colab can open from the repository: examples/homework/*.ipynb.

python tools/notebooks.py          # after a change of the scripts
python tools/notebooks.py --check  # exit with status 1 if they are not what the scripts say
"""

import copy
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import remove_config_comments, remove_ignore_blocks, split_code_and_text_blocks

ROOT = Path(__file__).parents[1]
HOMEWORK = ROOT / "examples" / "homework"
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
INSTALL = f"""\
# In Colab this installs transferkit. On your own machine, leave it out.
!pip install --quiet transferkit || pip install --quiet git+{REPOSITORY}"""


def make(script: Path) -> dict[str, Any]:
    """Return a script of the gallery as a notebook."""
    _, blocks = split_code_and_text_blocks(str(script))
    settings = copy.deepcopy(DEFAULT_GALLERY_CONF) | {"first_notebook_cell": INSTALL}
    cleaned = [(kind, remove_config_comments(remove_ignore_blocks(text)), line) for kind, text, line in blocks]
    notebook: dict[str, Any] = jupyter_notebook(cleaned, settings, str(script.parent))
    notebook["metadata"]["language_info"].pop("version", None)  # that of the Python that wrote it
    for index, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{index}"
    notebook["nbformat_minor"] = 5
    return notebook


def main() -> None:
    """Write or check the notebooks."""
    stale = []
    for script in sorted(HOMEWORK.glob("*.py")):
        file, text = script.with_suffix(".ipynb"), json.dumps(make(script), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            stale.append(file.name)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what the scripts say; run `python tools/notebooks.py`.")


if __name__ == "__main__":
    main()
