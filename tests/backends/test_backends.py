"""Every public function that touches a model, on the backend that Keras runs on: KERAS_BACKEND=jax python -m pytest tests/backends."""

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import transferkit as tk
from transferkit.backends import philox
from transferkit.errors import MissingDependencyError
from transferkit.features.prefix import find_prefix
from transferkit.models.offline import find_graph, read_graph
from transferkit.models.program import model_program_digest
from transferkit.training import augmentation, steps

layers = keras.layers
covers = pytest.mark.covers
HERE = Path(__file__).parent
BACKEND = keras.backend.backend()
OPTIONS = {"epochs": 1, "batch_size": 32, "verbose": False}
CNN = {**OPTIONS, "epochs": 2, "augment": "flip", "name": "cnn"}


def build(seed=1):
    return tk.build_cnn((16, 16, 1), filters=(4, 8), preset="modern", seed=seed)


@pytest.fixture(scope="module")
def data(digits):
    """Return few images, in numbers that make few shapes of batches: each is compiled for."""
    train, validation, test = digits
    return tk.Dataset.from_arrays(
        (train.images[:96], train.labels[:96]),
        (test.images[:64], test.labels[:64]),
        validation=(validation.images[:64], validation.labels[:64]),
        allow_overlap=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(data, folder):
    """Return a network and its run."""
    model = build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERKIT_HOME", str(folder / "home"))
        return model, tk.train(model, data, folder=folder, **CNN)


def transfer(trained, *, freeze=True, seed=0):
    model = trained[0]
    return tk.build_transfer_model(
        keras.Model(model.inputs, model.get_layer("pool").output), input_shape=(16, 16, 1), freeze=freeze, seed=seed
    )


def test_only_the_chosen_backend_is_imported():
    others = {"tensorflow", "jax", "torch"} - {BACKEND}
    code = (
        "import sys; import transferkit as tk; assert 'keras' not in sys.modules\n"
        f"m = tk.build_cnn(); print(sorted({others!r} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@covers("build_cnn", "train")
def test_train_records_the_backend_and_keeps_statistics(trained, data):
    model, run = trained
    assert run.status == "completed"
    assert run.environment["backend"] == BACKEND
    assert run.environment[BACKEND]
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    assert np.abs(keras.ops.convert_to_numpy(norm.moving_mean)).max() > 1e-3
    assert run.model_info["engine"].startswith("plain")
    kernels = [layer.get_weights()[0] for layer in model.layers if isinstance(layer, layers.Conv2D)]
    initial = [layer.get_weights()[0] for layer in build().layers if isinstance(layer, layers.Conv2D)]
    assert not any(np.allclose(one, two, atol=1e-4) for one, two in zip(kernels, initial, strict=True))


@covers("train")
def test_a_finished_run_is_found_again(trained, data, folder):
    model = build()
    again = tk.train(model, data, folder=folder, **CNN)
    assert again.environment == trained[1].environment
    np.testing.assert_array_equal(again.test_probabilities, trained[1].test_probabilities)
    for one, two in zip(model.get_weights(), trained[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@covers("train")
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(trained, data, folder, monkeypatch):
    saved = steps.save_checkpoint

    def save(*arguments, **named):
        saved(*arguments, **named)
        raise RuntimeError("the machine went away")

    model, options = build(), {**CNN, "folder": folder, "save_as": "resumed"}
    with monkeypatch.context() as patch:
        patch.setattr(steps, "save_checkpoint", save)
        with pytest.raises(RuntimeError, match="went away"):
            tk.train(model, data, **options)
    run = tk.train(model, data, **options)
    assert [row["epoch"] for row in run.history] == [1, 2]
    for one, two in zip(model.get_weights(), trained[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@covers("build_transfer_model", "train", "extract_features", "count_dead_features", "clear_cache")
def test_kept_features_train_the_same_head(trained, data):
    kept, plain = transfer(trained), transfer(trained)
    run = tk.train(kept, data, **OPTIONS)
    other = tk.train(plain, data, engine="plain", **OPTIONS)
    assert run.model_info["engine"] in ("litert", "keras")
    np.testing.assert_allclose(run.test_probabilities, other.test_probabilities, atol=1e-4)
    assert tk.extract_features(kept, data.test.images).shape == (64, 8)
    assert tk.count_dead_features(kept, data.test.images).total == 8
    assert tk.clear_cache() > 0


@covers("fit_head")
def test_fit_head(trained, data):
    assert tk.fit_head(transfer(trained), data, verbose=False).metrics["accuracy"] > 0.3


@covers("fine_tune", "freeze", "unfreeze")
def test_fine_tune(trained, data):
    model = transfer(trained)
    run = tk.fine_tune(
        model, data, head_epochs=1, epochs=1, batch_size=32, label_smoothing=0.1, average_weights=0.9, verbose=False
    )
    assert [row["phase"] for row in run.history] == ["head", "all"]
    np.testing.assert_allclose(tk.evaluate(model, data.test).probabilities, run.test_probabilities, atol=1e-5)
    tk.freeze(model)
    tk.unfreeze(model)


@covers("find_learning_rate")
@pytest.mark.filterwarnings("ignore:find_learning_rate. the loss did not fall:transferkit.errors.TransferKitWarning")
def test_find_learning_rate(trained, data):
    model = transfer(trained)
    before = model.get_weights()
    found = tk.find_learning_rate(model, data, steps=20, batch_size=32)
    assert np.isfinite(found.table["loss"][:10]).all()
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@covers("extract_features", "load_features", "FeatureMapper")
def test_features_of_shards(trained, data, tmp_path):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    contents = []
    for image in data.test.images:
        stream = io.BytesIO()
        Image.fromarray(image[..., 0]).save(stream, "PNG")
        contents.append(stream.getvalue())
    keys = [f"{row:02d}" for row in range(len(contents))]
    table = pa.table({"key": keys, "image": contents, "label": data.test.labels})
    pq.write_table(table, tmp_path / "shard.parquet")
    model = transfer(trained)
    expected = tk.extract_features(model, data.test.images)
    tk.extract_features(
        model, tmp_path / "shard.parquet", output=tmp_path / "features", columns=["label"], verbose=False
    )
    features = tk.load_features(tmp_path / "features", labels="label", validation=0.2, test=0.2)
    assert tk.fit_head(model, features, verbose=False).status == "completed"
    mapped = tk.FeatureMapper(model)(table)
    np.testing.assert_allclose(np.stack(mapped["features"].to_numpy()), expected, atol=1e-4)


@covers("repeat", "compare_runs")
def test_repeat_and_compare(trained, data):
    runs = tk.repeat(lambda seed: transfer(trained, seed=seed), data, seeds=(0, 1), name="frozen", **OPTIONS)
    assert tk.compare_runs(runs).table["seeds"].to_dict() == {"frozen": 2}


@covers("compare_runs")
def test_runs_of_two_backends_are_compared_and_that_is_said(trained, folder):
    from dataclasses import replace

    run = trained[1]
    other = replace(run, name="other", key="0" * 64, environment={**run.environment, "backend": "another"}, model=None)
    text = tk.compare_runs([run, other]).to_markdown()
    assert "backend" in text
    assert "another" in text


@covers("tune")
def test_tune(trained, data):
    backbone = keras.Model(trained[0].inputs, trained[0].get_layer("pool").output)
    tuned = tk.tune(data, minutes=0.1, backbone=backbone, verbose=False)
    assert tuned.run.metrics["accuracy"] > 0


@covers("train_label_budgets")
def test_label_budgets(trained, data):
    runs = tk.train_label_budgets(
        {"frozen": lambda seed: transfer(trained, seed=seed)},
        data,
        labels_per_class=(2, 4),
        seeds=(0,),
        **OPTIONS,
    )
    assert len(runs) == 2


@covers("cross_validate")
def test_cross_validation(trained, data):
    runs = tk.cross_validate(lambda seed: transfer(trained, seed=seed), data, folds=2, **OPTIONS)
    assert [run.status for run in runs] == ["completed"]  # one run of all folds


@covers("evaluate", "load_model", "calibrate")
def test_saved_models_and_runs_predict_the_same(trained, data, folder):
    model, run = trained
    expected = tk.evaluate(model, data.test).probabilities
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(tk.evaluate(loaded, data.test).probabilities, expected, atol=1e-6)
    again = tk.load_model(folder / "cnn")
    np.testing.assert_allclose(tk.evaluate(again, data.test).probabilities, expected, atol=1e-6)
    assert tk.calibrate(run).metrics["loss"] > 0


@covers("export", "predict", "ImageClassifier")
def test_export_and_predict(trained, data, folder):
    exported = tk.export(trained[1], folder / "exported.keras", images=data.test.images[:10])
    assert exported.difference < 1e-5
    assert len(tk.predict(exported.path, data.test.images[:3])) == 3
    assert len(tk.ImageClassifier(trained[1]).predict(data.test.images[:2], top=2)) == 2


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is there")
@covers("export")
def test_without_tensorflow_what_needs_it_says_so(trained, data, folder):
    with pytest.raises(MissingDependencyError, match="TensorFlow"):
        tk.export(trained[1], folder / "model.tflite", images=data.test.images[:10])
    with pytest.raises(MissingDependencyError, match="TensorFlow"):
        tk.extract_features(transfer(trained), data.test.images[:10], engine="litert")


@covers("conv_filters", "layer_outputs", "excitation_map", "occlusion_map")
def test_looking_inside(trained, data):
    model, images = trained[0], data.test.images[:2]
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    assert tk.conv_filters(model).shape[-1] == first.filters
    assert len(tk.layer_outputs(model, images, first.name)) == 2
    assert np.abs(tk.excitation_map(model, images, first.name, 0)).max() > 0
    assert tk.occlusion_map(model, images[0], 3, size=8, stride=8).shape == (2, 2)


@covers("build_googlenet")
def test_googlenet():
    assert tk.build_googlenet((32, 32, 1)).output_shape == (None, 10)


def test_initial_weights_are_those_of_every_backend():
    model = build(seed=4)
    kernels = [weight for weight in model.get_weights() if weight.ndim == 4]
    expected = np.load(HERE / "initial_weights.npz")
    for index, kernel in enumerate(kernels):
        np.testing.assert_allclose(kernel, expected[f"arr_{index}"], atol=1e-6)


def test_images_are_moved_alike_to_one_grey_level(digits):
    """SciPy resamples in double precision, so it stands for every backend."""
    images = np.concatenate([digits.test.images[:24]] * 3, axis=-1)[:, :, :13]
    draws = np.random.default_rng(0)
    matrices = augmentation.crop(draws.random((24, 4)), 16, 13) @ augmentation.rotate(draws.random((24, 1)), 16, 13)
    found = augmentation.move(images, matrices)
    middle = np.array([7.5, 6.0, 0.0])
    for image, moved, matrix in zip(images, found, matrices, strict=True):
        turn = matrix[:2, :2]
        offset = matrix[:2, 2] + middle[:2] - turn @ middle[:2]
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float), turn, offset, order=1, mode="nearest"
            )
            assert np.abs(moved[..., channel] - expected).max() <= 1


def test_philox_draws_what_tensorflow_draws():
    expected = np.load(HERE / "draws.npz")
    np.testing.assert_array_equal(philox.uniform((33, 5), (7, 3)), expected["uniform"])
    np.testing.assert_allclose(philox.normal((33, 5), (7, 3)), expected["normal"], atol=5e-6)
    np.testing.assert_allclose(philox.truncated_normal((33, 5), (7, 3)), expected["truncated"], atol=5e-6)


class Scaled(layers.Layer):
    """A layer of one's own."""

    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


def network(*, factor=2.0, swap=False, rate=0.3, strides=1):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=strides, padding="same", kernel_initializer="ones", trainable=False)(inputs)
    y = Scaled(factor)(x)
    x = layers.Subtract()([y, x] if swap else [x, y])
    x = layers.Dropout(rate)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer="ones", activation="softmax")(x))


@pytest.mark.parametrize("training", [True, False])
def test_programs_are_told_apart_by_what_they_execute(training):
    first, again = (model_program_digest(network(), training=training) for _ in range(2))
    assert first is not None
    assert first == again
    for change in ({"factor": 3.0}, {"swap": True}, {"strides": 2}):
        assert model_program_digest(network(**change), training=training) != first
    assert (model_program_digest(network(rate=0.5), training=training) == first) is not training


def test_features_are_addressed_by_their_program():
    digests = {
        name: find_prefix(network(**change)).digest
        for name, change in {
            "one": {},
            "same": {},
            "rate": {"rate": 0.5},
            "factor": {"factor": 3.0},
            "swap": {"swap": True},
        }.items()
    }
    assert digests["one"] == digests["same"] == digests["rate"]
    assert len(set(digests.values())) == 3


def test_what_is_random_or_learns_is_not_frozen():
    class Noise(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, inputs):
            return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)

    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, name="frozen", trainable=False)(inputs)
    x = layers.Conv2D(4, 3, name="after", trainable=False)(Noise()(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    assert find_prefix(model).last_layer == "frozen"


class Part(layers.Layer):
    """Holds two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(8, activation="relu"), layers.Dense(8, activation="relu")

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], 8))
        self.built = True

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_what_is_frozen_inside_of_a_layer_stays_frozen(data):
    inputs, part = keras.Input((16, 16, 1)), Part()
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(part(layers.Flatten()(inputs))))
    part.first.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = part.first.get_weights()
    run = tk.train(model, data, **OPTIONS)
    for old, new in zip(before, part.first.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not part.first.trainable
    assert run.phases[0]["trainable_parameters"] == 8 * 8 + 8 + 8 * 10 + 10


@pytest.mark.skipif(find_graph() is None, reason="the extra 'offline' is not installed")
def test_the_offline_weights_are_read_without_tensorflow():
    tensors = read_graph(find_graph())
    assert len(tensors) > 130
    assert tensors["MobilenetV1/Conv2d_0/weights"].shape == (3, 3, 3, 32)
    assert np.isfinite(tensors["MobilenetV1/Conv2d_13_pointwise/weights"]).all()


def test_a_model_of_another_backend_predicts_the_same(digits):
    expected = np.load(HERE / "saved_by_tensorflow.npz")["probabilities"]
    model = keras.models.load_model(HERE / "saved_by_tensorflow.keras")
    found = tk.evaluate(model, (digits.test.images[:50], digits.test.labels[:50])).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4)


TWO_DEVICES = """
import contextlib, sys
sys.path[:0] = sys.argv[1:]
import keras, numpy as np, transferkit as tk
from conftest import make_digits

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    contexts = contextlib.nullcontext, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
    preset = "course"  # BatchNorm counts each device's part alone there
else:
    contexts = contextlib.nullcontext, keras.distribution.DataParallel().scope
    preset = "modern"
batch_size = 22  # batches of 22, 22, 22 and 4 images

data = make_digits().subset(7, seed=0)

def cnn():
    return tk.build_cnn((16, 16, 1), filters=(4, 8), preset=preset, dropout=0.0, seed=1)

def train():
    model = cnn()
    yield
    tk.train(model, data, epochs=1, batch_size=batch_size, verbose=False)
    yield model.get_weights()

def fine_tune():
    whole = cnn()
    backbone = keras.Model(whole.inputs, whole.layers[-3].output)
    model = tk.build_transfer_model(backbone, input_shape=(16, 16, 1), dropout=0.0, seed=2)
    yield
    run = tk.fine_tune(model, data, head_epochs=1, epochs=1, batch_size=batch_size, verbose=False)
    yield [*model.get_weights(), run.test_probabilities]

for work in (train, fine_tune):
    found = []
    for context in contexts:
        steps = work()
        with context():  # TensorFlow wants the model built inside; JAX all of it
            next(steps)
            if preset == "modern":
                found.append(next(steps))
        if preset == "course":
            found.append(next(steps))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)

odd = tk.Dataset.from_arrays(*([part[:69] for part in split] for split in (data.train, data.test)), validation=[part[:33] for part in data.validation])
with contexts[1]():
    model = cnn()
    assert tk.train(model, odd, epochs=1, batch_size=22, verbose=False).test_probabilities.shape == (69, 10)
    try:
        tk.train(model, odd, epochs=1, batch_size=21)
    except tk.errors.InvalidInputError as error:
        assert "multiple of 2" in str(error)
    else:
        raise AssertionError("batches that do not divide")
"""


@(pytest.mark.slow if BACKEND == "tensorflow" else pytest.mark.backends)
@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no distribution there")
def test_two_devices_train_the_same_weights_as_one():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", TWO_DEVICES, str(HERE.parent)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
