import dataclasses
import importlib.util
import io
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.deploy.conftest import COLOURS, paint

import transferkit as tk
from transferkit.deploy.engines import _dequantise
from transferkit.errors import DataError, InvalidInputError, TransferKitWarning

NAMES = list(COLOURS)


@pytest.mark.long
def test_predictions_are_those_of_the_run(run, data):
    frame = tk.predict(run, data.test.images, top=3, probabilities=True)
    expected = run.test_probabilities
    np.testing.assert_allclose(frame[[f"p({name})" for name in NAMES]], expected, atol=1e-6)
    assert frame["predicted"].tolist() == [NAMES[place] for place in expected.argmax(axis=1)]
    assert (frame["probability"] >= frame["probability_2"]).all()
    assert (frame["probability_2"] >= frame["probability_3"]).all()
    assert all(len({*row}) == 3 for row in frame[["predicted", "predicted_2", "predicted_3"]].to_numpy())
    assert list(tk.predict(run, data.test.images)) == ["predicted", "probability"]


@pytest.mark.long
def test_files_are_decoded_as_the_training_folder_was(run, data, photos):
    frame = tk.predict(run, photos, probabilities=True)
    assert frame.index.name == "file"
    assert len(frame) == 60
    for split in (data.train, data.validation, data.test):
        arrays = tk.predict(run, split.images, probabilities=True)
        np.testing.assert_allclose(
            frame.loc[list(split.paths)].drop(columns="predicted").to_numpy(float),
            arrays.drop(columns="predicted").to_numpy(float),
            atol=1e-6,
        )


def test_fit_of_the_folder_counts(tmp_path, run):
    picture = paint(COLOURS["green"], 1, size=(60, 20))
    picture.paste(COLOURS["blue"], (0, 0, 20, 20))
    picture.paste(COLOURS["blue"], (40, 0, 60, 20))
    picture.save(tmp_path / "wide.png")
    cut = tk.predict(run, tmp_path / "wide.png", probabilities=True)
    whole = tk.predict(run, tmp_path / "wide.png", fit="stretch", probabilities=True)
    assert cut["predicted"].tolist() == ["green"]
    assert whole.loc[str(tmp_path / "wide.png"), "p(blue)"] > cut.loc[str(tmp_path / "wide.png"), "p(blue)"]


def test_everything_that_holds_a_picture_is_taken(run, photos):
    file = photos / "green" / "00.png"
    content = file.read_bytes()
    expected = tk.predict(run, file)["probability"].item()
    with Image.open(file) as picture, file.open("rb") as stream:
        for given in (
            str(file),
            [file],
            [str(file)],
            content,
            [content],
            io.BytesIO(content),
            stream,
            picture,
            [picture],
        ):
            frame = tk.predict(run, given)
            assert frame["predicted"].tolist() == ["green"]
            assert frame["probability"].item() == pytest.approx(expected)


def test_files_in_a_column_or_an_iterator_are_taken(run, photos):
    files = sorted(photos.rglob("*.png"))[:3]
    expected = tk.predict(run, files)["predicted"].tolist()
    texts = list(map(str, files))
    for given in (pd.Series(texts), pd.Series(texts, dtype="string"), pd.Index(texts), np.array(texts), iter(files)):
        assert tk.predict(run, given)["predicted"].tolist() == expected
    assert len(tk.predict(run, photos.rglob("*.png"))) == 60


def test_table_is_written_and_read_back(run, photos, tmp_path):
    frame = tk.predict(run, photos / "blue", top=2)
    frame.to_csv(tmp_path / "answers.csv")
    again = pd.read_csv(tmp_path / "answers.csv", index_col="file")
    assert again["predicted"].tolist() == frame["predicted"].tolist()
    assert again.index[0] == "00.png"


def test_mirror_images_are_averaged(run, data):
    images = data.test.images
    both = [run.model.predict(piece, verbose=0) for piece in (images, images[:, :, ::-1])]
    frame = tk.predict(run, images, flips=True, probabilities=True)
    np.testing.assert_allclose(frame[[f"p({name})" for name in NAMES]], np.mean(both, axis=0), atol=1e-6)


def test_classifier_of_scikit_learn_predicts(data):
    run = tk.train(tk.build_baseline("naive_bayes"), data, verbose=False)
    frame = tk.predict(run, data.test.images)
    assert (frame["predicted"].to_numpy() == np.array(NAMES)[run.test_predictions]).all()


def test_rows_of_naive_bayes_are_probabilities_far_from_what_it_knows():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    classifier = tk.build_baseline("naive_bayes").fit(images[:400], labels[:400])
    frame = tk.predict(classifier, 255 - images[:100], probabilities=True)  # it calls two digits certain at once
    np.testing.assert_allclose(frame.filter(like="p(").sum(axis=1), 1, atol=1e-6)


