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
        "test_accuracy": "Test accuracy, with 95% interval",
        "test_accuracy_seeds": "Test accuracy: mean over seeds (small dots), with 95% interval",
        "seed_count": " ({count} seeds)",
        "seed_name": "{name} ({count} seeds)",
        "seed_band": "band: lowest to highest seed",
        "labels_per_class": "Labels per class",
        "accuracy_of_seeds": "Test accuracy: seeds, mean and 95% interval",
        "diverged": "diverged",
        "interrupted": "interrupted",
        "true_class": "True class",
        "predicted_class": "Predicted class",
        "confusion_title": "{accuracy} of {total:,} right",
        "training_time": "Training time",
        "latency": "Prediction time for one image",
        "parameters": "Parameters",
        "accuracy_interval": "Test accuracy",
        "not_recorded": "not recorded: {names}",
        "confidence": "Confidence (probability of the predicted class)",
        "bin_accuracy": "Accuracy",
        "calibration_error": "Calibration error {value}",
        "perfect": "confidence = accuracy",
        "bin_counts": "test images",
        "test_images": "Test images (share of the true class)",
        "confused_pair": "{truth} → {predicted}",
        "only_right": "Only {letter} is right: {count:,} of {total:,} images",
        "worst_errors": "{name}: the most confident of {count:,} errors on {total:,} test images",
        "truth": "truth: {name}",
        "ours": "measured, with 95% interval",
        "ours_column": "measured",
        "published_column": "published",
        "published": "published",
        "not_credible": "published, not credible",
    },
    "ko": {
        "accuracy": "정확도",
        "loss": "손실",
        "epoch": "에포크",
        "training": "학습",
        "validation": "검증",
        "next_phase": "다음 단계 시작",
        "test_accuracy": "테스트 정확도와 95% 신뢰구간",
        "test_accuracy_seeds": "테스트 정확도: 시드별 값(작은 점)의 평균과 95% 신뢰구간",
        "seed_count": " (시드 {count}개)",
        "seed_name": "{name} (시드 {count}개)",
        "seed_band": "띠: 시드 중 최솟값 ~ 최댓값",
        "labels_per_class": "클래스당 레이블 수",
        "accuracy_of_seeds": "테스트 정확도: 시드별 값, 평균과 95% 신뢰구간",
        "diverged": "발산",
        "interrupted": "중단됨",
        "true_class": "실제 클래스",
        "predicted_class": "예측 클래스",
        "confusion_title": "{total:,}장 중 {accuracy} 정답",
        "training_time": "학습 시간",
        "latency": "이미지 한 장의 예측 시간",
        "parameters": "파라미터 수",
        "accuracy_interval": "테스트 정확도",
        "not_recorded": "기록 없음: {names}",
        "confidence": "확신도(예측한 클래스의 확률)",
        "bin_accuracy": "정확도",
        "calibration_error": "보정 오차(calibration error) {value}",
        "perfect": "확신도 = 정확도",
        "bin_counts": "테스트 이미지 수",
        "test_images": "테스트 이미지 수(실제 클래스 중 비율)",
        "confused_pair": "{truth} ⟶ {predicted}",
        "only_right": "{letter}만 맞힌 이미지: {total:,}장 중 {count:,}장",
        "worst_errors": "{name}: 테스트 이미지 {total:,}장 중 오답 {count:,}장에서 확신도가 가장 높은 것",
        "truth": "정답: {name}",
        "ours": "직접 측정한 값과 95% 신뢰구간",
        "ours_column": "측정",
        "published_column": "발표",
        "published": "발표된 값",
        "not_credible": "발표된 값(신뢰하기 어려움)",
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
