"""Backbones of KerasHub, from presets with random weights that were saved here: tests have no network."""

import contextlib
import sys

import keras
import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import (
    ExportError,
    InvalidInputError,
    MissingDependencyError,
    UnknownNameError,
    WeightsError,
)
from transferkit.models.hub import is_hub_backbone

SCALE, OFFSET = (1 / 50, 1 / 60, 1 / 70), (-2.0, -1.9, -1.8)
SHAPE = {"input_shape": (24, 24, 3), "num_classes": 3}
TRANSFORMER = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "image_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub", reason="pip install 'transferkit[hub]'")


def vit(hub, **options):
    sizes = {**TRANSFORMER, "patch_size": (8, 8)}
    return hub.models.ViTBackbone(mlp_dim=32, **sizes, **options), hub.layers.ViTImageConverter


def dinov2(hub):
    backbone = hub.models.DINOV2Backbone(
        **TRANSFORMER, intermediate_dim=32, position_embedding_shape=(48, 48, 3), num_register_tokens=4
    )
    return backbone, hub.layers.DINOV2ImageConverter


def siglip(hub):
    text = {"num_heads": 2, "num_layers": 1, "max_sequence_length": 8, "intermediate_dim": 16}
    backbone = hub.models.SigLIPBackbone(
        hub.models.SigLIPVisionEncoder(**TRANSFORMER, intermediate_dim=32),
        hub.models.SigLIPTextEncoder(vocabulary_size=20, embedding_dim=16, hidden_dim=16, **text),
    )
    return backbone, hub.layers.SigLIPImageConverter


