"""What happens at the joints of the training loop: progress, logs, limits, checkpoints. One file each."""

from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.best import RestoreBest
from qnn.training.callbacks.budget_guard import BudgetGuard
from qnn.training.callbacks.checkpoint import Checkpoint
from qnn.training.callbacks.csv_log import CSVLog
from qnn.training.callbacks.early_stopping import EarlyStopping
from qnn.training.callbacks.gradient_norms import GradientNorms
from qnn.training.callbacks.gradient_variance import GradientVariance
from qnn.training.callbacks.json_log import JSONLog
from qnn.training.callbacks.progress import ProgressBar
from qnn.training.callbacks.run_budget import RunBudget
from qnn.training.callbacks.tensorboard_log import TensorBoardLog
from qnn.training.callbacks.time_limit import TimeLimit
from qnn.training.callbacks.usage_log import UsageLog

__all__ = [
    "BudgetGuard",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "FitState",
    "GradientNorms",
    "GradientVariance",
    "JSONLog",
    "ProgressBar",
    "RestoreBest",
    "RunBudget",
    "TensorBoardLog",
    "TimeLimit",
    "UsageLog",
]
