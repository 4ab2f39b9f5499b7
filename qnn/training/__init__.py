"""Training: one loop for every model, classical or quantum, and the evaluation that goes with it."""

from qnn.training.callbacks import Callback, FitState, ProgressBar, RestoreBest
from qnn.training.config import FitConfig
from qnn.training.evaluation import Evaluation, evaluate
from qnn.training.history import History, HistoryRecorder
from qnn.training.loop import fit

__all__ = [
    "Callback",
    "Evaluation",
    "FitConfig",
    "FitState",
    "History",
    "HistoryRecorder",
    "ProgressBar",
    "RestoreBest",
    "evaluate",
    "fit",
]
