"""Transfer learning on images with Keras, and an honest answer to whether it helped."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transferkit.data.dataset import Dataset as Dataset

__version__ = "0.1.0"

# Public name -> module that defines it. Imported on first use, so that `import transferkit` stays instant
# and saved runs can be compared without TensorFlow.
_EXPORTS = {
    "Comparison": "compare.comparison",
    "Dataset": "data.dataset",
    "Run": "runs.run",
    "Split": "data.dataset",
    "backbone_info": "models.backbones",
    "build_cnn": "models.cnn",
    "build_transfer_model": "models.transfer",
    "compare_runs": "compare.comparison",
    "evaluate": "training.evaluation",
    "fine_tune": "training.fitting",
    "freeze": "models.freezing",
    "list_backbones": "models.backbones",
    "load_fashion_mnist": "data.mnist",
    "load_image_folder": "data.folders",
    "load_mnist": "data.mnist",
    "load_model": "models.saving",
    "load_run": "runs.storage",
    "load_runs": "runs.storage",
    "train": "training.fitting",
    "unfreeze": "models.freezing",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
