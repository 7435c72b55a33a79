"""The way from a folder to files for other programs and a named prediction, as the lines that a reader writes."""

import zipfile

import pytest

pytest.importorskip("onnxruntime", reason="pip install 'transferkit[onnx]'")
pytest.importorskip("tf2onnx", reason="pip install 'transferkit[onnx]'")

LINES = """
import transferkit as tk

data = tk.load_image_folder("photos", image_size=32, fit="crop")
shape = {"input_shape": data.image_shape, "num_classes": data.num_classes}
model = tk.build_cnn(filters=(4, 8), **shape)
run = tk.train(model, data, epochs=3, name="photos", folder="runs", verbose=False)
for file in ("photos.tflite", "photos.onnx"):
    tk.export(run, file, data=data)
answers = [tk.predict(source, "photos/blue/00.png") for source in ("runs/photos", "photos.tflite", "photos.onnx")]
"""


@pytest.mark.slow  # ONNX takes seconds to write
def test_from_a_folder_to_litert_and_onnx_and_a_named_prediction_in_under_12_lines(photos, tmp_path, monkeypatch):
    assert sum(bool(line.strip()) for line in LINES.splitlines()) < 12
    (tmp_path / "photos").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(LINES, space)
    run, answers = space["run"], space["answers"]
    assert run.class_names == ("blue", "green", "rote Dächer")
    for answer in answers:
        assert answer["predicted"].iloc[0] in run.class_names
        assert answer["predicted"].iloc[0] == answers[0]["predicted"].iloc[0]
        assert answer["probability"].iloc[0] == pytest.approx(answers[0]["probability"].iloc[0], abs=1e-3)
    with zipfile.ZipFile("photos.tflite") as archive:  # what readers of LiteRT's associated files open
        assert archive.read("labels.txt").decode("utf-8").splitlines() == list(run.class_names)
