"""qnn: quantum neural networks as torch modules, and an honest comparison with classical models.

``import qnn`` loads the quantum layers and with them PennyLane, which takes a few seconds; the first call need not.
The command line loads what a command needs when it needs it: ``qnn --help`` is quick.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from qnn._worker_process import within_one

__version__ = "0.1.0"

_HOME = {
    "Comparison": "qnn.comparison",
    "FitConfig": "qnn.training",
    "Forecast": "qnn.models",
    "HiddenLayer": "qnn.layers",
    "History": "qnn.training",
    "InputLayer": "qnn.layers",
    "NaturalGradient": "qnn.gradients",
    "OutputLayer": "qnn.layers",
    "QNNClassifier": "qnn.models",
    "QNNRegressor": "qnn.models",
    "QnnError": "qnn.errors",
    "QnnWarning": "qnn.errors",
    "QuantumKernel": "qnn.models",
    "QuantumKernelClassifier": "qnn.models",
    "QuantumLayer": "qnn.layers",
    "QuantumNeuralNetwork": "qnn.models",
    "Rotosolve": "qnn.gradients",
    "SPSA": "qnn.gradients",
    "budget": "qnn.jobs",
    "build_baseline": "qnn.baselines",
    "compare": "qnn.comparison",
    "distill": "qnn.compression",
    "evaluate": "qnn.training",
    "export_onnx": "qnn.layers",
    "fit": "qnn.training",
    "forecast": "qnn.models",
    "load": "qnn.models",
    "load_task": "qnn.tasks",
    "predict_table": "qnn.models",
    "prune": "qnn.compression",
    "quantize": "qnn.compression",
    "run": "qnn.running",
    "save": "qnn.models",
    "train_table": "qnn.models",
}

_ROOMS = (
    "backends",
    "baselines",
    "circuits",
    "comparison",
    "compression",
    "errors",
    "fakecloud",
    "gradients",
    "jobs",
    "layers",
    "models",
    "running",
    "tasks",
    "training",
)

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"qnn.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'qnn' has no attribute {name!r}. Known: {', '.join(sorted(_HOME))}.")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})


# Not by the command or `python -m qnn`, nor in worker processes, which load what their work needs.
if Path(sys.argv[0] if sys.argv else "").stem not in ("qnn", "-m") and not within_one():
    importlib.import_module("qnn.layers")
