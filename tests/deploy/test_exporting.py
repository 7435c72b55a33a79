import json
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from tests.deploy.conftest import make_backbone

import transferkit as tk
from transferkit.deploy import exporting
from transferkit.errors import (
    DataError,
    ExportError,
    InvalidInputError,
    MissingDependencyError,
    RunError,
    UnknownNameError,
)

FILES = {"keras": "m.keras", "litert": "m.tflite", "onnx": "m.onnx", "saved_model": "m"}


def write(model, tmp_path, form, **options):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
        pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    return tk.export(model, tmp_path / FILES[form], **options)


def small_model(preprocessing="tf"):
    """Return a network whose answers are far from uniform, so that a wrong scaling is seen."""
    keras.utils.set_random_seed(3)
    model = tk.build_transfer_model(
        make_backbone(), input_shape=(16, 16, 3), num_classes=3, preprocessing=preprocessing, learning_rate=0.1
    )
    head = model.layers[-1]
    head.set_weights([weight * 4 for weight in head.get_weights()])
    return model


@pytest.mark.parametrize("form", FILES)
def test_exported_file_predicts_as_the_run_does_with_names_and_decoding(run, data, photos, tmp_path, form):
    exported = write(run, tmp_path, form)
    assert exported.difference < 1e-5
    assert exported.num_images == 32
    assert (exported.format, exported.path) == (form, tmp_path / FILES[form])
    expected = tk.predict(run, photos, top=2)
    answers = tk.predict(exported, photos, top=2)
    assert list(answers.index) == list(expected.index)
    assert (answers["predicted"] == expected["predicted"]).all()
    np.testing.assert_allclose(answers["probability"], expected["probability"], atol=1e-5)
    classifier = tk.ImageClassifier(exported.path)
    assert classifier.class_names == data.class_names
    assert classifier.decoding.describe() == data.decoding


@pytest.mark.parametrize(
    ("preprocessing", "form"),
    [
        ("caffe", "onnx"),
        ("torch", "onnx"),
        ("caffe", "litert"),
        *(
            pytest.param(mode, form, marks=pytest.mark.slow)
            for mode in ("tf", "unit", "none")
            for form in ("onnx", "litert")
        ),
        *(pytest.param(mode, "saved_model", marks=pytest.mark.slow) for mode in ("caffe", "torch")),
        pytest.param("torch", "litert", marks=pytest.mark.slow),
    ],
)
def test_every_preprocessing_survives(tmp_path, preprocessing, form):
    exported = write(small_model(preprocessing), tmp_path, form)
    assert exported.difference < 1e-4


@pytest.mark.parametrize(
    ("policy", "form"),
    [
        ("mixed_float16", "onnx"),
        ("mixed_bfloat16", "litert"),
        *(pytest.param("mixed_bfloat16", form, marks=pytest.mark.slow) for form in ("keras", "onnx", "saved_model")),
        *(pytest.param("mixed_float16", form, marks=pytest.mark.slow) for form in ("keras", "litert", "saved_model")),
    ],
)
def test_mixed_precision_is_exported_in_float32(tmp_path, policy, form):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model("caffe")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("backbone").compute_dtype != "float32"
    exported = write(model, tmp_path, form)
    assert exported.difference < 1e-4  # from the same network in float32
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    answers = tk.predict(exported, images, probabilities=True).filter(like="p(")
    np.testing.assert_allclose(answers, model.predict(images, verbose=0), atol=0.05)


@pytest.mark.long
def test_names_are_where_each_format_keeps_them(run, data, tmp_path):
    names = list(data.class_names)
    lines = "".join(f"{name}\n" for name in names)
    for form in ("keras", "litert"):
        with zipfile.ZipFile(write(run, tmp_path, form).path) as archive:
            assert archive.read("labels.txt").decode("utf-8") == lines
    folder = write(run, tmp_path, "saved_model").path
    assert (folder / "assets.extra" / "labels.txt").read_text(encoding="utf-8") == lines
    write(run, tmp_path, "onnx")
    import onnxruntime

    properties = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(properties["class_names"]) == names


def test_keras_loads_the_file_as_if_nothing_were_added(run, data, tmp_path):
    model = keras.models.load_model(write(run, tmp_path, "keras"))
    again = tmp_path / "again.keras"
    model.save(again)
    np.testing.assert_array_equal(
        model.predict(data.test.images, verbose=0), run.model.predict(data.test.images, verbose=0)
    )
    assert tk.ImageClassifier(again).class_names is None  # Keras keeps what it knows


