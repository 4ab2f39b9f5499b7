"""qnn: quantum neural networks as torch modules, and an honest comparison with classical models.

Names are imported when first used, so that ``import qnn`` is quick and the classical parts never
load a quantum package.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Comparison": "qnn.comparison",
    "FitConfig": "qnn.training",
    "HiddenLayer": "qnn.layers",
    "History": "qnn.training",
    "InputLayer": "qnn.layers",
    "OutputLayer": "qnn.layers",
    "QnnError": "qnn.errors",
    "QnnWarning": "qnn.errors",
    "QuantumLayer": "qnn.layers",
    "QuantumNeuralNetwork": "qnn.models",
    "build_baseline": "qnn.baselines",
    "compare": "qnn.comparison",
    "evaluate": "qnn.training",
    "export_onnx": "qnn.layers",
    "fit": "qnn.training",
    "load_task": "qnn.tasks",
}

_ROOMS = ("backends", "baselines", "circuits", "comparison", "errors", "layers", "models", "tasks", "training")

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"qnn.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'qnn' has no attribute {name!r}. Known: {', '.join(sorted(_HOME))}.")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
