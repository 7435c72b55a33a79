"""What a run was made with: versions, processor, accelerator."""

import os
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np

import transferkit
from transferkit.backends import chosen_backend


def describe_environment() -> dict[str, Any]:
    """Return versions and hardware as plain JSON values."""
    return {
        "transferkit": transferkit.__version__,
        "python": platform.python_version(),
        **chosen_backend().versions(),
        "keras": keras.__version__,
        "numpy": np.__version__,
        "backend": keras.backend.backend(),
        "precision": keras.mixed_precision.dtype_policy().name,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "accelerator": chosen_backend().accelerator(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
