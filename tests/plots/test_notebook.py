"""Every picture appears in a notebook, whose backend is loaded late."""

import os

import pytest

from transferkit.plots.style import rc_settings


def test_only_what_was_set_is_put_back():
    from matplotlib import rcParams

    before = rcParams["font.family"]
    with rc_settings({"font.family": ["serif"]}):
        assert rcParams["font.family"] == ["serif"]
        rcParams["interactive"] = True  # as a notebook's backend does when it is loaded
    assert rcParams["font.family"] == before
    assert rcParams["interactive"]
    rcParams["interactive"] = False


@pytest.mark.slow
@pytest.mark.parametrize("pyplot_first", [True, False])
def test_every_cell_shows_its_picture(pyplot_first, fine, coarse, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat import v4

    for run in (fine, coarse):
        run.save(tmp_path / run.name)
    plots = [
        "tk.plot_accuracy(runs[0])",
        "tk.plot_confusion(runs[0])",
        "tk.plot_reliability(runs[1], language='ko')",
        "tk.plot_confused_pairs(runs[0])",
        "tk.plot_published(runs[:1], tk.published_results('fashion_mnist'))",
        "_ = tk.plot_filters(tk.hand_designed_filters())",  # a Figure: IPython would show it once more
        "import matplotlib.pyplot as plt; plt.plot([1, 2])",  # the user's own
        "plt.subplots()[1].plot([2, 1])",
    ]
    code = [
        ("import matplotlib.pyplot as plt; " if pyplot_first else "") + "import transferkit as tk",
        f"runs = tk.load_runs({str(tmp_path)!r})",
        *plots,
        "runs[0]",
    ]
    book = v4.new_notebook(cells=[v4.new_code_cell(line) for line in code])
    # With this variable a kernel leaves out what C++ writes.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute(env=environment)
    shown = {cell.source: sum("image/png" in one.get("data", {}) for one in cell.outputs) for cell in book.cells}
    assert {source: count for source, count in shown.items() if count} == dict.fromkeys(plots, 1)
    assert [one for cell in book.cells for one in cell.outputs if one.get("name") == "stderr"] == []