def swin(hub):
    options = {"image_shape": (32, 32, 3), "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    return hub.models.SwinTransformerBackbone(**options), hub.layers.SwinTransformerImageConverter


def efficientnet_lite(hub):
    blocks = {"kernel_sizes": [3, 3], "num_repeats": [1, 1], "input_filters": [8, 16], "output_filters": [16, 16]}
    blocks |= {"expansion_ratios": [1, 4], "squeeze_and_excite_ratios": [0, 0], "strides": [1, 2]}
    blocks |= {"width_coefficients": [1.0, 1.0], "depth_coefficients": [1.0, 1.0], "block_types": ["v1", "v1"]}
    options = {f"stackwise_{name}": value for name, value in blocks.items()}
    return hub.models.EfficientNetBackbone(**options, activation="relu6"), hub.layers.EfficientNetImageConverter


def mobilenet_v5(hub):
    blocks = {"block_types": [["er"], ["uir", "mqa"]], "num_blocks": [1, 2], "num_filters": [[8], [16, 16]]}
    blocks |= {"strides": [[2], [2, 1]], "act_layers": [["relu"], ["relu", "relu"]], "exp_ratios": [[4.0], [4.0, 4.0]]}
    blocks |= {"se_ratios": [[0.0], [0.0, 0.0]], "dw_kernel_sizes": [[0], [5, 5]], "exp_kernel_sizes": [[3], [0, 0]]}
    blocks |= {"dw_start_kernel_sizes": [[0], [5, 0]], "dw_end_kernel_sizes": [[0], [0, 0]]}
    blocks |= {"pw_kernel_sizes": [[1], [0, 0]], "num_heads": [[0], [0, 2]], "key_dims": [[0], [0, 8]]}
    blocks |= {"value_dims": [[0], [0, 8]], "kv_strides": [[0], [0, 1]], "use_cpe": [[False], [False, False]]}
    options = {f"stackwise_{name}": value for name, value in blocks.items()}
    backbone = hub.models.MobileNetV5Backbone(**options, num_features=32, use_msfa=False, image_shape=(32, 32, 3))
    return backbone, hub.layers.MobileNetV5ImageConverter


FAMILIES = {make.__name__: make for make in (vit, dinov2, siglip, swin, efficientnet_lite, mobilenet_v5)}
TOKENS = {"vit": 1, "dinov2": 5}  # before those of the patches


@pytest.fixture(scope="module")
def presets(hub, tmp_path_factory):
    """Return a function that gives a family's backbone and the folder of its preset, saved once."""
    made = {}

    def get(family):
        if family not in made:
            backbone, converter = FAMILIES[family](hub)
            folder = tmp_path_factory.mktemp("presets") / family
            backbone.save_to_preset(str(folder))
            converter(image_size=(32, 32), scale=SCALE, offset=OFFSET, interpolation="bicubic").save_to_preset(
                str(folder)
            )
            made[family] = getattr(backbone, "vision_encoder", backbone), folder
        return made[family]

    return get


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    splits = []
    for count in (24, 12, 9):
        labels = np.arange(count) % 3
        images = rng.integers(0, 100, (count, 24, 24, 3), dtype=np.uint8) + (70 * labels)[:, None, None, None]
        splits.append((images.astype(np.uint8), labels))
    return tk.Dataset.from_arrays(*splits, class_names=("a", "b", "c"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preset_is_its_network_on_its_pixels_with_pooled_tokens(presets, family, rng):
    backbone, folder = presets(family)
    model = tk.build_transfer_model(f"hub:{folder}", **SHAPE)
    images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    pixels = images * np.array(SCALE, np.float32) + np.array(OFFSET, np.float32)
    expected = backbone(keras.tree.map_structure(lambda _: pixels, backbone.input), training=False)
    expected = keras.ops.convert_to_numpy(expected)
    if family in TOKENS:
        expected = expected[:, 0]
    elif expected.ndim > 2:
        expected = expected.mean(axis=tuple(range(1, expected.ndim - 1)))
    same_size = tk.build_transfer_model(f"hub:{folder}", **{**SHAPE, "input_shape": (32, 32, 3)})
    pooled = keras.Model(same_size.inputs, same_size.get_layer("pool").output)
    np.testing.assert_allclose(pooled.predict(images, verbose=0), expected, atol=2e-5)
    assert model.get_layer("resize").output.shape[1:3] == (32, 32)
    assert (model.provenance.source, model.provenance.backbone) == ("keras-hub", f"hub:{family}")
    assert len(model.provenance.sha256) == 64
    assert not model.get_layer("backbone").trainable_weights


@pytest.mark.parametrize("family", FAMILIES)
def test_without_pretraining_the_weights_are_random_and_follow_the_seed(presets, family):
    backbone, folder = presets(family)
    models = [tk.build_transfer_model(f"hub:{folder}", pretrained=False, seed=seed, **SHAPE) for seed in (0, 0, 1)]
    first, again, other = ([*model.get_layer("backbone").get_weights()] for model in models)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for weights in (backbone.get_weights(), other):
        assert not all(np.array_equal(a, b) for a, b in zip(first, weights, strict=True))
    assert models[0].provenance.source == "random"
    assert models[0].get_layer("backbone").trainable_weights


@pytest.mark.parametrize(("pooling", "tokens"), [("avg", slice(5, None)), ("token", slice(0, 1)), (None, slice(0, 1))])
def test_pooling_of_tokens_can_be_chosen(presets, pooling, tokens, rng):
    backbone, folder = presets("dinov2")
    model = tk.build_transfer_model(f"hub:{folder}", pooling=pooling, **{**SHAPE, "input_shape": (32, 32, 3)})
    images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    pixels = images * np.array(SCALE, np.float32) + np.array(OFFSET, np.float32)
    expected = keras.ops.convert_to_numpy(backbone({"images": pixels}))[:, tokens].mean(axis=1)
    pooled = keras.Model(model.inputs, model.get_layer("pool").output)
    np.testing.assert_allclose(pooled.predict(images, verbose=0), expected, atol=2e-5)


def test_the_class_token_is_refused_where_there_is_none(presets):
    with pytest.raises(InvalidInputError, match="class token"):
        tk.build_transfer_model(f"hub:{presets('swin')[1]}", pooling="token", **SHAPE)


def test_dropout_is_off_where_pretrained(hub, tmp_path):
    backbone, _ = vit(hub, dropout_rate=0.5)
    backbone.save_to_preset(str(tmp_path / "noisy"))
    options = {"preprocessing": "tf", **SHAPE}
    quiet = tk.build_transfer_model(f"hub:{tmp_path / 'noisy'}", **options).get_layer("backbone")
    noisy = tk.build_transfer_model(f"hub:{tmp_path / 'noisy'}", pretrained=False, **options).get_layer("backbone")
    assert (quiet.dropout_rate, noisy.dropout_rate) == (0.0, 0.5)
    for mine, theirs in zip(quiet.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("family", [pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES])
def test_frozen_features_are_kept_found_loaded_tuned_and_exported(presets, family, data, tmp_path):
    name = f"hub:{presets(family)[1]}"
    model = tk.build_transfer_model(name, **SHAPE)
    run = tk.train(model, data, epochs=2, name="frozen", folder=tmp_path, verbose=False)
    assert run.model_info["engine"] in ("litert", "keras")
    again = tk.train(
        tk.build_transfer_model(name, **SHAPE), data, epochs=2, name="frozen", folder=tmp_path, verbose=False
    )
    assert again.phases == run.phases  # its times too, so it was found and not trained again
    loaded = tk.load_model(tmp_path / "frozen")
    expected = model.predict(data.test.images, verbose=0)
    np.testing.assert_allclose(loaded.predict(data.test.images, verbose=0), expected, atol=1e-6)
    before = loaded.get_layer("backbone").get_weights() if family != "mobilenet_v5" else None
    tuned = tk.fine_tune(loaded, data, head_epochs=1, epochs=1, name="tuned", verbose=False)
    assert tuned.status == "completed"
    if before is not None:
        assert not all(map(np.array_equal, before, loaded.get_layer("backbone").get_weights()))
    for suffix in ("keras", "tflite"):
        exported = tk.export(run, tmp_path / f"model.{suffix}", data=data)
        assert exported.difference < 1e-3
        assert len(tk.predict(exported.path, data.test.images[:2])) == 2
    # tf2onnx writes an invalid file of some (ViT's exact GELU); what is no right file is never left behind.
    with contextlib.suppress(ExportError):
        assert tk.export(run, tmp_path / "model.onnx", data=data).difference < 1e-3


def test_another_size_is_taken_where_the_network_can(presets):
    assert tk.build_transfer_model(f"hub:{presets('dinov2')[1]}", image_size=48, **SHAPE).provenance.image_size == 48
    assert tk.build_transfer_model(f"hub:{presets('efficientnet_lite')[1]}", image_size=40, **SHAPE)
    with pytest.raises(InvalidInputError, match=r"cannot see images of 48 pixels .* Leave image_size out for 32"):
        tk.build_transfer_model(f"hub:{presets('vit')[1]}", image_size=48, **SHAPE)


def test_a_preset_without_a_converter_needs_preprocessing(hub, tmp_path):
    vit(hub)[0].save_to_preset(str(tmp_path / "bare"))
    with pytest.raises(InvalidInputError, match="preprocessing="):
        tk.build_transfer_model(f"hub:{tmp_path / 'bare'}", **SHAPE)
    model = tk.build_transfer_model(f"hub:{tmp_path / 'bare'}", preprocessing="unit", **SHAPE)
    assert model.provenance.image_size == 32


def test_what_is_no_preset_is_told(hub, presets, tmp_path):
    with pytest.raises(UnknownNameError, match="vit_base_patch16_224_imagenet"):
        tk.build_transfer_model("hub:vit_base_patch16_224_imagenett")
    with pytest.raises(WeightsError, match="TRANSFERKIT_OFFLINE"):
        tk.build_transfer_model("hub:vit_base_patch16_224_imagenet")
    with pytest.raises(WeightsError, match="cannot load the preset"):
        tk.build_transfer_model(f"hub:{tmp_path}")
    with pytest.raises(InvalidInputError, match="width"):
        tk.build_transfer_model(f"hub:{presets('vit')[1]}", width=0.5)
    text = hub.models.BertBackbone(vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4)
    text.save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(InvalidInputError, match="backbone of images"):
        tk.build_transfer_model(f"hub:{tmp_path / 'bert'}")


def test_a_missing_package_is_told_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'transferkit\[hub\]'"):
        tk.build_transfer_model("hub:vit_base_patch16_224_imagenet")


@pytest.mark.parametrize(
    ("name", "module", "registered"),
    [
        ("ViTBackbone", "keras_hub.src.models.vit.vit_backbone", "other>ViTBackbone"),
        ("ViTBackbone", "keras_hub.src.models.vit.vit_backbone.more", "keras_hub>ViTBackbone"),
        ("ViTBackbone", "my_keras_hub.src.models.vit.vit_backbone", "keras_hub>ViTBackbone"),
        ("BertTokenizer", "keras_hub.src.models.bert.bert_tokenizer", "keras_hub>BertTokenizer"),
        ("system", "os", None),
    ],
)
def test_only_backbones_are_loaded_from_a_run(name, module, registered):
    assert not is_hub_backbone(name, module, registered)
    assert is_hub_backbone("ViTBackbone", "keras_hub.src.models.vit.vit_backbone", "keras_hub>ViTBackbone")


def test_a_classifier_of_kerashub_trains_and_is_compared(hub, data, tmp_path):
    backbone = hub.models.ViTBackbone(**{**TRANSFORMER, "patch_size": (8, 8), "image_shape": (24, 24, 3)}, mlp_dim=32)
    theirs = hub.models.ViTImageClassifier(backbone=backbone, num_classes=3, activation="softmax")
    before = theirs.get_weights()
    run = tk.train(theirs, data, epochs=1, name="theirs", folder=tmp_path, verbose=False)
    assert not all(map(np.array_equal, before, theirs.get_weights()))
    np.testing.assert_allclose(run.test_probabilities, theirs.predict(data.test.images, verbose=0), atol=1e-5)
    assert tk.evaluate(theirs, data.test).metrics["accuracy"] == run.metrics["accuracy"]
    ours = tk.train(tk.build_cnn(data.image_shape, 3, filters=(4, 8)), data, epochs=1, name="ours", verbose=False)
    assert [model.name for model in tk.compare_runs([run, ours]).models] == ["theirs", "ours"]


def test_a_classifier_of_kerashub_that_gives_logits_or_prepares_outside_is_told_the_cure(hub, data):
    backbone = hub.models.ViTBackbone(**{**TRANSFORMER, "patch_size": (8, 8), "image_shape": (24, 24, 3)}, mlp_dim=32)
    logits = hub.models.ViTImageClassifier(backbone=backbone, num_classes=3)
    with pytest.raises(InvalidInputError, match="activation='softmax'"):
        tk.train(logits, data, epochs=1, verbose=False)
    converter = hub.layers.ViTImageConverter(image_size=(24, 24), scale=1 / 255)
    outside = hub.models.ViTImageClassifier(
        backbone=backbone,
        num_classes=3,
        activation="softmax",
        preprocessor=hub.models.ViTImageClassifierPreprocessor(image_converter=converter),
    )
    with pytest.raises(InvalidInputError, match="preprocessor to None"):
        tk.train(outside, data, epochs=1, verbose=False)
