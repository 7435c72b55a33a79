"""A saved run comes back as the same model, and runs no code on the way."""

import json
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from transferkit import build_cnn, build_transfer_model, files, load_model
from transferkit.errors import RunError
from transferkit.models import saving


def save(model, folder, **record):
    """Write the files of a run that concern its model, as run.save does."""
    folder.mkdir()
    files.write_text(folder / "model.json", model.to_json())
    model.save_weights(folder / "model.weights.h5")
    files.write_json(folder / "run.json", record)
    files.write_manifest(folder)
    return folder


def rewrite(folder, change):
    """Change model.json as somebody could who also writes the manifest."""
    config = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    change(config)
    files.write_json(folder / "model.json", config)
    files.write_manifest(folder)


@pytest.fixture
def cnn():
    return build_cnn((16, 16, 1), filters=(4,), dense_units=8)


@pytest.fixture
def folder(cnn, tmp_path):
    return save(cnn, tmp_path / "run")


def assert_same(first, second, images):
    np.testing.assert_array_equal(first.predict(images, verbose=0), second.predict(images, verbose=0))


@pytest.mark.parametrize("kind", ["course", "modern", "grey", "colour", "sequential"])
def test_model_comes_back_and_predicts_the_same(kind, network, tmp_path, rng):
    channels = 3 if kind == "colour" else 1
    if kind in ("course", "modern"):
        model = build_cnn((16, 16, 1), preset=kind, filters=(4, 4))
    elif kind == "sequential":
        model = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model = build_transfer_model(network, preprocessing="caffe", input_shape=(12, 12, channels))
    images = rng.integers(0, 256, (4, *model.input_shape[1:]), dtype=np.uint8)
    again = load_model(save(model, tmp_path / "run"))
    assert_same(model, again, images)
    assert again.compiled
    again.evaluate(images, np.zeros(4, int), verbose=0)
    assert again.count_params() == model.count_params()
    assert len(again.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize(
    "through",
    [
        pytest.param(keras.ops.relu, id="ops.relu"),
        keras.activations.relu,
        lambda x: keras.ops.clip(keras.ops.cast(x, "float32") ** 2, 0, 1),
        layers.RandomErasing(value_range=(0, 1)),
        layers.TimeDistributed(layers.Dense(3)),
        pytest.param(lambda x: keras.ops.add(x[:, 0], x[..., 3, :]), id="slices"),
        pytest.param(
            lambda x: (x - np.array([0.4], np.float32)) / np.array([0.2], np.float32), id="constants of NumPy"
        ),
        pytest.param(lambda x: keras.ops.add(x, keras.ops.convert_to_tensor([0.5])), id="constant tensors"),
    ],
)
def test_operations_and_other_layers_of_keras_come_back(through, tmp_path, images):
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Flatten()(through(layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
    again = load_model(save(model, tmp_path / "run"))
    assert_same(model, again, images)
    assert again.compiled


@pytest.mark.parametrize("kind", ["__tensor__", "__numpy__"])
@pytest.mark.parametrize("dtype", ["object", "S9", None, ["uint8"]], ids=["objects", "bytes", "none", "list"])
def test_constants_of_anything_but_numbers_are_refused(tmp_path, kind, dtype):
    inputs = keras.Input((16, 16, 1))
    shifted = layers.Rescaling(1 / 255)(inputs) - np.array([0.4], np.float32)
    folder = save(
        keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(shifted))), tmp_path / "run"
    )

    def change(config):
        (constant,) = (part for part in saving._dictionaries(config) if part.get("class_name") in saving._CONSTANTS)
        constant |= {"class_name": kind, "config": constant["config"] | {"dtype": dtype}}

    rewrite(folder, change)
    with pytest.raises(RunError, match="constant that is none of numbers"):
        load_model(folder)


def test_each_layer_of_keras_is_allowed_or_known_to_run_code_or_read_files():
    refused = "FlaxLayer IntegerLookup JaxLayer Lambda StringLookup TFSMLayer TextVectorization TorchModuleWrapper "
    refused += "MelSpectrogram STFTSpectrogram "  # of sound, and of any size
    known = saving._ALLOWED_IN_MODEL["keras.layers"] | {*refused.split(), "Layer", "Wrapper"}
    public = {
        kind.__name__ for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, layers.Layer)
    }
    assert public <= known


def test_provenance_comes_back(cnn, tmp_path):
    facts = {"source": "offline-wheel", "backbone": "mobilenet", "image_size": 64, "sha256": "00"}
    again = load_model(save(cnn, tmp_path / "run", model_info={"provenance": facts}))
    assert (again.provenance.source, again.provenance.sha256, again.provenance.width) == ("offline-wheel", "00", None)


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {}}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp"}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TextVectorization", "config": {}, "registered_name": None},
        {"module": "os", "class_name": "system", "config": "true", "registered_name": None},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": "mine>Dense"},
        {"module": None, "class_name": "Dense", "config": {}, "registered_name": "mine>Dense"},
        {"class_name": "Lambda", "config": {}},
        {"class_name": ["Lambda"], "module": ["x"]},
        {"module": "keras.src.utils.file_utils", "class_name": "get_file", "config": {}},
    ],
)
@pytest.mark.parametrize("place", ["layer", "initializer", "argument"])
def test_anything_but_built_in_layers_is_refused(folder, entry, place):
    def change(config):
        dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        if place == "layer":
            dense.clear()
            dense.update(entry)
        elif place == "initializer":
            dense["config"]["kernel_initializer"] = entry
        else:
            dense["inbound_nodes"][0]["kwargs"] = {"mask": entry}

    rewrite(folder, change)
    with pytest.raises(RunError, match=r"model\.json names .*nothing of it was loaded"):
        load_model(folder)


