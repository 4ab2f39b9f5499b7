"""What happens at the joints of the training loop: progress, logs, limits, checkpoints. One file each."""

from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.best import RestoreBest
from qnn.training.callbacks.progress import ProgressBar

__all__ = ["Callback", "FitState", "ProgressBar", "RestoreBest"]
