"""Confused pairs, disagreements and worst errors: the right images, and only those of the run."""

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, RunError, UnknownNameError
from transferkit.plots.confused_pairs import find_confused_pairs, plot_confused_pairs
from transferkit.plots.disagreements import find_disagreements, plot_disagreements
from transferkit.plots.worst_errors import find_worst_errors, plot_worst_errors


def tiles(figure):
    return [ax for ax in figure.axes if ax.images]


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def test_most_confused_pairs_are_the_largest_cells_off_the_diagonal(coarse):
    predicted = coarse.test_probabilities.argmax(axis=1)
    pairs = find_confused_pairs(coarse)
    assert sum(count for *_, count, _ in pairs) == (predicted != coarse.test_labels).sum()
    assert [count for *_, count, _ in pairs] == sorted((count for *_, count, _ in pairs), reverse=True)
    for i, j, count, share in pairs:
        assert i != j
        assert count == ((coarse.test_labels == i) & (predicted == j)).sum()
        assert share == pytest.approx(count / (coarse.test_labels == i).sum())
    ax = plot_confused_pairs(coarse, count=5)
    assert [bar.get_width() for bar in ax.patches] == [count for *_, count, _ in pairs[:5]]
    first = f"{coarse.class_names[pairs[0][0]]} → {coarse.class_names[pairs[0][1]]}"
    assert ax.get_yticklabels()[0].get_text() == first
    assert f"{pairs[0][2]:,} ({pairs[0][3]:.1%})" in [text.get_text() for text in ax.texts]


def test_worst_errors_are_wrong_and_the_most_confident_first(coarse, digits):
    places = find_worst_errors(coarse)
    confidence = coarse.test_probabilities.max(axis=1)
    wrong = coarse.test_probabilities.argmax(axis=1) != coarse.test_labels
    assert sorted(places) == np.flatnonzero(wrong).tolist()
    assert (np.diff(confidence[places]) <= 0).all()
    figure = plot_worst_errors(coarse, digits, count=3)
    assert len(tiles(figure)) == 3
    for ax, place in zip(tiles(figure), places, strict=False):
        np.testing.assert_array_equal(shown(ax), digits.test.images[place, ..., 0])
        assert ax.get_title() == f"truth: {coarse.test_labels[place]}"
        assert ax.get_xlabel() == f"{coarse.test_probabilities[place].argmax()} {confidence[place]:.1%}"


def test_disagreements_are_drawn_both_ways(fine, coarse, digits):
    only_fine, only_coarse = find_disagreements(fine, coarse)
    right = [run.test_probabilities.argmax(axis=1) == run.test_labels for run in (fine, coarse)]
    assert sorted(only_fine) == np.flatnonzero(right[0] & ~right[1]).tolist()
    assert sorted(only_coarse) == np.flatnonzero(right[1] & ~right[0]).tolist()
    figure = plot_disagreements(fine, coarse, digits, count=2)
    drawn = tiles(figure)
    places = [*only_fine[:2], *only_coarse[:2]]
    assert len(drawn) == len(places)
    for ax, place in zip(drawn, places, strict=True):
        np.testing.assert_array_equal(shown(ax), digits.test.images[place, ..., 0])
        lines = ax.get_xlabel().split("\n")
        for line, letter, run in zip(lines, "AB", (fine, coarse), strict=True):
            assert line.startswith(f"{letter}: {run.test_probabilities[place].argmax()} ")
    headings = [part.get_suptitle() for part in figure.subfigs]
    assert headings[0] == f"Only A is right: {len(only_fine)} of {len(fine.test_labels)} images"
    korean = plot_disagreements(coarse, fine, digits.test.images[..., 0], language="ko")
    assert korean.subfigs[0].get_suptitle().startswith("A만 맞힌 이미지")


def test_a_title_of_two_lines_and_many_rows_are_inside_the_figure(fine, coarse, digits):
    figure = plot_disagreements(fine, coarse, digits, count=10)
    figure.canvas.draw()
    for ax in tiles(figure):
        box = ax.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_other_images_than_those_of_the_run_are_refused(fine, make_run, digits):
    images = digits.test.images
    recorded = make_run("recorded", 4, dataset=digits.describe())
    assert plot_worst_errors(recorded, images, count=1)
    assert plot_worst_errors(recorded, digits, count=1)
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    with pytest.raises(RunError, match="not the images that run 'recorded' was tested on"):
        plot_worst_errors(recorded, changed)
    with pytest.raises(RunError, match="not the images"):
        plot_disagreements(fine, recorded, images[::-1])
    with pytest.raises(InvalidInputError, match="tested on 597 images; got 596"):
        plot_worst_errors(recorded, images[1:])
    with pytest.raises(InvalidInputError, match="already scaled"):
        plot_worst_errors(recorded, images / 255)
    with pytest.raises(RunError, match="not the images"):  # a dataset whose labels differ, without a fingerprint
        plot_worst_errors(make_run("shifted", 4, test_labels=np.roll(recorded.test_labels, 1)), digits)


def test_nothing_to_draw_and_wrong_arguments_are_errors(fine, coarse, diverged, make_run, digits):
    perfect = make_run("perfect", test_probabilities=np.eye(10)[fine.test_labels])
    with pytest.raises(InvalidInputError, match="'perfect' makes no error"):
        plot_confused_pairs(perfect)
    with pytest.raises(InvalidInputError, match="'perfect' makes no error"):
        plot_worst_errors(perfect, digits)
    with pytest.raises(InvalidInputError, match="right on the same images"):
        plot_disagreements(fine, fine, digits)
    with pytest.raises(RunError, match="'broken' has no test predictions"):
        plot_disagreements(fine, diverged, digits)
    renamed = make_run("renamed", class_names=[f"digit {i}" for i in range(10)])
    with pytest.raises(InvalidInputError, match="other classes"):
        plot_disagreements(coarse, renamed, digits)
    for draw in (plot_confused_pairs, lambda run, **k: plot_worst_errors(run, digits, **k)):
        with pytest.raises(InvalidInputError, match="count must be at least 1"):
            draw(coarse, count=0)
        with pytest.raises(UnknownNameError, match="language"):
            draw(coarse, language="fr")


def test_pictures_of_errors_name_the_files(make_run, digits):
    files = [
        f"class {label}/a rather long name of a photo {place:04} $x$.png"
        for place, label in enumerate(digits.test.labels)
    ]
    coarse, fine = (make_run(name, step=step, dataset={"test_files": files}) for name, step in (("c", 4), ("f", 1)))
    for ax, place in zip(tiles(plot_worst_errors(coarse, digits, count=5)), find_worst_errors(coarse), strict=False):
        assert ax.get_xlabel().endswith(f"{place:04} \\$x\\$.png")
    only_fine, _ = find_disagreements(fine, coarse)
    (first, *_) = tiles(plot_disagreements(fine, coarse, digits, count=2))
    assert first.get_xlabel().endswith(f"{only_fine[0]:04} \\$x\\$.png")
