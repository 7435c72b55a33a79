"""A training that is killed goes on where its last checkpoint stands, and ends as if it had never been killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import transferkit as tk

TRAIN = textwrap.dedent(
    """
    import sys
    import keras, numpy as np
    from sklearn.datasets import load_digits
    import transferkit as tk

    digits = load_digits()
    images = np.kron(digits.images * 15, np.ones((2, 2))).astype(np.uint8)[..., None]
    data = tk.Dataset.from_arrays(
        train=(images[:1200], digits.target[:1200]), test=(images[1200:], digits.target[1200:]), validation=200, name="digits",
        allow_overlap=True,
    )
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = tk.build_transfer_model(
        keras.Model(inputs, x), input_shape=(16, 16, 1), freeze=False, preprocessing="unit", image_size=16
    )
    print("ready", flush=True)
    options = {"head_epochs": 3, "epochs": 6, "batch_size": 16, "augment": "shift", "verbose": False, "name": "net"}
    tk.fine_tune(model, data, folder=sys.argv[1], **options)
    """
)


def start(folder):
    """Start the training, and return the process when it is about to train."""
    child = subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], stdout=subprocess.PIPE, text=True)
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
