"""Transfer learning on images with Keras, and an honest answer to whether it helped."""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from transferkit.progress import ask_for_quiet

if TYPE_CHECKING:
    from transferkit import errors as errors
    from transferkit.compare.published import published_results as published_results
    from transferkit.data.dataset import Dataset as Dataset
    from transferkit.data.dataset import Split as Split
    from transferkit.data.duplicates import Duplicates as Duplicates
    from transferkit.data.duplicates import find_duplicates as find_duplicates
    from transferkit.data.filters import filter_images as filter_images
    from transferkit.data.filters import hand_designed_filters as hand_designed_filters
    from transferkit.data.folders import load_image as load_image
    from transferkit.data.folders import load_image_folder as load_image_folder
    from transferkit.data.mnist import load_fashion_mnist as load_fashion_mnist
    from transferkit.data.mnist import load_mnist as load_mnist
    from transferkit.data.tables import load_image_table as load_image_table
    from transferkit.deploy.exporting import Exported as Exported
    from transferkit.deploy.exporting import export as export
    from transferkit.deploy.prediction import ImageClassifier as ImageClassifier
    from transferkit.deploy.prediction import predict as predict
    from transferkit.features.cache import clear_cache as clear_cache
    from transferkit.features.extraction import extract_features as extract_features
    from transferkit.features.inspection import conv_filters as conv_filters
    from transferkit.features.inspection import excitation_map as excitation_map
    from transferkit.features.inspection import layer_outputs as layer_outputs
    from transferkit.features.inspection import occlusion_map as occlusion_map
    from transferkit.features.loading import FeatureDataset as FeatureDataset
    from transferkit.features.loading import load_features as load_features
    from transferkit.features.mapping import FeatureMapper as FeatureMapper
    from transferkit.models.backbones import Backbone as Backbone
    from transferkit.models.backbones import backbone_info as backbone_info
    from transferkit.models.backbones import list_backbones as list_backbones
    from transferkit.models.baselines import build_baseline as build_baseline
    from transferkit.models.cnn import build_cnn as build_cnn
    from transferkit.models.freezing import freeze as freeze
    from transferkit.models.freezing import unfreeze as unfreeze
    from transferkit.models.googlenet import build_googlenet as build_googlenet
    from transferkit.models.health import DeadFeatures as DeadFeatures
    from transferkit.models.health import count_dead_features as count_dead_features
    from transferkit.models.saving import load_model as load_model
    from transferkit.models.transfer import build_transfer_model as build_transfer_model
    from transferkit.plots.accuracy import plot_accuracy as plot_accuracy
    from transferkit.plots.confused_pairs import plot_confused_pairs as plot_confused_pairs
    from transferkit.plots.confusion import plot_confusion as plot_confusion
    from transferkit.plots.convolution import plot_feature_maps as plot_feature_maps
    from transferkit.plots.convolution import plot_feature_space as plot_feature_space
    from transferkit.plots.convolution import plot_filters as plot_filters
    from transferkit.plots.convolution import plot_occlusion as plot_occlusion
    from transferkit.plots.cost import plot_cost as plot_cost
    from transferkit.plots.curves import plot_curves as plot_curves
    from transferkit.plots.disagreements import plot_disagreements as plot_disagreements
    from transferkit.plots.efficiency import plot_label_efficiency as plot_label_efficiency
    from transferkit.plots.published import plot_published as plot_published
    from transferkit.plots.reliability import plot_reliability as plot_reliability
    from transferkit.plots.roc import plot_roc as plot_roc
    from transferkit.plots.samples import plot_samples as plot_samples
    from transferkit.plots.worst_errors import plot_worst_errors as plot_worst_errors
    from transferkit.report.comparison import Comparison as Comparison
    from transferkit.report.comparison import compare_runs as compare_runs
    from transferkit.report.label_curve import EfficiencyCurve as EfficiencyCurve
    from transferkit.report.label_curve import efficiency_curve as efficiency_curve
    from transferkit.report.planning import Plan as Plan
    from transferkit.report.planning import plan_comparison as plan_comparison
    from transferkit.runs.calibration import apply_temperature as apply_temperature
    from transferkit.runs.calibration import calibrate as calibrate
    from transferkit.runs.calibration import fit_temperature as fit_temperature
    from transferkit.runs.loading import load_run as load_run
    from transferkit.runs.loading import load_runs as load_runs
    from transferkit.runs.run import Run as Run
    from transferkit.runs.without import AccuracyWithout as AccuracyWithout
    from transferkit.runs.without import accuracy_without as accuracy_without
    from transferkit.training.classifier import fit_classifier as fit_classifier
    from transferkit.training.cross_validation import cross_validate as cross_validate
    from transferkit.training.evaluation import Evaluation as Evaluation
    from transferkit.training.evaluation import evaluate as evaluate
    from transferkit.training.fitting import fine_tune as fine_tune
    from transferkit.training.fitting import train as train
    from transferkit.training.flips import average_flips as average_flips
    from transferkit.training.label_budgets import Arm as Arm
    from transferkit.training.label_budgets import train_label_budgets as train_label_budgets
    from transferkit.training.learning_rates import LearningRateRange as LearningRateRange
    from transferkit.training.learning_rates import find_learning_rate as find_learning_rate
    from transferkit.training.logistic_head import fit_head as fit_head
    from transferkit.training.repetition import repeat as repeat
    from transferkit.training.tuning import Tuned as Tuned
    from transferkit.training.tuning import tune as tune

