"""The table, the verdict, and that all of it works without Keras."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from transferkit.errors import InvalidInputError, UnknownNameError
from transferkit.report.comparison import compare_runs
from transferkit.runs.run import Run


def test_table_holds_plain_numbers(weak, strong):
    table = compare_runs([weak, strong]).table
    accuracy = [float(np.mean(r.test_probabilities.argmax(1) == r.test_labels)) for r in (weak, strong)]
    assert table["accuracy"].tolist() == pytest.approx(accuracy)
    assert table["difference"].tolist() == pytest.approx([0, accuracy[1] - accuracy[0]])
    assert table["overfit_gap"].tolist() == pytest.approx([0.99 - a for a in accuracy])
    assert table["train_seconds"].tolist() == [3.0, 3.0]
    assert table["images_per_second"].tolist() == pytest.approx([5000 / 3] * 2)
    assert table["epochs"].tolist() == [5, 5]
    for name in ("accuracy", "accuracy_low", "loss", "parameters", "trainable_parameters", "overfit_gap"):
        assert table[name].dtype.kind in "fi"


@pytest.mark.parametrize("margin", ["0.005", None, 0, 1, 5, float("nan")])
def test_margin_must_be_a_fraction(weak, margin):
    with pytest.raises(InvalidInputError, match="margin"):
        compare_runs([weak], margin=margin)


def test_one_test_image_is_compared_and_leaves_everything_open():
    def run(name, seed):
        return Run(
            name=name,
            class_names=("cat", "dog"),
            test_probabilities=[[1.0, 0.0]],
            test_labels=[0],
            seed=seed,
            key=f"{name} {seed}",
            dataset={"test_fingerprint": "one"},
        )

    runs = [run(name, seed) for name in "ab" for seed in range(2)]
    for given in (runs, runs[:3]):
        assert compare_runs(given).tests["verdict"].tolist() == ["undecided"]


def test_interval_is_wilsons(weak):
    from statsmodels.stats.proportion import proportion_confint

    row = compare_runs([weak]).table.loc["weak"]
    n = len(weak.test_labels)
    expected = proportion_confint(round(row["accuracy"] * n), n, method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(expected)


def test_baseline_may_be_chosen(weak, strong):
    comparison = compare_runs({"a": weak, "b": strong}, baseline="b")
    assert comparison.baseline == "b"
    assert comparison.table.loc["b", "difference"] == 0
    assert comparison.table.loc["a", "difference"] < 0


@pytest.mark.parametrize("margin", [0, -0.1, 1, float("nan")])
def test_senseless_margin_is_refused(weak, strong, margin):
    with pytest.raises(InvalidInputError, match="margin"):
        compare_runs([weak, strong], margin=margin)


def test_runs_selected_on_test_are_not_tested(weak, strong):
    assert compare_runs([weak, replace(strong, selection="test")]).tests.empty


def test_same_seed_same_report_and_global_chance_untouched(weak, strong):
    np.random.seed(5)  # noqa: NPY002 - the global state is what is watched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (compare_runs([weak, strong], seed=3).to_markdown() for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    other = compare_runs([weak, strong], seed=4).tests
    assert other["loss_low"][0] != compare_runs([weak, strong], seed=3).tests["loss_low"][0]


def test_a_single_test_image_is_enough(weak):
    one = replace(weak, test_probabilities=weak.test_probabilities[:1], test_labels=weak.test_labels[:1])
    assert len(compare_runs([one]).to_html()) > 1000


def test_runs_are_read_from_a_folder(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / "my runs" / run.name)
    for folder in (tmp_path / "my runs", str(tmp_path / "my runs")):
        comparison = compare_runs(folder, baseline="weak")
        assert comparison.table["accuracy"].tolist() == compare_runs([strong, weak]).table["accuracy"].tolist()


def test_global_random_state_and_plot_settings_are_untouched(weak, strong):
    import matplotlib as mpl

    state, settings = np.random.get_state()[1].copy(), dict(mpl.rcParams)  # noqa: NPY002
    comparison = compare_runs([weak, strong])
    comparison.plot(language="ko")
    comparison.to_html(language="ko")
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert dict(mpl.rcParams) == settings


@pytest.mark.long
def test_the_same_runs_give_the_same_report(weak, strong):
    first, second = (compare_runs([weak, strong]) for _ in range(2))
    assert first.to_html() == second.to_html()
    assert first.to_markdown("ko") == second.to_markdown("ko")


@pytest.mark.long
def test_saved_runs_are_compared_and_drawn_without_keras(tmp_path, weak, strong):
    for run in (weak, strong):
        run.save(tmp_path / "runs" / run.name)
    code = f"""
import sys
for name in ("keras", "tensorflow"):
    sys.modules[name] = None
from transferkit.report.comparison import compare_runs
from transferkit.plots.confusion import plot_confusion
comparison = compare_runs({str(tmp_path / "runs")!r})
comparison.to_html({str(tmp_path / "report.html")!r}, language="ko")
comparison.to_markdown(), comparison.to_latex(), comparison.plot(), repr(comparison)
plot_confusion(comparison.runs[0])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert "<!DOCTYPE html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def unbalanced(weak, strong):
    keep = (weak.test_labels != 0) | (np.arange(len(weak.test_labels)) % 5 == 0)
    return [
        replace(run, test_labels=run.test_labels[keep], test_probabilities=run.test_probabilities[keep])
        for run in (weak, strong)
    ]


def test_unequal_classes_show_what_the_most_frequent_one_alone_would_score(weak, strong):
    from sklearn.metrics import balanced_accuracy_score, f1_score

    runs = unbalanced(weak, strong)
    comparison = compare_runs(runs)
    labels, found = runs[0].test_labels, comparison.most_frequent
    assert comparison.class_counts == {str(i): int((labels == i).sum()) for i in range(10)}
    always = np.full(len(labels), int(found.name))
    assert found.accuracy == pytest.approx(np.mean(labels == always))
    assert found.low < found.accuracy < found.high
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, always))
    assert found.f1_macro == pytest.approx(f1_score(labels, always, average="macro"))
    for run in runs:
        expected = balanced_accuracy_score(labels, run.test_predictions)
        assert comparison.table.loc[run.name, "balanced_accuracy"] == pytest.approx(expected)
    assert compare_runs([weak, strong]).most_frequent is None


def test_models_that_cost_more_and_are_worse_are_beaten(weak, strong):
    def took(run, seconds):
        return replace(run, phases=[{"name": "train", "seconds": seconds, "images": 100}])

    front = compare_runs([took(weak, 10.0), took(strong, 5.0)]).pareto()
    assert front.index.tolist() == ["strong", "weak"]
    assert front["on_front"].tolist() == [True, False]
    assert front.loc["weak", "beaten_by"] == "strong"
    cheap = compare_runs([took(weak, 1.0), took(strong, 5.0)]).pareto()
    assert cheap["on_front"].all()
    assert not any(cheap["beaten_by"])
    with pytest.raises(UnknownNameError, match="cost"):
        compare_runs([weak]).pareto("money")
    assert compare_runs([replace(weak, phases=[])]).pareto().empty
