"""Notebooks and scripts run as a reader runs them, in a fresh kernel, on a terminal, in a pipe: with every picture, and no foreign line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transferkit.progress.native import LEVEL, is_noise

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOREIGN = re.compile(r"ipywidgets|retracing|tensorflow/|XNNPACK|oneDNN|absl::|delegate|loky|Warning", re.IGNORECASE)
PICTURE = re.compile(r"\.(?:plot|show)(?:_\w+)?\(|\.imshow\(")

CELLS = [
    """
import transferkit as tk  # before Keras, which imports TensorFlow
import keras
data = tk.load_fashion_mnist(labels_per_class=10, validation=0)
test = data.test.images[:300], data.test.labels[:300]
data = tk.Dataset.from_arrays(data.train, test, validation=50, class_names=data.class_names)
trained = tk.build_cnn(preset="modern", filters=(8, 16))
backbone = keras.Model(trained.inputs, trained.get_layer("pool").output)
""",
    'cnn = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=3, name="CNN")',
    'frozen = tk.train(tk.build_transfer_model(backbone), data, epochs=2, name="frozen")',
    'tuned = tk.fine_tune(tk.build_transfer_model(backbone), data, epochs=2, name="tuned")',
    "comparison = tk.compare_runs([cnn, frozen, tuned])",
]
MANY = 'many = tk.repeat(lambda seed: tk.build_cnn(filters=(4, 8), seed=seed), data, seeds=(0, 1), epochs=1, name="seeds", n_jobs=2)'
SHOWN = ["data", "data.train", "cnn", "comparison", "_ = tk.plot_curves([cnn, tuned])", "_ = comparison.plot()"]
SHOWN += ["import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"]
LINE = re.compile(
    r"(?:CNN|frozen|tuned|tuned, head|tuned, all|seeds): (?:epoch \d+/\d+  .*loss \d.*|few training steps: \d+ \(\d+ an epoch\)\. .*)"
    r"|\d of 2: seeds-seed-\d: accuracy \d.*|tuned: no epoch of fine-tuning was better.*"
)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def as_a_reader(monkeypatch, example_home):
    """Give back what the tests set for themselves, before a kernel or a program inherits it."""
    for name in ("MPLBACKEND", LEVEL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSFERKIT_HOME", str(example_home))
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def execute(as_a_reader, request):
    """Return a function that executes cells in a fresh kernel of its default backend, and returns the notebook."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat import v4

    def run(cells, folder):
        book = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
        client = nbclient.NotebookClient(
            book, timeout=170, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        try:
            # With this variable a kernel leaves out what C++ writes.
            client.execute(env={name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"})
        finally:
            if kept := os.environ.get("TRANSFERKIT_NOTEBOOKS"):  # to look at them
                import nbformat

                name = re.sub(r"\W+", "-", request.node.name)
                nbformat.write(book, Path(kept) / f"{name}.ipynb")
        return book

    return run


def text_of(cell, name):
    """Return what a cell wrote to a stream."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == name)


def check_notebook(book):
    """Assert that each cell that draws shows a picture, and that no line is anybody else's than the page's or ours."""
    for cell in book.cells:
        code = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#"))
        pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        assert pictures >= bool(PICTURE.search(code)), code
        assert text_of(cell, "stderr") == "", code
        check_lines(text_of(cell, "stdout"))


def check_lines(text):
    """Assert that no line is one of TensorFlow's, LiteRT's, rich's or joblib's."""
    for line in text.splitlines():
        assert not is_noise(line.encode()), line
        assert not FOREIGN.search(line), line


def cells_of(page):
    """Return the cells of a page, with what is shown while the site is built: finished runs, instead of trainings."""
    gallery = pytest.importorskip("sphinx_gallery.py_source_parser")
    return [block.content for block in gallery.split_code_and_text_blocks(str(page))[1] if block.type == "code"]


@pytest.mark.parametrize("page", ["homework/homework.py", "homework/homework_ko.py", "course/05_convolution.py"])
def test_a_page_runs_quietly_with_its_pictures(page, execute):
    file = ROOT / "examples" / page
    book = execute(cells_of(file), file.parent)
    check_notebook(book)
    assert sum("image/png" in output.get("data", {}) for cell in book.cells for output in cell.outputs) >= 1


def test_pages_import_transferkit_before_keras():
    """What TensorFlow says while it is imported is kept away once transferkit is there."""
    for page in sorted((ROOT / "examples").rglob("*.py")):
        imports = re.findall(
            r"^(?:import|from) (transferkit|keras|tensorflow)\b", page.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert imports[:1] in ([], ["transferkit"]), page


def test_a_notebook_shows_one_live_line_a_phase(execute, tmp_path):
    book = execute([*CELLS, *SHOWN], tmp_path)
    check_notebook(book)
    _, cnn, frozen, tuned, _, *shown = book.cells
    for cell, phases in ((cnn, 1), (frozen, 1)):
        live = [output for output in cell.outputs if output.output_type == "display_data"]
        assert len(live) == phases
        assert "<progress" not in live[-1]["data"]["text/html"]  # it has ended
        assert re.search(r"epoch (\d)/\1  loss", live[-1]["data"]["text/plain"])
    for cell in (cnn, frozen, tuned):
        assert all(LINE.fullmatch(line) for line in text_of(cell, "stdout").splitlines())
    for cell in shown[:4]:
        assert "text/html" in cell.outputs[0]["data"]


def write_script(cells, folder):
    file = folder / "script.py"
    file.write_text("\n".join(cells), encoding="utf-8")
    return file


def test_a_pipe_gets_one_line_an_epoch_and_nothing_else(tmp_path, as_a_reader):
    script = write_script([*CELLS[:2], MANY], tmp_path)  # the last in two processes
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=script.parent)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert sum(line.startswith("CNN: epoch ") for line in lines) == 3


def on_a_terminal(command, folder):
    """Return what a program writes to a terminal, without what a bar has wiped away."""
    pty = pytest.importorskip("pty")
    main, other = pty.openpty()
    program = subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, cwd=folder, env=os.environ | {"TERM": "xterm"}
    )
    os.close(other)
    pieces = []
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(main)
    assert program.wait() == 0, b"".join(pieces).decode()
    lines = b"".join(pieces).decode().replace("\r\n", "\n").split("\n")
    # A bar is drawn over itself: what counts of a line is what was written after it was wiped.
    return [CONTROL.sub("", re.split(r"\r?\x1b\[2K", line)[-1]) for line in lines]


def test_a_terminals_lines_are_those_of_a_pipe_and_bars_end_where_they_should(tmp_path, as_a_reader):
    script = write_script([CELLS[0], CELLS[2]], tmp_path)
    lines = [line for line in on_a_terminal([sys.executable, str(script)], script.parent) if line.strip()]
    bars = [line for line in lines if "%" in line]
    assert [line for line in lines if not LINE.fullmatch(line) and line not in bars] == []
    for bar in bars:
        assert re.fullmatch(r"\S.*: epoch \d+/\d+ .* +(?:100|\d\d?)% .*", bar), bar


def test_the_assignment_says_nothing_but_its_own_lines(tmp_path, as_a_reader):
    """The script finds the committed runs again; its models are built, with their real weights."""
    shutil.copytree(ROOT / "docs" / "results" / "quick", tmp_path / "quick")
    command = [sys.executable, str(ROOT / "examples" / "assignment.py"), "--folder", str(tmp_path / "quick")]
    lines = on_a_terminal(command, tmp_path)
    assert sum("finished run found" in line for line in lines) == 4
    check_lines("\n".join(lines))