def test_layers_that_augment_are_left_out_of_an_onnx_file(tmp_path):
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)])
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3)(layers.RandomTranslation(0.1, 0.1)(augment(layers.Rescaling(1 / 255)(inputs))))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    exported = tk.export(model, tmp_path / "m.onnx")
    assert exported.difference < 1e-5
    assert {"RandomFlip", "RandomTranslation"} <= {type(layer).__name__ for layer in (*augment.layers, *model.layers)}
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    again = np.asarray(model(images, training=True))
    assert np.abs(again - model.predict(images, verbose=0)).max() > 1e-3  # it augments as before


@keras.saving.register_keras_serializable("tests")
class Patches(layers.Layer):
    def call(self, images):
        import tensorflow as tf

        return tf.image.extract_patches(images, [1, 4, 4, 1], [1, 4, 4, 1], [1, 1, 1, 1], "VALID")


@keras.saving.register_keras_serializable("tests")
class Nameless(layers.Layer):
    def __init__(self):
        super().__init__()

    def call(self, x):
        return x + 1.0


@pytest.mark.parametrize(
    ("layer", "file", "cause"),
    [
        pytest.param(
            Patches, "m.tflite", r"cannot be run \(Select TensorFlow op.*Export it as 'saved_model'", id="litert"
        ),
        pytest.param(Nameless, "m.keras", r"unexpected keyword argument.*\*\*kwargs", id="keras"),
    ],
)
def test_files_that_cannot_be_run_are_refused_with_the_cause(tmp_path, layer, file, cause):
    inputs = keras.Input((16, 16, 3))
    x = layers.Flatten()(layer()(layers.Rescaling(1 / 255)(inputs)))
    with pytest.raises(ExportError, match=cause) as caught:
        tk.export(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)), tmp_path / file)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_saved_run_is_exported_without_its_model_in_memory(run, data, tmp_path):
    folder = run.save(tmp_path / "run")
    exported = tk.export(tk.load_run(folder), tmp_path / "m.keras", images=data.test.images)
    assert exported.num_images == len(data.test.labels)
    assert tk.predict(exported, data.test.images).equals(tk.predict(folder, data.test.images))


def test_bare_model_takes_what_its_dataset_knows(run, data, tmp_path):
    exported = tk.export(run.model, tmp_path / "m.keras", data=data)
    assert tk.ImageClassifier(exported).class_names == data.class_names
    named = tk.export(run.model, tmp_path / "n.keras", class_names=["a", "b", "c"])
    assert tk.ImageClassifier(named).class_names == ("a", "b", "c")


def test_file_that_answers_otherwise_is_not_kept(run, tmp_path, monkeypatch):
    def write_another(model, file, metadata):
        changed = keras.models.clone_model(model)  # new weights
        changed.save(file)

    monkeypatch.setitem(exporting._WRITERS, "keras", write_another)
    (tmp_path / "m.keras").write_bytes(b"what was there before")
    with pytest.raises(ExportError, match=r"probabilities differ by up to 0\.\d+ \(allowed 0\.001\) on 32 images"):
        tk.export(run, tmp_path / "m.keras")
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
    assert (tmp_path / "m.keras").read_bytes() == b"what was there before"


def test_model_that_a_format_cannot_hold_is_refused_with_another_format(tmp_path):
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 7, groups=6, padding="same", activation="gelu")(layers.Conv2D(6, 1)(inputs))
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ExportError, match="Export it as 'litert' or 'keras' instead"):
        tk.export(keras.Model(inputs, outputs), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf2onnx", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'transferkit\[onnx\]'"):
        tk.export(run, tmp_path / "m.onnx")


def test_what_cannot_be_exported_is_refused(run, data, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown format 'tflite'"):
        tk.export(run, tmp_path / "m.tflite", "tflite")
    with pytest.raises(InvalidInputError, match=r"a file of format 'onnx' ends in '\.onnx'; got 'm\.tflite'"):
        tk.export(run, tmp_path / "m.tflite", "onnx")
    with pytest.raises(InvalidInputError, match="only Keras models can be exported; got"):
        tk.export(tk.build_baseline("naive_bayes"), tmp_path / "m.onnx")
    with pytest.raises(InvalidInputError, match="the model has 3 outputs, but there are 2 class names"):
        tk.export(run.model, tmp_path / "m.keras", class_names=["a", "b"])
    flat = keras.Sequential([keras.Input((16, 16)), layers.Flatten(), layers.Dense(3, activation="softmax")])
    with pytest.raises(InvalidInputError, match=r"takes inputs of shape \(16, 16\), not images"):
        tk.export(flat, tmp_path / "m.keras")
    with pytest.raises(InvalidInputError, match="is no built functional or sequential model"):
        tk.export(keras.Sequential([layers.Flatten(), layers.Dense(3)]), tmp_path / "m.keras")
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="holds something else, and is left alone"):
        tk.export(run, tmp_path / "diary")


