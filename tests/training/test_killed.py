"""A training that is killed goes on where its last checkpoint stands, and ends as if it had never been killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import transferkit as tk

TRAIN = textwrap.dedent(
    """
    import sys
    sys.path[:0] = sys.argv[2:]
    from conftest import make_digits
    from test_fitting import small_transfer
    import transferkit as tk

    data, model = make_digits(), small_transfer()
    print("ready", flush=True)
    options = {"head_epochs": 3, "epochs": 6, "batch_size": 16, "augment": "shift", "verbose": False, "name": "net"}
    tk.fine_tune(model, data, folder=sys.argv[1], **options)
    """
)
HERE = Path(__file__).parent


def start(folder):
    """Start the training, and return the process when it is about to train."""
    command = [sys.executable, "-c", TRAIN, str(folder), str(HERE.parent), str(HERE)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_ten_random_moments_training_ends_as_if_it_never_was(tmp_path):
    whole = start(tmp_path / "whole")
    begun = time.monotonic()
    assert whole.wait() == 0
    duration = time.monotonic() - begun
    expected = tk.load_run(tmp_path / "whole" / "net")

    rng, killed = np.random.default_rng(0), 0
    for _ in range(10):
        child = start(tmp_path / "killed")
        time.sleep(rng.uniform(0, duration))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed >= 3  # later ones may find the finished run and be done before they are killed
    last = start(tmp_path / "killed")
    assert last.wait() == 0

    run = tk.load_run(tmp_path / "killed" / "net")
    assert run.status == "completed"
    assert run.key == expected.key
    assert [row["epoch"] for row in run.history] == list(range(1, 10))
    np.testing.assert_allclose(run.test_probabilities, expected.test_probabilities, atol=1e-3)
    assert not list((tmp_path / "killed").glob(".*checkpoint*"))
