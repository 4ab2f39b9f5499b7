"""What a piece of work used, and what it may use: circuits, shots and jobs, counted by the backends.

Backends call `reserve` before they execute or submit anything, which refuses what a budget has no room for, and
`record` for what was executed; the training loop and its callbacks read what was used inside a `measure()` block.
Blocks nest, and each sees all that happens within it, on any thread that inherited its context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field

from qnn._forking import ForkLock
from qnn._integers import whole
from qnn.errors import ArgumentError, BudgetError


@dataclass
class Usage:
    """Counts of executed circuits, shots (0 when exact) and jobs: calls to a simulator, or what a provider counts."""

    circuits: int = 0
    shots: int = 0
    jobs: int = 0

    def add(self, circuits: int = 0, shots: int = 0, jobs: int = 0) -> None:
        """Add to the counts in place."""
        self.circuits += circuits
        self.shots += shots
        self.jobs += jobs

    def as_dict(self) -> dict[str, int]:
        """The counts as a plain dictionary."""
        return asdict(self)


_counting = ForkLock()
_open: ContextVar[tuple[Usage, ...]] = ContextVar("qnn_open_meters", default=())


def record(*, circuits: int = 0, shots: int = 0, jobs: int = 0) -> None:
    """Count work done by a backend in every open `measure()` block."""
    with _counting:  # threads share what they inherited
        for usage in _open.get():
            usage.add(circuits, shots, jobs)


@contextmanager
def measure() -> Iterator[Usage]:
    """Count what backends execute inside the block.

    Example:
        >>> with measure() as usage:
        ...     record(circuits=3, shots=30, jobs=1)
        >>> usage
        Usage(circuits=3, shots=30, jobs=1)
    """
    usage = Usage()
    token = _open.set((*_open.get(), usage))
    try:
        yield usage
    finally:
        _open.reset(token)


_UNITS = ("jobs", "shots", "circuits", "seconds")


@dataclass
class Budget:
    """What work inside a `budget` block may use; None is any amount.

    Attributes:
        max_jobs: calls to a simulator, or jobs at a provider.
        max_shots: shots of all circuits together.
        max_circuits: executed circuits.
        max_seconds: estimated seconds on machines that bill them.
        used: what was reserved so far, by the same names.
    """

    max_jobs: int | None = None
    max_shots: int | None = None
    max_circuits: int | None = None
    max_seconds: float | None = None
    used: dict[str, float] = field(default_factory=lambda: dict[str, float].fromkeys(_UNITS, 0))

    def __post_init__(self) -> None:
        self._lock = ForkLock()
        for name in ("max_jobs", "max_shots", "max_circuits"):
            limit = getattr(self, name)
            if limit is not None and (whole(limit) is None or limit < 0):
                raise ArgumentError(f"`{name}` must be a whole number from 0 up, or None; got {limit!r}. Try 1000.")
        seconds = self.max_seconds
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and 0 <= seconds < float("inf")):
            raise ArgumentError(f"`max_seconds` must be seconds from 0 up, or None; got {seconds!r}. Try 60.")
        if all(getattr(self, f"max_{unit}") is None for unit in _UNITS):
            raise ArgumentError(
                "a budget must have a limit; got none. Give `max_jobs`, `max_shots`, `max_circuits` or `max_seconds`."
            )

    def reserve(self, wanted: dict[str, float | None]) -> None:
        """Take what is wanted, or nothing.

        Raises:
            BudgetError: it would exceed a limit.
        """
        with self._lock:
            for unit, amount in wanted.items():
                limit = getattr(self, f"max_{unit}")
                if limit is None:
                    continue
                if amount is None:
                    raise BudgetError(
                        f"`max_{unit}` must be left out where nobody says how long jobs take; got {limit} for a "
                        "backend without an estimate. Use `max_shots` or `max_jobs`."
                    )
                if self.used[unit] + amount > limit * (1 + 1e-9):  # seconds are sums of floats
                    raise BudgetError(
                        f"The budget of {limit:,} {unit} does not suffice: {self.used[unit]:,.6g} are used, and what "
                        f"comes next needs {amount:,.6g}. Nothing of it was submitted. Give a larger `max_{unit}`."
                    )
            for unit, amount in wanted.items():
                self.used[unit] += amount or 0


_budgets: ContextVar[tuple[Budget, ...]] = ContextVar("qnn_open_budgets", default=())


def reserve(*, circuits: int, shots: int, jobs: int, seconds: float | None = 0.0) -> None:
    """Take what a call is about to use from every open budget, before anything of it is submitted.

    Args:
        circuits: circuits that it executes.
        shots: of all of them together.
        jobs: jobs.
        seconds: estimated seconds on a machine that bills them; None where nobody can say.

    Raises:
        BudgetError: a budget has no room for all of it; all budgets are as before.
    """
    wanted = {"jobs": jobs, "shots": shots, "circuits": circuits, "seconds": seconds}
    taken: list[Budget] = []
    try:
        for budget in _budgets.get():
            budget.reserve(wanted)
            taken.append(budget)
    except BudgetError:
        for budget in taken:
            budget.reserve({unit: -(amount or 0) for unit, amount in wanted.items()})
        raise


def give_back(*, circuits: int, shots: int, jobs: int, seconds: float | None = 0.0) -> None:
    """Put back what was reserved and came to nothing."""
    for budget in _budgets.get():
        budget.reserve({"jobs": -jobs, "shots": -shots, "circuits": -circuits, "seconds": -(seconds or 0.0)})


def is_limited() -> bool:
    """Whether a budget is open."""
    return bool(_budgets.get())


@contextmanager
def budget(
    max_jobs: int | None = None,
    max_shots: int | None = None,
    max_circuits: int | None = None,
    max_seconds: float | None = None,
) -> Iterator[Budget]:
    """Refuse, inside the block, whatever would exceed a limit, before it is executed or submitted.

    It holds in this thread, and in threads that inherit its context; not in processes that are started in the block.

    Jobs that a journal answers count like those that are submitted, so that a run that goes on after a crash has used
    what it would have used without.

    Args:
        max_jobs: calls to a simulator, or jobs at a provider.
        max_shots: shots of all circuits together.
        max_circuits: executed circuits.
        max_seconds: estimated seconds on machines that bill them.

    Raises:
        ArgumentError: no limit, or one that is no number.

    Example:
        >>> with budget(max_jobs=2) as left:
        ...     reserve(circuits=5, shots=500, jobs=1)
        >>> left.used["shots"]
        500
    """
    with within(Budget(max_jobs, max_shots, max_circuits, max_seconds)) as opened:
        yield opened


@contextmanager
def within(budget: Budget) -> Iterator[Budget]:
    """Use a budget that was made before, which keeps what is left of it."""
    _budgets.set((*_budgets.get(), budget))
    try:
        yield budget
    finally:  # this one, whatever was opened since
        _budgets.set(tuple(other for other in _budgets.get() if other is not budget))