def test_classes_below_zero_are_names(data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from transferkit.models.baselines import FlattenPixels

    signs = np.where(data.train.labels == 1, 1, -1)
    classifier = make_pipeline(FlattenPixels(), LogisticRegression()).fit(data.train.images, signs)
    frame = tk.predict(classifier, data.test.images, probabilities=True)
    assert list(frame) == ["predicted", "probability", "p(-1)", "p(1)"]
    assert frame["predicted"].tolist() == list(map(str, classifier.predict(data.test.images)))


def test_bare_model_needs_to_be_told(run, data, photos):
    assert tk.predict(run.model, data.test.images)["predicted"].isin(["0", "1", "2"]).all()
    assert tk.predict(run.model, photos, data=data).equals(tk.predict(run, photos))
    named = tk.predict(run.model, data.test.images, class_names=["a", "b", "c"])
    assert set(named["predicted"]) == {"a", "b", "c"}
    with pytest.warns(TransferKitWarning, match="nothing says how the training images were fitted.*stretched"):
        tk.predict(run.model, photos / "blue")


def test_saved_run_and_classifier_predict_the_same(run, photos, tmp_path):
    folder = run.save(tmp_path / "run")
    expected = tk.predict(run, photos)
    assert tk.predict(folder, photos).equals(expected)
    assert tk.predict(str(folder), photos).equals(expected)
    assert tk.predict(tk.ImageClassifier(folder), photos).equals(expected)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 150])
def test_any_number_of_images_is_predicted(run, data, count):
    images = np.resize(data.train.images, (count, 16, 16, 3))
    expected = np.resize(tk.predict(run, data.train.images)["probability"], count)
    np.testing.assert_allclose(tk.predict(run, images)["probability"], expected, atol=1e-6)


def test_one_sigmoid_output_means_two_classes(data):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    frame = tk.predict(model, data.test.images, class_names=["no", "yes"], probabilities=True)
    np.testing.assert_allclose(frame["p(yes)"], model.predict(data.test.images, verbose=0)[:, 0], atol=1e-6)
    np.testing.assert_allclose(frame["p(no)"] + frame["p(yes)"], 1, atol=1e-6)
    labels = np.arange(len(data.test.images)) % 2
    evaluation = tk.evaluate(model, (data.test.images, labels))
    np.testing.assert_allclose(evaluation.probabilities, frame[["p(no)", "p(yes)"]], atol=1e-6)
    assert evaluation.metrics["accuracy"] == np.mean((frame["predicted"] == "yes") == labels)


def test_what_a_search_found_is_taken_like_its_run(run, data, tmp_path):
    tuned = tk.Tuned(run.model, run, pd.DataFrame())
    expected = tk.predict(run, data.test.images)
    pd.testing.assert_frame_equal(tk.predict(tuned, data.test.images), expected)
    pd.testing.assert_frame_equal(tk.predict(tk.export(tuned, tmp_path / "m.keras"), data.test.images), expected)
    assert tk.evaluate(tuned, data.test).metrics == tk.evaluate(run, data.test).metrics
    other = dataclasses.replace(run, name="other", key="another")
    assert tk.compare_runs([tuned, other]).table.equals(tk.compare_runs([run, other]).table)
    assert list(tk.compare_runs({"found": tuned, "other": other}).table.index) == ["found", "other"]
    assert tk.plot_confusion(tuned).get_title() == tk.plot_confusion(run).get_title()


