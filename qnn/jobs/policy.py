"""How patient a call is, and where it keeps its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qnn.errors import ArgumentError, DtypeError

#: Options of remote backends that change how long one waits and where jobs are kept, and no result.
PATIENCE = frozenset(
    {
        "journal",
        "timeout_s",
        "retry_s",
        "reuse_exact",
        "poll_interval_s",
        "lookup_s",
        "max_parallel",
        "request_timeout_s",
        "mode",
        "tags",
        "max_execution_time_s",
    }
)


@dataclass(frozen=True)
class Policy:
    """Options that all remote backends share.

    Attributes:
        journal: file of the job journal; None is that of the user, see `qnn.jobs.default_path`.
        timeout_s: seconds to wait for the results of one call; None waits as long as it takes. Jobs that do not end in
            time go on, and the same run finds them again.
        retry_s: seconds for which requests that fail for now (rate limit, pending jobs, 5xx, no network) are repeated,
            with growing pauses; 0 gives up at once.
        reuse_exact: whether exact results (no shots) of other runs are used, too, where circuit, angles, backend and
            options are the same.
    """

    journal: str | None = None
    timeout_s: float | None = None
    retry_s: float = 600.0
    reuse_exact: bool = False

    def __post_init__(self) -> None:
        if self.journal is not None:
            if not isinstance(self.journal, str | Path):
                raise DtypeError(f'`journal` must be a path; got {self.journal!r}. Use "jobs.sqlite3".')
            object.__setattr__(self, "journal", str(Path(self.journal).expanduser().absolute()))
        _check_seconds("timeout_s", self.timeout_s, above=0.0)
        _check_seconds("retry_s", self.retry_s)
        if not isinstance(self.reuse_exact, bool):
            raise DtypeError(f"`reuse_exact` must be True or False; got {self.reuse_exact!r}. Leave it out.")


def _check_seconds(name: str, value: object, above: float | None = None) -> None:
    if value is None and name == "timeout_s":
        return
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    if not good or value == above:
        kind = "a positive number" if above is not None else "a number from 0 up"
        raise ArgumentError(f"`{name}` must be {kind} of seconds; got {value!r}. Use {name}=600.")