__version__ = "0.1.0"

ask_for_quiet()

# Public name -> module that defines it. Imported on first use, so that `import transferkit` stays instant
# and saved runs can be compared without TensorFlow.
_EXPORTS = {
    "AccuracyWithout": "runs.without",
    "Arm": "training.label_budgets",
    "Backbone": "models.backbones",
    "Comparison": "report.comparison",
    "Dataset": "data.dataset",
    "DeadFeatures": "models.health",
    "Duplicates": "data.duplicates",
    "EfficiencyCurve": "report.label_curve",
    "Evaluation": "training.evaluation",
    "Exported": "deploy.exporting",
    "FeatureDataset": "features.loading",
    "FeatureMapper": "features.mapping",
    "ImageClassifier": "deploy.prediction",
    "LearningRateRange": "training.learning_rates",
    "Plan": "report.planning",
    "Run": "runs.run",
    "Split": "data.dataset",
    "Tuned": "training.tuning",
    "accuracy_without": "runs.without",
    "apply_temperature": "runs.calibration",
    "average_flips": "training.flips",
    "backbone_info": "models.backbones",
    "build_baseline": "models.baselines",
    "build_cnn": "models.cnn",
    "build_googlenet": "models.googlenet",
    "build_transfer_model": "models.transfer",
    "calibrate": "runs.calibration",
    "clear_cache": "features.cache",
    "compare_runs": "report.comparison",
    "conv_filters": "features.inspection",
    "count_dead_features": "models.health",
    "cross_validate": "training.cross_validation",
    "efficiency_curve": "report.label_curve",
    "evaluate": "training.evaluation",
    "excitation_map": "features.inspection",
    "export": "deploy.exporting",
    "extract_features": "features.extraction",
    "filter_images": "data.filters",
    "find_duplicates": "data.duplicates",
    "find_learning_rate": "training.learning_rates",
    "fine_tune": "training.fitting",
    "fit_classifier": "training.classifier",
    "fit_head": "training.logistic_head",
    "fit_temperature": "runs.calibration",
    "freeze": "models.freezing",
    "hand_designed_filters": "data.filters",
    "layer_outputs": "features.inspection",
    "list_backbones": "models.backbones",
    "load_fashion_mnist": "data.mnist",
    "load_features": "features.loading",
    "load_image": "data.folders",
    "load_image_folder": "data.folders",
    "load_image_table": "data.tables",
    "load_mnist": "data.mnist",
    "load_model": "models.saving",
    "load_run": "runs.loading",
    "load_runs": "runs.loading",
    "occlusion_map": "features.inspection",
    "plan_comparison": "report.planning",
    "plot_accuracy": "plots.accuracy",
    "plot_confused_pairs": "plots.confused_pairs",
    "plot_confusion": "plots.confusion",
    "plot_cost": "plots.cost",
    "plot_curves": "plots.curves",
    "plot_disagreements": "plots.disagreements",
    "plot_feature_maps": "plots.convolution",
    "plot_feature_space": "plots.convolution",
    "plot_filters": "plots.convolution",
    "plot_label_efficiency": "plots.efficiency",
    "plot_occlusion": "plots.convolution",
    "plot_published": "plots.published",
    "plot_reliability": "plots.reliability",
    "plot_roc": "plots.roc",
    "plot_samples": "plots.samples",
    "plot_worst_errors": "plots.worst_errors",
    "predict": "deploy.prediction",
    "published_results": "compare.published",
    "repeat": "training.repetition",
    "train": "training.fitting",
    "train_label_budgets": "training.label_budgets",
    "tune": "training.tuning",
    "unfreeze": "models.freezing",
}

# Names of version 0.1 -> what they are called now.
_RENAMED = {"label_efficiency": "train_label_budgets"}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name in _RENAMED:
        message = f"transferkit.{name} is called {_RENAMED[name]} now; the old name goes with version 0.3."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return __getattr__(_RENAMED[name])
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "errors", "__version__"})
