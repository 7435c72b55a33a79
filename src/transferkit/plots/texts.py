"""The words in plots, by language."""

from typing import Final

from transferkit.errors import UnknownNameError

LABELS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "accuracy": "Accuracy",
        "loss": "Loss",
        "epoch": "Epoch",
        "training": "training",
        "validation": "validation",
        "next_phase": "start of the next phase",
        "phase_head": "head",
        "phase_all": "all layers",
        "phase_train": "training",
        "test_accuracy": "Test accuracy, with 95% interval",
        "diverged": "diverged",
        "interrupted": "interrupted",
        "true_class": "True class",
        "predicted_class": "Predicted class",
        "confusion_title": "{accuracy} of {total:,} right",
    },
    "ko": {
        "accuracy": "정확도",
        "loss": "손실",
        "epoch": "에포크",
        "training": "학습",
        "validation": "검증",
        "next_phase": "다음 단계 시작",
        "phase_head": "헤드",
        "phase_all": "모든 층",
        "phase_train": "학습",
        "test_accuracy": "테스트 정확도와 95% 신뢰구간",
        "diverged": "발산",
        "interrupted": "중단됨",
        "true_class": "실제 클래스",
        "predicted_class": "예측 클래스",
        "confusion_title": "{total:,}장 중 {accuracy} 정답",
    },
}


def check_language(language: str) -> str:
    """Return `language` if its texts exist.

    Parameters
    ----------
    language : {"en", "ko"}
        English or Korean.

    Returns
    -------
    str
        The same.

    Raises
    ------
    UnknownNameError
        If there are no texts in that language.
    """
    if language not in LABELS:
        raise UnknownNameError("language", language, LABELS)
    return language
