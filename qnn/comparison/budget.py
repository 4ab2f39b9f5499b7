"""The budget that every contestant of one table gets, and the numbers of the default study.

All tunable numbers of the default study live here. They are chosen so that three seeds of the
default contestants on scikit-learn's digits take a few minutes on two CPU cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from qnn.errors import ArgumentError

SEEDS = 3
SPLIT_SEED = 0
FULL_EPOCHS = 80  # full data table
FULL_BATCH_SIZE = 32
REDUCED_EPOCHS = 12  # shots and noise table
REDUCED_BATCH_SIZE = 8  # small: a simulated device charges for rows, not for steps
REDUCED_TRAIN = 160  # training rows of the shots and noise table
SHOTS = 1024  # per executed circuit
TUNING_TRIALS = 3
N_QUBITS = 4
N_LAYERS = 2
OBSERVABLES = "probs"  # the quantum layer hands on the probabilities of all 2^n outcomes, not only <Z> of n wires

# Learning rates in the order in which a larger budget of trials adds them, best guess first.
_LEARNING_RATES = (0.01, 0.03, 0.003, 0.1, 0.001, 0.3, 0.0003)
MAX_TUNING_TRIALS = len(_LEARNING_RATES)


@dataclass(frozen=True)
class Budget:
    """What each contestant of a table may use; the same for all of them.

    Attributes:
        n_train: training rows, a stratified subset; None for all. Never more than the task has.
        epochs: passes over the training rows.
        batch_size: rows per optimisation step.
        learning_rates: the grid tried with the first seed; its length is the number of tuning trials.
        optimizer: name of the optimizer.
    """

    n_train: int | None
    epochs: int
    batch_size: int
    learning_rates: tuple[float, ...]
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require_positive(name, getattr(self, name))
        if self.n_train is not None:
            require_positive("n_train", self.n_train)

    @property
    def tuning_trials(self) -> int:
        """Number of learning rates tried for each contestant."""
        return len(self.learning_rates)


def learning_rate_grid(trials: int) -> tuple[float, ...]:
    """The learning rates tried with a budget of `trials`, in ascending order.

    Raises:
        ArgumentError: `trials` is not between 1 and 7.

    Example:
        >>> learning_rate_grid(3)
        (0.003, 0.01, 0.03)
    """
    if not isinstance(trials, int) or not 1 <= trials <= MAX_TUNING_TRIALS:
        raise ArgumentError(
            f"`tuning_trials` must be an integer from 1 to {MAX_TUNING_TRIALS}; got {trials!r}. "
            "Choose how many learning rates each contestant may try, for example 3."
        )
    return tuple(sorted(_LEARNING_RATES[:trials]))


def require_positive(name: str, value: object) -> None:
    """Raise unless `value` is an integer of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"`{name}` must be a positive integer; got {value!r}. Give 1 or more.")
