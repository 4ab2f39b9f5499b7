"""Training: one loop for every model, classical or quantum, and the evaluation that goes with it."""

from qnn.training.callbacks import (
    BudgetGuard,
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    FitState,
    GradientNorms,
    GradientVariance,
    JSONLog,
    ProgressBar,
    RestoreBest,
    TensorBoardLog,
    TimeLimit,
    UsageLog,
)
from qnn.training.config import FitConfig
from qnn.training.evaluation import Evaluation, evaluate
from qnn.training.history import History, HistoryRecorder
from qnn.training.loop import fit
from qnn.training.pipeline import Pipeline

__all__ = [
    "BudgetGuard",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Evaluation",
    "FitConfig",
    "FitState",
    "GradientNorms",
    "GradientVariance",
    "History",
    "HistoryRecorder",
    "JSONLog",
    "Pipeline",
    "ProgressBar",
    "RestoreBest",
    "TensorBoardLog",
    "TimeLimit",
    "UsageLog",
    "evaluate",
    "fit",
]
