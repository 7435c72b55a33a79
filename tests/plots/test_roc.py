"""ROC and precision-recall curves against scikit-learn, and what has none."""

from dataclasses import replace

import numpy as np
import pytest

import transferkit as tk
from transferkit.errors import InvalidInputError, UnknownNameError


@pytest.fixture
def made(rng):
    def make(name, skill, seed=0, **options):
        labels = (np.arange(200) % 5 == 0).astype(int)
        sure = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + rng.normal(0, 1, 200))))
        fields = {"test_probabilities": np.column_stack([1 - sure, sure]), "test_labels": labels}
        return tk.Run(name=name, class_names=("cat", "dog"), seed=seed, **fields | options)

    return make


@pytest.mark.parametrize("curve", ["roc", "precision_recall"])
def test_lines_and_areas_are_scikit_learns(made, curve):
    from sklearn import metrics

    runs = [made("good", 1.5), made("poor", 0.3)]
    ax = tk.plot_roc(runs, curve=curve)
    for run, line, text in zip(runs, ax.lines, ax.get_legend().get_texts(), strict=False):
        sure = run.test_probabilities[:, 1].astype(float)
        if curve == "roc":
            x, y, _ = metrics.roc_curve(run.test_labels, sure)
            area = metrics.roc_auc_score(run.test_labels, sure)
        else:
            y, x, _ = metrics.precision_recall_curve(run.test_labels, sure)
            area = metrics.average_precision_score(run.test_labels, sure)
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), y)
        assert text.get_text() == f"{run.name} (area {area:.3f})"
    chance = ax.lines[-1].get_ydata()
    assert list(chance) == ([0, 1] if curve == "roc" else [0.2, 0.2])


def test_seeds_share_a_colour_and_one_entry(made):
    ax = tk.plot_roc({"CNN": [made("x", 1.0, seed) for seed in range(3)]}, language="ko")
    assert len({line.get_color() for line in ax.lines[:3]}) == 1
    assert len(ax.get_legend().get_texts()) == 1


@pytest.mark.parametrize("name", ["_hidden", "$x$", "a" * 1_000])
def test_any_name_is_drawn_as_it_is_read(made, name):
    ax = tk.plot_roc(replace(made(name, 1.0), class_names=("no", name)))
    ax.figure.canvas.draw()
    (text,) = (text.get_text() for text in ax.get_legend().get_texts())
    for shown in (text, ax.get_ylabel()):
        assert name[:20] in shown.replace(r"\$", "$")
        assert shown.count("$") == shown.count(r"\$")
        assert len(shown) < 100


def test_more_classes_one_class_and_unknown_curves_are_refused(made, fine, diverged):
    with pytest.raises(InvalidInputError, match="of two"):
        tk.plot_roc(fine)
    with pytest.raises(InvalidInputError, match="of two"):
        tk.plot_roc(made("x", 1.0, test_labels=np.zeros(200, int)))
    with pytest.raises(InvalidInputError, match="no run is completed"):
        tk.plot_roc(diverged)
    with pytest.raises(UnknownNameError, match="curve"):
        tk.plot_roc(made("x", 1.0), curve="det")
