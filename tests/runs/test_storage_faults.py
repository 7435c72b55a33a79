"""A run and the machine's faults: full and read-only disks, pipes in place of files, paths that are none."""

import errno
import os

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, RunError, StorageError
from transferkit.runs.loading import load_run, load_runs
from transferkit.runs.run import Run


def make(name="toy", count=6):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), count).astype(np.float32)
    return Run(
        name=name,
        class_names=("cat", "dog", "emu"),
        test_probabilities=probabilities,
        test_labels=np.arange(count) % 3,
        seed=0,
    )


def test_full_disk_keeps_the_run_that_is_there_and_says_so(small_disk):
    make().save(small_disk / "toy")
    with pytest.raises(StorageError, match=r"run 'toy' cannot be kept: .* is full .* as it was") as error:
        make(count=60_000).save(small_disk / "toy", replace=True)
    assert error.value.errno == errno.ENOSPC
    assert len(load_run(small_disk / "toy").test_labels) == 6
    assert [child.name for child in small_disk.iterdir()] == ["toy"]


def test_read_only_folder_is_read_and_not_written(tmp_path, make_read_only):
    folder = tmp_path / "runs"
    make().save(folder / "toy")
    make_read_only(folder)
    assert [run.name for run in load_runs(folder)] == ["toy"]
    for save in (lambda: make("other").save(folder / "other"), lambda: make().save(folder / "toy", replace=True)):
        with pytest.raises(StorageError, match="may not be written to"):
            save()


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX's")
@pytest.mark.parametrize("name", ["run.json", "predictions.npz", "manifest.json"])
def test_pipe_in_place_of_a_file_is_refused_and_never_waited_for(tmp_path, name):
    make().save(tmp_path / "toy")
    (tmp_path / "toy" / name).unlink()
    os.mkfifo(tmp_path / "toy" / name)
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        load_run(tmp_path / "toy")


@pytest.mark.parametrize("path", [None, 3, b"toy", "a\0b", "a" * 300])
def test_path_that_is_none_is_refused(path):
    for use in (load_run, load_runs, make().save):
        with pytest.raises(InvalidInputError, match=r"^(path|folder) "):
            use(path)
