"""What predicts, measures or writes a network refuses one whose outputs are no probabilities, whatever numbers they happen to be."""

import keras
import numpy as np
import pytest
from keras import layers

import transferkit as tk
from transferkit.errors import InvalidInputError

USES = {
    "predict": lambda model, images, _: tk.predict(model, images, class_names=["no", "yes"]),
    "evaluate": lambda model, images, _: tk.evaluate(model, (images, [0, 1])),
    "export": lambda model, images, folder: tk.export(model, folder / "m.keras", images=images),
    "predict a file": lambda model, images, folder: tk.predict(saved(model, folder), images, class_names=["no", "yes"]),
}


def saved(model, folder):
    model.save(folder / "own.keras")
    return folder / "own.keras"


def answering(*last):
    """Return a network whose last outputs lie between 0 and 1, probabilities or not."""
    inputs = keras.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(inputs))
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("last", "cure"),
    [
        pytest.param([layers.Dense(1, kernel_initializer="ones")], "activation='sigmoid', and the loss", id="logit"),
        pytest.param([layers.Dense(2)], "activation='softmax', and the loss", id="logits"),
        pytest.param([keras.Sequential([layers.Dense(1)])], "activation='sigmoid', and the loss", id="nested"),
        pytest.param([layers.Dense(1, "softmax")], "one output, of the activation 'softmax'", id="softmax of one"),
        pytest.param([layers.Dense(1), layers.Softmax()], "one output, of the activation 'softmax'", id="layer"),
        pytest.param([layers.Dense(1, "relu", kernel_initializer="ones")], "activation 'relu'", id="relu"),
    ],
)
def test_outputs_that_are_no_probabilities_are_refused_with_the_cure(tmp_path, use, last, cure):
    images = np.full((2, 8, 8, 1), 77, np.uint8)
    images[1] = 99
    with pytest.raises(InvalidInputError, match=cure):
        USES[use](answering(*last), images, tmp_path)
    assert not (tmp_path / "m.keras").exists()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "last",
    [
        pytest.param([layers.Dense(1, "sigmoid")], id="sigmoid"),
        pytest.param([layers.Dense(1), layers.Activation("sigmoid")], id="layer of a sigmoid"),
        pytest.param([layers.Dense(2), layers.Softmax()], id="layer of a softmax"),
        pytest.param([keras.Sequential([layers.Dense(2, "softmax")])], id="nested softmax"),
    ],
)
def test_probabilities_are_taken(tmp_path, use, last):
    USES[use](answering(*last), np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1), tmp_path)
