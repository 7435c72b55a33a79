"""The time of predictions is measured once an hour for a network, whatever trained it."""

import json

import numpy as np
import pytest

import transferkit as tk
from transferkit import files
from transferkit.training import speed

FAST = {"epochs": 1, "batch_size": 32, "verbose": False}


@pytest.fixture
def measured(monkeypatch):
    """Return the names of the networks that were measured."""
    names = []

    def measure(model, data):
        names.append(model.name)
        return 0.001 * len(names)

    monkeypatch.setattr(speed, "_seconds_of_image", measure)
    return names


def build(**given):
    return tk.build_cnn((16, 16, 1), filters=(4,), dense_units=4, **given)


@pytest.mark.long
def test_one_network_has_one_time_and_another_one_its_own(digits, measured):
    seconds = [tk.train(build(), digits, seed=seed, **FAST).test_seconds for seed in (0, 1)]
    assert seconds[0] == seconds[1] == pytest.approx(0.001 * len(digits.test.labels))
    assert tk.train(tk.build_cnn((16, 16, 1), filters=(8,), dense_units=4), digits, **FAST).test_seconds > seconds[0]
    assert len(measured) == 2


@pytest.mark.long
@pytest.mark.parametrize("damage", ["old", "from the future", "cut", "of another kind"])
def test_a_time_that_is_old_or_damaged_is_measured_again(digits, measured, damage):
    tk.train(build(), digits, **FAST)
    (file,) = (files.cache_home() / "seconds").iterdir()
    record = files.read_sealed_json(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "of another kind":
        file.write_text(json.dumps([1]))
    else:
        files.write_sealed_json(file, record | {"measured": record["measured"] + (1e6 if damage != "old" else -1e6)})
    tk.train(build(), digits, seed=1, **FAST)
    assert len(measured) == 2


def test_a_cache_that_cannot_be_written_costs_a_measurement_and_nothing_else(digits, measured):
    (files.cache_home() / "seconds").parent.mkdir(parents=True, exist_ok=True)
    (files.cache_home() / "seconds").write_text("a file where a folder should be")
    assert tk.train(build(), digits, **FAST).test_seconds > 0
    assert len(measured) == 1


def test_only_whole_batches_are_timed(digits, monkeypatch):
    sizes = []
    monkeypatch.setattr(speed, "predict_batch", lambda model, images: sizes.append(len(images)))
    for count, expected in ((50, [32, 32]), (10, [10, 10]), (200, [32, 32, 32, 32])):
        sizes.clear()
        test = np.resize(digits.test.images, (count, 16, 16, 1)), np.arange(count) % 10
        data = tk.Dataset.from_arrays(digits.train, test, 0, allow_overlap=True)
        speed._seconds_of_image(None, data)
        assert sizes == expected
