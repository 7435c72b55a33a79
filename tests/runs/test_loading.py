"""Reading saved runs: one, or all of a folder."""

import shutil

import numpy as np
import pytest

from transferkit.errors import RunError, TransferKitWarning
from transferkit.runs.loading import load_run, load_runs
from transferkit.runs.run import Run


def make(name="toy"):
    return Run(name=name, class_names=("cat", "dog"), test_probabilities=np.eye(2), test_labels=[0, 1], seed=0)


@pytest.fixture
def saved(tmp_path):
    return make().save(tmp_path / "toy")


def test_missing_and_foreign_folders_are_named(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        load_run(tmp_path / "nothing")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match="is a file"):
        load_run(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="not a saved run"):
        load_run(tmp_path / "folder")


def test_all_runs_of_a_folder_are_loaded_in_order(tmp_path):
    for name in ("b", "a", "한글 이름"):
        make(name).save(tmp_path / "runs" / name)
    assert [run.name for run in load_runs(tmp_path / "runs")] == ["a", "b", "한글 이름"]


def test_a_damaged_run_is_not_left_out(tmp_path):
    for name in ("a", "b"):
        make(name).save(tmp_path / "runs" / name)
    (tmp_path / "runs" / "b" / "predictions.npz").write_bytes(b"")
    with pytest.raises(RunError, match=r"predictions\.npz"):
        load_runs(tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "b")
    (tmp_path / "runs" / "b").mkdir()
    make("b").save(tmp_path / "runs" / "b")
    (tmp_path / "runs" / "b" / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"manifest\.json"):
        load_runs(tmp_path / "runs")


def test_what_is_left_out_is_said(tmp_path):
    make("a").save(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "plots").mkdir()
    (tmp_path / "runs" / ".git").mkdir()
    (tmp_path / "runs" / ".b.x1y2.tmp").mkdir()
    with pytest.warns(TransferKitWarning) as caught:
        assert [run.name for run in load_runs(tmp_path / "runs")] == ["a"]
    assert ["plots" in str(w.message) for w in caught] == [False, True]
    assert "interrupted" in str(caught[0].message)


def test_folders_without_runs_are_refused(tmp_path, saved):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no saved run"):
        load_runs(tmp_path / "empty")
    with pytest.raises(RunError, match="is one run"):
        load_runs(saved)
    with pytest.raises(RunError, match="does not exist"):
        load_runs(tmp_path / "nothing")
