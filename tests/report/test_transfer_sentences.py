"""Did transfer help? The answer stands first, with interval, cost and test, in both languages."""

import re
from dataclasses import replace

import pytest

from transferkit.report.comparison import compare_runs
from transferkit.report.label_curve import efficiency_curve


def test_the_first_line_answers_the_question(transfer_runs):
    comparison = compare_runs(transfer_runs)
    pretraining, freezing, *others = comparison.verdict.splitlines()
    assert re.match(
        r"Transfer helped: pretrained and fine-tuned, “fine-tuned” is 60\.\d points better in test accuracy \(95% interval "
        r"5\d\.\d to 6\d\.\d\) than the same network from scratch, “scratch”, at 0\.7 times the training time \(exact McNemar "
        r"test, p < 0\.001, Holm over 3 pairs < 0\.001\)\.",
        pretraining,
    )
    assert freezing.startswith("Fine-tuning helped: “fine-tuned” is ")
    assert ", at 14 times the training time and 300 times the trainable parameters (" in freezing
    assert others == ["This compares these trained models, not the recipes that made them."]


def test_korean_says_the_same(transfer_runs):
    first, second, _ = compare_runs(transfer_runs).sentence(language="ko").splitlines()
    assert first.startswith(
        "전이 학습이 도움이 되었습니다. 사전 학습 후 미세 조정한 “fine-tuned” 모델의 테스트 정확도가 "
    )
    assert first.endswith("학습 시간은 0.7배입니다.")
    assert second.startswith("미세 조정이 도움이 되었습니다. “fine-tuned” 모델")
    assert second.endswith("학습 시간은 14배, 학습되는 파라미터 수는 300배입니다.")


@pytest.mark.parametrize(
    ("pretrained", "scratch", "english", "korean"),
    [
        (1e-4, 0.1, "Transfer did not help: ", "도움이 되지 않았습니다"),
        (0.1, 0.11, "Whether transfer helped is undecided: ", "도움이 되었는지는 판단을 보류합니다"),
    ],
)
def test_every_answer_has_its_words(make_transfer, pretrained, scratch, english, korean):
    runs = [make_transfer("new", pretrained), make_transfer("old", scratch, source="random")]
    comparison = compare_runs(runs)
    assert comparison.verdict.startswith(english)
    assert korean in comparison.sentence(language="ko")
    if "not help" in english:
        assert re.search(r"is 60\.\d points worse in test accuracy \(95% interval 5\d\.\d to 6", comparison.verdict)


def test_equal_models_are_said_to_be_equal(make_transfer):
    runs = [make_transfer("new", 0.1), make_transfer("old", 0.1, source="random")]
    comparison = compare_runs(runs, margin=0.2)
    assert comparison.verdict.startswith("Transfer made practically no difference (within ±20 points): ")
    assert "사실상 차이가 없습니다(±20%p 이내)" in comparison.sentence(language="ko")


def test_other_recipes_are_named_in_the_sentence_itself(transfer_runs):
    scratch, *others = transfer_runs
    longer = replace(scratch, recipe=scratch.recipe | {"learning_rate": 0.1, "batch_size": 8})
    comparison = compare_runs([longer, *others])
    assert "They also differ in learning rate and batch size, so part of it may come from that." in comparison.verdict
    assert "학습 조건도 서로 다르므로(학습률, 배치 크기)" in comparison.sentence(language="ko")


def test_on_other_hardware_no_times_are_compared(transfer_runs):
    scratch, *others = transfer_runs
    elsewhere = replace(scratch, environment=scratch.environment | {"accelerator": "NVIDIA"})
    first = compare_runs([elsewhere, *others]).verdict.splitlines()[0]
    assert first.startswith("Transfer helped: ")
    assert "times the training time" not in first


def test_models_that_saw_the_same_images_answer_before_better_ones(transfer_runs, make_transfer, provenance):
    larger = make_transfer("larger", 0.2)
    larger = replace(
        larger, model_info=larger.model_info | {"provenance": provenance | {"source": "download", "image_size": 96}}
    )
    first = compare_runs([*transfer_runs, larger]).verdict.splitlines()[0]
    assert "“fine-tuned”" in first


def test_each_architecture_has_its_answer(transfer_runs, make_transfer, provenance):
    def other(name, strength, source):
        run = make_transfer(name, strength, source)
        info = run.model_info | {"provenance": provenance | {"source": source, "backbone": "resnet50"}}
        return replace(run, model_info=info)

    runs = [*transfer_runs, other("resnet", 0.2, "download"), other("empty resnet", 2e-4, "random")]
    lines = compare_runs(runs).verdict.splitlines()
    assert [line.split(" “")[0] for line in lines[:3]] == [
        "Transfer helped: pretrained and fine-tuned,",
        "Transfer helped: pretrained and fine-tuned,",
        "Fine-tuning helped:",
    ]
    assert ["“empty resnet”" in line for line in lines[:2]].count(True) == 1


def test_the_best_model_is_named_besides(transfer_runs, make_run):
    lines = compare_runs([make_run("CNN", 1.0), *transfer_runs]).verdict.splitlines()
    assert lines[0].startswith("Transfer helped")
    assert "“CNN”" in lines[2]


def test_without_the_pair_there_is_no_such_sentence(weak, strong):
    assert "ransfer" not in compare_runs([weak, strong]).verdict


def test_seeds_are_counted(make_transfer):
    runs = [
        make_transfer(name, strength * (1 + seed / 10), source=source, seed=seed, key=f"{name} {seed}")
        for name, strength, source in (("new", 0.1, "download"), ("old", 1e-4, "random"))
        for seed in range(3)
    ]
    lines = compare_runs(runs).verdict.splitlines()
    assert lines[0].startswith("Transfer helped: pretrained and fine-tuned, “new” is ")
    assert lines[-1] == "This compares the recipes: it counts what other seeds and other test images would change."


def test_a_label_curve_answers_it_too(make_transfer):
    runs = [
        make_transfer(
            name,
            strength * (1 + seed / 10),
            source=source,
            seed=seed,
            key=f"{name} {seed} {labels}",
            dataset={"test_fingerprint": "b", "train_fingerprint": f"{labels} {seed}", "labels_per_class": labels},
        )
        for name, strength, source in (("new", 0.1, "download"), ("old", 1e-4, "random"))
        for labels in (10, 100)
        for seed in range(3)
    ]
    curve = efficiency_curve(runs, baseline="old")
    start = "Transfer helped at every number of labels per class tried, 10 to 100: “new” is better than the same network from scratch, “old” (10: +"
    assert curve.verdict.startswith(start)
    assert curve.to_markdown().split("\n\n")[1].startswith(f"**{start}")
    assert curve.sentence("ko").startswith(
        "시험한 모든 레이블 수(클래스당 10~100개)에서 전이 학습이 도움이 되었습니다. “new” 방법이 "
    )
    assert "Transfer helped" in curve._repr_html_()
    assert "<table" in curve._repr_html_()
