"""tune: validation chooses among frozen and fine-tuned, the test images are seen once, and time is kept."""

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError
from transferkit.training.callbacks import EpochHook
from transferkit.training.steps import GradientSteps
from transferkit.training.tuning import Tuning


@pytest.fixture
def own(transfer):
    return {"backbone": transfer(True).get_layer("backbone"), "preprocessing": "unit", "verbose": False}


@pytest.mark.long
def test_the_best_by_validation_is_returned_recorded_and_found_again(digits, own, tmp_path):
    data = digits.subset(10)
    tuned = tk.tune(data, minutes=5, folder=tmp_path, **own)
    table = tuned.table
    assert table["method"].tolist() == ["frozen", "fine-tuned"]
    assert table["image_size"].tolist() == [16, 16]
    winner = table[table["chosen"]]
    assert len(winner) == 1
    assert winner["val_accuracy"].item() == table["val_accuracy"].max()
    measured = tk.evaluate(tuned.model, data.validation).metrics["accuracy"]
    assert measured == pytest.approx(winner["val_accuracy"].item(), abs=1e-6)
    np.testing.assert_allclose(
        tuned.model.predict(data.test.images, verbose=0), tuned.run.test_probabilities, atol=1e-4
    )
    assert tuned.run.tuning_trials == 5 + 5  # penalties of the head, for itself and before fine-tuning
    assert not any("test" in column for column in table)

    again = tk.tune(data, minutes=5, folder=tmp_path, **own)
    assert again.run.created == tuned.run.created
    assert again.table.equals(tuned.table)
    np.testing.assert_allclose(
        again.model.predict(data.test.images, verbose=0), tuned.run.test_probabilities, atol=1e-4
    )


@pytest.mark.long
def test_losers_never_see_the_test_images(digits, own, monkeypatch):
    """A fine-tuning that is made worse than the frozen network is neither chosen nor asked about test images."""
    outcomes = []
    whole = GradientSteps.fit

    def spoiled(self, checkpoint):
        outcome = whole(self, checkpoint)
        for row in outcome.history:
            row["val_accuracy"] = 0.0
        outcomes.append(outcome)
        object.__setattr__(outcome, "predict", lambda images: pytest.fail("the loser was asked"))
        return outcome

    monkeypatch.setattr(GradientSteps, "fit", spoiled)
    tuned = tk.tune(digits.subset(10), minutes=5, **own)
    assert len(outcomes) == 1
    assert tuned.table.set_index("method")["chosen"].to_dict() == {"frozen": True, "fine-tuned": False}
    assert "as good as fine-tuning" in tuned.run.notes[-1]
    assert tuned.run.recipe["head"] == "logistic"


@pytest.mark.slow
def test_killed_search_goes_on_with_the_epochs_that_it_planned(digits, own, tmp_path, monkeypatch):
    data, ended = digits.subset(10), []
    whole = EpochHook.on_epoch_end

    def stopping(self, epoch, logs=None):
        whole(self, epoch, logs)
        ended.append(epoch)
        if len(ended) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochHook, "on_epoch_end", stopping)
    with pytest.raises(KeyboardInterrupt):
        tk.tune(data, minutes=5, folder=tmp_path, **own)
    monkeypatch.setattr(Tuning, "_seconds_a_step", lambda *a: pytest.fail("the plan was made anew"))
    tuned = tk.tune(data, minutes=5, folder=tmp_path, **own)
    assert ended == list(range(1, 1 + len(ended)))  # the head, fitted exactly, is the first
    assert 1 + len(ended) == tuned.table["epochs"].iloc[1]
    assert not list(tmp_path.glob(".*.plan"))


@pytest.mark.long
def test_without_time_for_steps_the_frozen_network_is_what_there_is(digits, own):
    tuned = tk.tune(digits.subset(10), minutes=1e-3, **own)
    assert tuned.table["method"].tolist() == ["frozen"]
    assert tuned.run.metrics["accuracy"] > 0.2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"minutes": 0}, "minutes"),
        ({"minutes": True}, "minutes"),
        ({"minutes": float("inf")}, "minutes"),
        ({"image_sizes": 64}, "image_sizes"),
        ({"image_sizes": ()}, "empty"),
        ({"image_sizes": (0,)}, "image_sizes"),
        ({"augment": "blur"}, "augmentation"),
        ({"class_weight": "even"}, "class_weight"),
        ({"backbone": "mobilenot"}, "mobilenet"),
    ],
)
def test_options_out_of_range_are_refused_before_any_work(digits, options, match):
    with pytest.raises(InvalidInputError, match=match):
        tk.tune(digits, verbose=False, pretrained=False, **options)


def test_there_must_be_something_to_choose_by(digits, own):
    data = tk.Dataset.from_arrays(train=digits.train, test=digits.test, class_names=digits.class_names)
    with pytest.raises(InvalidInputError, match="no validation split"):
        tk.tune(data, **own)
    with pytest.raises(InvalidInputError, match="keeps its own size"):
        tk.tune(digits, image_sizes=[32], **own)


@pytest.mark.long
def test_a_backbone_with_a_layer_of_ones_own_is_found_again(digits, tmp_path):
    class Half(keras.layers.Layer):
        def call(self, inputs):
            return inputs / 2

    inputs = keras.Input((16, 16, 1))
    hidden = Half()(keras.layers.Conv2D(4, 3, strides=3, activation="relu")(inputs))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(hidden))
    options = {"backbone": backbone, "preprocessing": "unit", "minutes": 0.05, "folder": tmp_path, "verbose": False}
    first = tk.tune(digits.subset(10), **options)
    again = tk.tune(digits.subset(10), **options)
    assert again.run.created == first.run.created
    np.testing.assert_allclose(
        again.model.predict(digits.test.images, verbose=0), first.run.test_probabilities, atol=1e-4
    )