@pytest.mark.long
def test_exported_files_need_neither_tensorflow_nor_keras(run, photos, tmp_path):
    forms = ["m.tflite"] + ["m.onnx"] * all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime")))
    for name in forms:
        tk.export(run, tmp_path / name)
    code = f"""
        import sys
        import transferkit as tk
        for name in {forms}:
            print(tk.predict(name, {str(photos / "green")!r}).iloc[0, 0])
        print([name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.split() == ["green"] * len(forms) + ["[]"], done.stderr


WRONG = {
    "other size": (lambda d: np.zeros((2, 200, 200, 3), np.uint8), DataError, r"\(200, 200, 3\), but the model takes \(16, 16, 3\).*16x16"),
    "no batch axis": (lambda d: d.test.images[0], DataError, r"For one colour image pass images\[None\]"),
    "scaled": (lambda d: d.test.images / 255, DataError, "look already scaled"),
    "grey": (lambda d: d.test.images[..., :1], DataError, r"\(16, 16, 1\), but the model takes"),
    "missing file": (lambda d: "nowhere.png", DataError, "nowhere.png does not exist"),
    "no image": (lambda d: b"hello", DataError, "not an image of a known format"),
    "nothing": (lambda d: [], DataError, "images"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_images_are_refused_with_the_cure(run, data, what):
    make, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        tk.predict(run, make(data))


def test_folder_without_images_is_refused(run, tmp_path):
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="holds no image files"):
        tk.predict(run, tmp_path)


def test_broken_files_are_skipped_on_demand(run, photos, tmp_path):
    (tmp_path / "a.png").write_bytes((photos / "blue" / "00.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"hello")
    with pytest.raises(DataError, match="images cannot be read: b.png: it is not an image"):
        tk.predict(run, tmp_path)
    with pytest.warns(TransferKitWarning, match=r"skipped 1 of 2 images.*b\.png"):
        frame = tk.predict(run, tmp_path, on_error="skip")
    assert frame.index.tolist() == ["a.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"top": 0}, "top must be"), ({"top": 4}, "more than the 3 classes"), ({"on_error": "x"}, "on_error must be"),
     ({"fit": "squash"}, "fit must be"), ({"class_names": ["a", "b"]}, "3 outputs, but there are 2 class names")],
)  # fmt: skip
def test_wrong_options_are_refused(run, data, options, message):
    with pytest.raises(InvalidInputError, match=message):
        tk.predict(run, data.test.images, **options)


def test_what_is_no_model_is_refused(run, data, tmp_path):
    with pytest.raises(InvalidInputError, match="give a Run, a Keras model.*got int"):
        tk.predict(3, data.test.images)
    with pytest.raises(DataError, match="does not exist"):
        tk.predict(tmp_path / "none.onnx", data.test.images)
    with pytest.raises(DataError, match="is no saved run and no exported model"):
        tk.predict(tmp_path, data.test.images)
    logits = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(InvalidInputError, match="puts out logits"):
        tk.predict(logits, data.test.images)
    flat = keras.Sequential([keras.Input((16, 16)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(
        InvalidInputError, match=r"takes inputs of shape \(16, 16\), not images.*Input\(\(28, 28, 1\)\)"
    ):
        tk.predict(flat, data.test.images)
    unbuilt = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(InvalidInputError, match=r"is no built functional or sequential model\. Build it with"):
        tk.predict(unbuilt, data.test.images)
    (tmp_path / "x.keras").write_bytes(b"no archive")
    with pytest.raises(DataError, match="x.keras"):
        tk.predict(tmp_path / "x.keras", data.test.images)


def test_from_a_folder_to_files_and_a_named_prediction_in_under_12_lines(photos, tmp_path, monkeypatch):
    """The lines of the guide, as they stand."""
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    (tmp_path / "photos").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    lines = textwrap.dedent("""
        import transferkit as tk
        data = tk.load_image_folder("photos", image_size=32)
        model = tk.build_cnn(input_shape=data.image_shape, num_classes=data.num_classes, filters=(4, 8))
        run = tk.train(model, data, epochs=8, batch_size=8, name="colours", folder="runs", verbose=False)
        tk.export(run, "colours.tflite")
        tk.export(run, "colours.onnx")
        for model in (run, "runs/colours", "colours.tflite", "colours.onnx"):
            print(tk.predict(model, "photos/green/00.png", top=2))
    """).strip()
    assert len(lines.splitlines()) < 12
    names = {}
    exec(lines, names)
    answers = [tk.predict(model, "photos/green/00.png") for model in (names["run"], "colours.tflite", "colours.onnx")]
    assert {answer["predicted"].item() for answer in answers} == {"green"}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_quantised_files_answer_as_the_network_does(run, data, tmp_path, kind):
    tf = pytest.importorskip("tensorflow")
    run.model.export(tmp_path / "saved", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = data.train.images
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = getattr(tf, kind)
    converter.inference_output_type = getattr(tf, kind)
    (tmp_path / "small.tflite").write_bytes(converter.convert())
    frame = tk.predict(tmp_path / "small.tflite", data.test.images, class_names=NAMES, probabilities=True)
    np.testing.assert_allclose(frame[[f"p({name})" for name in NAMES]], run.test_probabilities, atol=0.1)


@pytest.mark.long
def test_threads_share_an_exported_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), np.uint8)
    tk.export(tk.build_cnn((56, 56, 3), preset="modern", filters=(16, 32)), tmp_path / "cnn.tflite", images=images)
    classifier = tk.ImageClassifier(tmp_path / "cnn.tflite")

    def ask(number):
        return classifier.predict(images[number % 4][None], probabilities=True).to_numpy()[0, 2:].astype(float)

    expected = [ask(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for number, answer in enumerate(pool.map(ask, range(200))):
            np.testing.assert_allclose(answer, expected[number % 4], atol=1e-6)


def test_more_names_than_outputs_are_refused(run, data):
    with pytest.raises(InvalidInputError, match=f"{len(NAMES)} outputs, but there are {len(NAMES) + 1} class names"):
        tk.predict(run.model, data.test.images, class_names=[*NAMES, "void"])


@pytest.mark.parametrize("found", [[115, 90, -128], [-128, -128, -128], [127, -128, -127]])
def test_quantised_answers_are_probabilities_or_refused(found):
    answer = {"quantization": (1 / 256, -128)}
    given = _dequantise(np.array([found], np.int8), answer)
    exact = (np.array([found]) + 128) / 256
    np.testing.assert_allclose(given, exact / (exact.sum() if abs(exact.sum() - 1) < 0.006 else 1), atol=1e-6)


def test_pictures_that_are_not_read_are_counted(run, tmp_path):
    paint(COLOURS["green"], 1).save(tmp_path / "0.png")
    (tmp_path / "1.nef").write_bytes(b"II*" + bytes(100))
    with pytest.warns(TransferKitWarning, match="1 file of a format that Pillow does not read: 1.nef"):
        assert len(tk.predict(run, tmp_path)) == 1
