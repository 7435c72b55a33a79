"""Filters, feature maps, occlusion and the map of images."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt

import transferkit as tk
from transferkit.errors import InvalidInputError, MissingDependencyError, UnknownNameError


@pytest.mark.parametrize("shape", [(5, 5, 1, 32), (3, 3, 3, 6), (1, 1, 8, 2), (3, 3, 1, 200)])
def test_filters_of_every_kind_are_drawn(rng, shape):
    figure = tk.plot_filters(rng.normal(size=shape), title="filters")
    drawn = [ax for ax in figure.axes if ax.images]
    assert len(drawn) == min(shape[3], 64)
    assert drawn[0].images[0].get_array().shape[:2] == shape[:2]


def test_a_zero_weight_is_medium_grey(rng):
    figure = tk.plot_filters({"edge": tk.hand_designed_filters()["sobel_x"]})
    shown = figure.axes[0].images[0].get_array()
    assert shown[0, 1] == 0.5
    assert (shown.min(), shown.max()) == (0, 1)
    assert figure.axes[0].get_title() == "edge"


def test_feature_maps_share_one_scale(rng):
    figure = tk.plot_feature_maps(rng.random((7, 7, 10)))
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert len(limits) == 1


def test_an_all_white_filter_has_a_frame():
    figure = tk.plot_filters({"blur": tk.hand_designed_filters()["blur"]})
    (ax,) = figure.axes
    assert ax.axison
    assert all(spine.get_visible() and spine.get_edgecolor() != (1, 1, 1, 1) for spine in ax.spines.values())


def test_named_maps_are_each_on_a_scale_of_their_own():
    figure = tk.plot_feature_maps({"signed": np.array([[-2.0, 0.0, 1.0]]), "positive": np.array([[0.0, 30.0, 60.0]])})
    assert [ax.get_title() for ax in figure.axes] == ["signed", "positive"]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0, 0.5, 0.75]])
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), [[0, 0.5, 1]])


def test_occlusion_is_laid_over_the_whole_image():
    ax = tk.plot_occlusion(np.zeros((28, 28, 1), np.uint8), np.eye(4))
    assert ax.images[1].get_extent() == [-0.5, 27.5, 27.5, -0.5]
    given = plt.subplots()[1]
    assert tk.plot_occlusion(np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2)), ax=given) is given


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_every_image_is_a_point_in_its_classes_colour(digits, method):
    if method == "umap":
        pytest.importorskip("umap")
    images, labels = digits.test.images[:60], digits.test.labels[:60]
    ax = tk.plot_feature_space(images.reshape(60, -1), labels, digits.class_names, method=method)
    assert sum(len(points.get_offsets()) for points in ax.collections) == 60
    assert len(ax.collections) == len(np.unique(labels))


def test_wrong_input_is_refused(rng):
    for wrong in (np.zeros((3, 3)), np.zeros((3, 3, 1, 0)), {}, {"a": np.zeros(3)}):
        with pytest.raises(InvalidInputError):
            tk.plot_filters(wrong)
    with pytest.raises(InvalidInputError, match="columns"):
        tk.plot_filters(rng.random((3, 3, 1, 4)), columns=0)
    for wrong in ({}, {"a": np.zeros((2, 2, 2))}):
        with pytest.raises(InvalidInputError, match="mapping of maps"):
            tk.plot_feature_maps(wrong)
    with pytest.raises(InvalidInputError, match="maps\\[0\\]"):
        tk.plot_feature_maps(np.zeros((2, 3, 3, 4)))
    with pytest.raises(InvalidInputError, match="one label each"):
        tk.plot_feature_space(np.zeros((6, 2)), np.zeros(5, int), ["a"])
    with pytest.raises(UnknownNameError, match="Known: pca, tsne, umap"):
        tk.plot_feature_space(np.zeros((6, 2)), np.zeros(6, int), ["a"], method="mds")


def test_umap_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r"transferkit\[umap\]"):
        tk.plot_feature_space(np.eye(6), np.zeros(6, int), ["a"], method="umap")