def test_models_with_lambda_are_refused_whoever_wrote_them(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x), layers.Dense(2)])
    with pytest.raises(RunError, match="Lambda"):
        load_model(save(model, tmp_path / "run"))


def test_class_of_ones_own_is_refused(tmp_path):
    class Mine(layers.Layer):
        def call(self, inputs):
            return inputs

    model = keras.Sequential([keras.Input((4,)), Mine(), layers.Dense(2)])
    with pytest.raises(RunError, match="Mine"):
        load_model(save(model, tmp_path / "run"))


def test_loss_of_ones_own_leaves_the_model_uncompiled(cnn, tmp_path, images):
    def my_loss(truth, predicted):
        return keras.ops.mean(predicted)

    cnn.compile("adam", my_loss)
    again = load_model(save(cnn, tmp_path / "run"))
    assert not again.compiled
    assert_same(cnn, again, images)


@pytest.mark.parametrize(("key", "value"), [("units", 1 << 40), ("units", 70_000), ("units", 9)])
def test_layer_wider_than_its_weights_is_refused_before_it_is_built(folder, key, value):
    def change(config):
        next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")["config"][key] = value

    rewrite(folder, change)
    with pytest.raises(RunError, match=f"asks for units of {value:,}"):
        load_model(folder)


def test_links_in_the_weights_are_refused(folder):
    with h5py.File(folder / "model.weights.h5", "a") as stream:
        stream["other"] = h5py.ExternalLink("/etc/passwd", "/")
    files.write_manifest(folder)
    with pytest.raises(RunError, match=r"model\.weights\.h5 cannot be used: it has a link to elsewhere"):
        load_model(folder)


def test_weights_of_another_model_are_refused(folder):
    build_cnn((16, 16, 1), filters=(4,), dense_units=8, num_classes=4).save_weights(folder / "model.weights.h5")
    files.write_manifest(folder)
    with pytest.raises(RunError, match=r"model\.weights\.h5"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.json", "model.weights.h5", "run.json"])
def test_changed_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(RunError, match=f"{name} was changed or damaged"):
        load_model(folder)


def test_run_without_weights_says_so(cnn, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    files.write_text(folder / "model.json", cnn.to_json())
    files.write_manifest(folder)
    with pytest.raises(RunError, match="saved without weights"):
        load_model(folder)


def test_run_whose_weights_were_taken_out_says_so(folder):
    (folder / "model.weights.h5").unlink()
    with pytest.raises(RunError, match=r"model\.weights\.h5 is missing"):
        load_model(folder)


def test_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a saved run"):
        load_model(tmp_path)
    with pytest.raises(RunError, match="is not a saved run"):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"class_name": "Dense"}', "{", '{"class_name": "Functional"}', "[" * 100_000]
)
def test_configuration_of_no_model_is_refused(folder, text):
    files.write_text(folder / "model.json", text)
    files.write_manifest(folder)
    with pytest.raises(RunError, match=r"model\.json"):
        load_model(folder)


@pytest.mark.slow
def test_keras_file_reloads_in_a_fresh_process_without_transferkit(network, tmp_path, rng):
    images = rng.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    for mode in ("caffe", "torch"):  # the two with more than a rescaling
        model = build_transfer_model(network, preprocessing=mode, input_shape=(12, 12, 3))
        model.save(tmp_path / f"{mode}.keras")
        np.save(tmp_path / f"{mode}.npy", model.predict(images, verbose=0))
    code = """
import sys
import keras, numpy as np
folder = sys.argv[1]
images = np.load(f"{folder}/images.npy")
for mode in ("caffe", "torch"):
    model = keras.models.load_model(f"{folder}/{mode}.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), np.load(f"{folder}/{mode}.npy"), atol=1e-6)
assert "transferkit" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("name", "config", "node"),
    [
        ("Add", {}, {"args": [1.0, 2.0], "kwargs": {}}),  # would run while the file is read
        ("Full", {"shape": [3000, 3000]}, None),
        ("BroadcastTo", {"shape": [200_000, 200_000]}, None),
    ],
)
def test_operations_that_make_room_are_refused(folder, name, config, node):
    def change(model):
        flat = next(layer for layer in model["config"]["layers"] if layer["class_name"] == "Flatten")
        entry = {"module": "keras.src.ops.numpy", "class_name": name, "registered_name": name, "name": "made"}
        nodes = flat["inbound_nodes"] if node is None else [node]
        model["config"]["layers"].append(entry | {"config": config | {"name": "made"}, "inbound_nodes": nodes})

    rewrite(folder, change)
    with pytest.raises(RunError, match="nothing of it was loaded|which no network of images needs"):
        load_model(folder)


@pytest.mark.parametrize("config", [{"num_thresholds": 2_000_000}, {"num_thresholds": "many"}])
def test_metrics_that_make_no_sense_leave_the_model_uncompiled(folder, config):
    def change(model):
        metric = {"module": "keras.metrics", "class_name": "AUC", "config": config, "registered_name": None}
        model["compile_config"]["metrics"] = [metric]

    rewrite(folder, change)
    assert not load_model(folder).compiled
