"""Every picture appears in a notebook, whose backend is loaded late."""

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
def test_every_cell_shows_its_picture(fine, coarse, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat import v4

    for run in (fine, coarse):
        run.save(tmp_path / run.name)
    code = [
        "import transferkit as tk",
        f"runs = tk.load_runs({str(tmp_path)!r})",
        "tk.plot_accuracy(runs[0])",
        "tk.plot_confusion(runs[0])",
    ]
    book = v4.new_notebook(
        cells=[v4.new_code_cell(line) for line in [*code, "tk.plot_reliability(runs[1], language='ko')", "runs[0]"]]
    )
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    assert [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in book.cells] == [
        0,
        0,
        1,
        1,
        1,
        0,
    ]