@pytest.mark.parametrize("form", ["keras", "litert"])
def test_one_sigmoid_output_is_exported_with_two_names(data, tmp_path, form):
    stack = [
        keras.Input((16, 16, 3)),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(stack)
    exported = write(model, tmp_path, form, class_names=["no", "yes"])
    expected = tk.predict(model, data.test.images, class_names=["no", "yes"], probabilities=True)
    answers = tk.predict(exported, data.test.images, probabilities=True)
    assert (answers["predicted"] == expected["predicted"]).all()
    np.testing.assert_allclose(answers["p(yes)"], expected["p(yes)"], atol=1e-5)
    with pytest.raises(InvalidInputError, match="1 outputs, but there are 3 class names"):
        write(model, tmp_path, form, class_names=["no", "yes", "perhaps"])


def test_saved_model_is_replaced_by_a_newer_one(run, tmp_path):
    first = write(run, tmp_path, "saved_model").path
    (first / "old").write_text("x", encoding="utf-8")
    write(run, tmp_path, "saved_model")
    assert not (first / "old").exists()


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    model = small_model("torch")
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    before = model.predict(images, verbose=0)
    kinds = {layer.name: type(layer.mean) for layer in model.layers if isinstance(layer, layers.Normalization)}
    tk.export(model, tmp_path / "m.onnx")
    assert {layer.name: type(layer.mean) for layer in model.layers if layer.name in kinds} == kinds
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "efficientnet_v2_b0", "resnet50", "densenet121"])
@pytest.mark.parametrize("form", ["litert", "onnx"])
def test_real_architectures_are_exported(tmp_path, backbone, form):
    model = tk.build_transfer_model(backbone, pretrained=False, num_classes=3, input_shape=(64, 64, 3), image_size=64)
    assert write(model, tmp_path, form).difference < 1e-4


def test_a_file_is_no_folder_and_other_suffixes_are_no_format(run, tmp_path):
    for name in ("model.h5", "weights.pt"):
        with pytest.raises(InvalidInputError, match="no format of export is called"):
            tk.export(run, tmp_path / name)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InvalidInputError, match="is a file, and a SavedModel is a folder"):
        tk.export(run, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.long
def test_saved_model_with_layers_of_augmentation_answers_as_in_prediction(tmp_path):
    inputs = keras.Input((16, 16, 3))
    hidden = keras.layers.RandomRotation(0.2)(keras.layers.RandomFlip()(inputs))
    hidden = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(hidden))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(hidden))
    exported = tk.export(keras.Model(inputs, outputs), tmp_path / "model")
    assert exported.difference < 1e-5


@pytest.mark.long
def test_a_run_answers_with_its_own_weights_after_its_model_was_trained_on(data, tmp_path):
    model = tk.build_cnn(data.image_shape, data.num_classes, filters=(4,), dense_units=8)
    kept = tk.train(model, data, epochs=1, name="kept", folder=tmp_path, verbose=False)
    loose = replace(kept, path=None)
    tk.train(model, data, epochs=2, name="later", verbose=False)
    answers = tk.predict(kept, data.test.images, probabilities=True).iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(answers, kept.test_probabilities, atol=1e-6)
    np.testing.assert_allclose(tk.evaluate(kept, data.test).probabilities, kept.test_probabilities, atol=1e-6)
    np.testing.assert_allclose(tk.evaluate(kept.path, data.test).probabilities, kept.test_probabilities, atol=1e-6)
    with pytest.raises(InvalidInputError, match="trained or changed since"):
        tk.predict(loose, data.test.images)
    with pytest.raises(RunError, match="trained or changed since"):
        tk.evaluate(loose, data.test)


def test_a_calibrated_run_says_what_predicts(run, data):
    calibrated = replace(run, recipe=run.recipe | {"temperature": 1.5}, model=None, path=None)  # as calibrate leaves it
    with pytest.raises(InvalidInputError, match="is calibrated and has no model.*apply_temperature"):
        tk.predict(calibrated, data.test.images)
    with pytest.raises(RunError, match="is calibrated and has no model"):
        tk.average_flips(calibrated, data)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no.png", "does not exist"),
        ("*.png", r"For a pattern, give Path\(.*glob"),
    ],
)
def test_files_that_do_not_exist_are_named(run, tmp_path, name, says):
    with pytest.raises(DataError, match=says):
        tk.predict(run, tmp_path / name)
