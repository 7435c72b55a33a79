"""The words for what is counted by name: columns, settings, phases, states, methods, verdicts."""

from typing import Final

from transferkit.statistics.verdicts import Method, Verdict
from transferkit.translation import mark

COLUMNS: Final = {
    "accuracy": mark("Test accuracy (95% interval)"),
    "seeds": mark("Seeds"),
    "accuracy_sd": mark("SD over seeds (points)"),
    "seed_interval": mark("95% interval over seeds alone"),
    "difference": mark("Difference (points)"),
    "loss": mark("Test loss"),
    "f1_macro": mark("Macro F1"),
    "balanced_accuracy": mark("Balanced accuracy"),
    "parameters": mark("Parameters"),
    "trainable_parameters": mark("Trainable parameters"),
    "train_seconds": mark("Training time"),
    "images_per_second": mark("Images/s"),
    "overfit_gap": mark("Overfit gap (points)"),
    "train_size": mark("Training images"),
    "validation_size": mark("Validation images"),
    "labels_per_class": mark("Labels per class"),
    "image_size": mark("Backbone's image size"),
    "epochs": mark("Epochs"),
    "augment": mark("Augmentation"),
    "tuning_trials": mark("Settings tried"),
    "selection": mark("Epoch chosen by"),
}

CONDITIONS: Final = {
    "train_size": mark("training images"),
    "validation_size": mark("validation images"),
    "labels_per_class": mark("labels per class"),
    "image_size": mark("image size"),
    "epochs": mark("epochs"),
    "augment": mark("augmentation"),
    "tuning_trials": mark("settings tried"),
    "selection": mark("how the epoch was chosen"),
    "learning_rate": mark("learning rate"),
    "batch_size": mark("batch size"),
    "optimizer": mark("optimizer"),
    "loss": mark("loss"),
    "schedule": mark("learning-rate schedule"),
    "label_smoothing": mark("label smoothing"),
    "class_weight": mark("class weights"),
    "average_weights": mark("averaging of weights"),
    "early_stopping": mark("early stopping"),
    "layer_decay": mark("layer-wise decay of the learning rate"),
    "temperature": mark("temperature"),
    "test_time_augment": mark("averaging over mirror images"),
}
"""In what trainings may differ, within a sentence."""

SELECTIONS: Final = {
    "validation": mark("validation data"),
    "last": mark("last epoch"),
    "test": mark("test data"),
    "none": mark("none"),
}

PHASES: Final = {
    "head": mark("head only, backbone frozen"),
    "all": mark("all layers"),
    "upper layers": mark("upper layers"),
    "train": mark("training"),
    "logistic": mark("softmax layer by logistic regression"),
}

RECIPE: Final = {
    "epochs": mark("epochs {value}"),
    "batch_size": mark("batch size {value}"),
    "optimizer": mark("optimizer {value}"),
    "learning_rate": mark("learning rate {value}"),
    "schedule": mark("learning-rate schedule {value}"),
    "warmup_epochs": mark("warm-up epochs {value}"),
    "label_smoothing": mark("label smoothing {value}"),
    "weight_decay": mark("weight decay {value}"),
    "layer_decay": mark("layer-wise decay of the learning rate {value}"),
    "average_weights": mark("moving average of the weights {value}"),
    "matmul_precision": mark("matrix products in {value}"),
    "batchnorm_images": mark("BatchNorm statistics from up to {value} training images"),
    "temperature": mark("temperature {value}"),
    "test_time_augment": mark("predictions averaged over images with and without {value}"),
}
"""In the order in which a recipe is told."""

CHOICES: Final = {
    "validation": mark("epoch {epoch} chosen on validation"),
    "last": mark("last epoch, nothing chosen"),
    "test": mark("epoch {epoch} chosen on TEST data"),
}

ORIGINS: Final = {
    "keras-cache": mark("Keras's cache"),
    "offline-wheel": mark("the installed offline package"),
    "download": mark("Keras's download"),
}

METHODS: Final[dict[str, str]] = {
    Method.MCNEMAR: mark("exact McNemar test"),
    Method.WELCH: mark("Welch's t test, seeds and test images counted"),
    Method.PAIRED_T: mark("paired t test, seeds and test images counted"),
    Method.CORRECTED_T: mark("corrected t test over folds"),
    Method.ONE_AGAINST_SEVERAL: mark("McNemar test, one trained model against the mean of several"),
}

SHORT_VERDICTS: Final[dict[str, str]] = {
    Verdict.A_BETTER: mark("{a} better"),
    Verdict.B_BETTER: mark("{b} better"),
    Verdict.BETTER: mark("better"),
    Verdict.WORSE: mark("worse"),
    Verdict.EQUAL: mark("practically equal"),
    Verdict.UNDECIDED: mark("undecided"),
    Verdict.TOO_FEW_SEEDS: mark("too few seeds"),
}
"""For a cell."""
