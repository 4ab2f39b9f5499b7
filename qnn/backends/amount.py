"""What calls of a backend use: jobs, circuits, shots, and seconds where somebody bills them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qnn.backends.base import Executable


@dataclass(frozen=True)
class Amount:
    """What was used, or is going to be; amounts add up, and ``3 * amount`` is three times as much.

    Attributes:
        jobs: calls to a simulator, or jobs at a provider.
        circuits: executed circuits.
        shots: of all circuits together; 0 when exact.
        seconds: estimated seconds on machines that bill them: None where no machine bills any, NaN where one that runs
            elsewhere has no estimate.
    """

    jobs: int = 0
    circuits: int = 0
    shots: int = 0
    seconds: float | None = None

    def __add__(self, other: Amount) -> Amount:
        known = [part for part in (self.seconds, other.seconds) if part is not None]
        counts = (self.jobs + other.jobs, self.circuits + other.circuits, self.shots + other.shots)
        return Amount(*counts, math.fsum(known) if known else None)

    def __rmul__(self, times: int) -> Amount:
        seconds = None if self.seconds is None else times * self.seconds
        return Amount(times * self.jobs, times * self.circuits, times * self.shots, seconds)

    @property
    def qpu_seconds(self) -> float | None:
        """The estimate; None where there is none."""
        return None if self.seconds is None or math.isnan(self.seconds) else self.seconds


def amount_of(executable: Executable, n_rows: int, shots: int | None) -> Amount:
    """What one call with `n_rows` rows uses, by the account that the executable gives of itself."""
    circuits = n_rows * executable.circuits_per_row(shots)
    if not circuits:  # no rows, or only constants to measure
        return Amount()
    seconds = executable.seconds_for(n_rows, shots)
    if seconds is None and executable.backend.capabilities.remote:
        seconds = math.nan
    return Amount(executable.jobs_for(n_rows, shots), circuits, circuits * (shots or 0), seconds)
