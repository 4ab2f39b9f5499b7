"""The fake cloud as a backend: jobs over HTTP on this machine, with all that may happen to jobs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from qnn._integers import whole
from qnn.backends.base import Angles, BackendInfo, Capabilities, Estimate, Executable
from qnn.backends.compiled import CompilingBackend
from qnn.backends.estimation import estimate, from_counts
from qnn.backends.fakecloud.service import TOKEN_VARIABLE, FakeCloudService, Token, address
from qnn.backends.fakecloud.wire import packed
from qnn.backends.operands import check_operands, check_table, dense_angles
from qnn.backends.requests import joined, run_jobs
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError
from qnn.jobs import Policy

_SECONDS_PER_JOB, _SECONDS_PER_EXECUTION = 0.01, 1e-4  # the service's price, as documented


class FakeCloud(CompilingBackend):
    """A service that `qnn fakecloud` runs on this machine; all rows of a call, shifted ones included, are one job.

    Its results are those of the embedded simulator for the same shots and seed, to the last bit. It bills 0.01 seconds
    for a job and 0.0001 for each execution (a circuit, or one of its shots): `max_seconds` counts these.

    Args:
        device: URL of the service, on this machine; ending in /unkeyed, it is one that draws shots by itself.
        token: that the service asks for; None takes the environment variable QNN_FAKECLOUD_TOKEN. It is kept in memory
            only: another process, to which the backend is sent, takes that of its environment.
        keyed: whether shots are drawn by key, so that a seed repeats a run. False for a service that draws by itself,
            as machines do; a URL that ends in /unkeyed says the same.
        max_executions: circuits times shots of a job; a call with more is several jobs.
        timeout_s: seconds to wait for the results of one call; None waits as long as it takes.
        retry_s: seconds for which requests that fail for now are repeated.
        journal: file of the job journal; None is that of the user.
        reuse_exact: whether exact results of other runs are used, too.
        poll_interval_s: seconds between two looks at a job.
        lookup_s: seconds that a job whose submission was not answered may take to be found by its tag.
        max_parallel: jobs of one call under way at the same time; None: any number.
        request_timeout_s: seconds that the answer to one request may take.

    Raises:
        ArgumentError: no URL of this machine, or a value that cannot be used.
    """

    def __init__(
        self,
        device: str,
        token: str | None = None,
        keyed: bool = True,
        max_executions: int = 10_000_000,
        timeout_s: float | None = None,
        retry_s: float = 600.0,
        journal: str | None = None,
        reuse_exact: bool = False,
        poll_interval_s: float = 0.05,
        lookup_s: float = 10.0,
        max_parallel: int | None = None,
        request_timeout_s: float = 30.0,
    ) -> None:
        super().__init__()
        self.device = device
        self.name = f"fakecloud:{device}"
        self.policy = Policy(journal, timeout_s, retry_s, reuse_exact)
        if not isinstance(keyed, bool):
            raise ArgumentError(f"`keyed` must be True or False; got {keyed!r}. Leave it out.")
        self.keyed = keyed and address(device)[1]
        for name, value in (("max_executions", max_executions), ("max_parallel", max_parallel)):
            if not (value is None and name == "max_parallel") and (whole(value) or 0) < 1:
                raise ArgumentError(f"`{name}` must be a positive whole number; got {value!r}. Leave it out.")
        self.max_executions = max_executions
        seconds = {"poll_interval_s": poll_interval_s, "request_timeout_s": request_timeout_s, "lookup_s": lookup_s}
        for name, amount in seconds.items():
            number = isinstance(amount, int | float) and not isinstance(amount, bool)
            if not (number and 0 < amount < float("inf")):
                raise ArgumentError(f"`{name}` must be a positive number of seconds; got {amount!r}. Leave it out.")
        self._token = Token(token)
        self._service = FakeCloudService(device, self._token, max_parallel=max_parallel, **seconds)
        self._options = {
            "keyed": (keyed, True),
            "max_executions": (max_executions, 10_000_000),
            "timeout_s": (timeout_s, None),
            "retry_s": (retry_s, 600.0),
            "journal": (self.policy.journal, None),
            "reuse_exact": (reuse_exact, False),
            "poll_interval_s": (poll_interval_s, 0.05),
            "lookup_s": (lookup_s, 10.0),
            "max_parallel": (max_parallel, None),
            "request_timeout_s": (request_timeout_s, 30.0),
        }

    @property
    def capabilities(self) -> Capabilities:
        """Exact and sampled, by jobs; circuits that are too wide are refused by the service."""
        return Capabilities(remote=True, keyed=self.keyed)

    def specification(self) -> dict[str, Any]:
        """The options that differ from their defaults, without the token."""
        changed = {name: value for name, (value, default) in self._options.items() if value != default}
        return {"name": self.name} | changed

    def service(self) -> FakeCloudService:
        """Its jobs."""
        return self._service

    def _compile(self, circuit: Circuit) -> FakeCloudExecutable:
        """Nothing is sent before it runs."""
        return FakeCloudExecutable(circuit, self)


class FakeCloudExecutable(Executable):
    """A circuit for the fake cloud."""

    def __init__(self, circuit: Circuit, backend: FakeCloud) -> None:
        super().__init__(circuit, backend)
        self.backend: FakeCloud = backend

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row in one job, or in as few as `max_executions` allows.

        Raises:
            ArgumentError: one row has more executions than a job may have, or there are shots without keys.
            BackendError, JournalError, BudgetError: see `qnn.backends.requests.run_jobs`.
        """
        check_operands(self.circuit, angles, shots, keys)
        if shots is not None and keys is None and self.backend.keyed:
            raise ArgumentError("`keys` must be given to sample shots; got None. Make them with qnn._seeding.row_keys.")
        n_rows, settings = angles.n_rows, self.plan.settings
        if not n_rows or not settings:
            return self._without_running(angles, shots)
        if shots is not None:
            shots = int(shots)
            check_table(self.circuit, n_rows, max(len(s.wires) for s in settings), "Use fewer rows.")
        parts = run_jobs(
            self,
            self.backend.service(),
            self.backend.policy,
            dense_angles(angles),
            keys,
            shots=shots,
            rows_per_job=self._rows_per_job(n_rows, shots),
            payload=lambda part: self._payload(angles, shots, keys, part),
            form=lambda part: self._form(angles, shots, part),
            options={"dtype": str(angles.rows.dtype)},
        )
        arrays = joined(parts)
        if shots is not None:
            return from_counts(self.plan, arrays, angles, shots)
        return Estimate(torch.from_numpy(arrays[0]).to(angles.rows.device))

    def circuits_per_row(self, shots: int | None) -> int:
        """One per measurement setting when sampling: none where only constants are measured."""
        return super().circuits_per_row(shots) if self.plan.settings else 0

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """As many as the limit of executions makes of the rows."""
        return -(-n_rows // self._rows_per_job(n_rows, shots)) if n_rows and self.plan.settings else 0

    def seconds_for(self, n_rows: int, shots: int | None) -> float:
        """The price of the service: 0.01 s for a job and 0.0001 s for each execution."""
        executions = n_rows * self._executions_per_row(shots)
        return _SECONDS_PER_JOB * self.jobs_for(n_rows, shots) + _SECONDS_PER_EXECUTION * executions

    def describe(self) -> dict[str, Any]:
        """Depth, two-qubit gates, and where."""
        return super().describe() | {"device": self.backend.device}

    def _executions_per_row(self, shots: int | None) -> int:
        return self.circuits_per_row(shots) * (shots or 1)

    def _rows_per_job(self, n_rows: int, shots: int | None) -> int:
        limit, per_row = self.backend.max_executions, self._executions_per_row(shots)
        if per_row > limit:
            raise ArgumentError(
                f"`shots` must be at most {limit // self.circuits_per_row(shots):,} for this circuit on "
                f"{self.backend.name}, so that one row fits into a job; got {shots:,}. Use fewer shots."
            )
        return min(n_rows, limit // per_row)

    def _payload(self, angles: Angles, shots: int | None, keys: torch.Tensor | None, part: slice) -> dict[str, Any]:
        """What is sent for some of the rows."""
        rows = angles.rows[part].detach().cpu().numpy()
        shared = angles.shared.detach().cpu().numpy().astype(rows.dtype)
        sampled = shots is not None and keys is not None and self.backend.keyed
        return {
            "circuit": self.circuit.to_json(),
            "circuits_per_row": self.circuits_per_row(shots),
            "shared": packed(shared),
            "rows": packed(rows),
            "shots": shots,
            "keys": packed(keys[part].cpu().numpy()) if sampled and keys is not None else None,
        }

    def _form(self, angles: Angles, shots: int | None, part: slice) -> dict[str, Any]:
        """Dtypes and shapes of what comes back."""
        n_rows = part.stop - part.start
        if shots is None:
            return {"arrays": [[str(angles.rows.dtype).removeprefix("torch."), [n_rows, self.circuit.n_outputs]]]}
        return {"arrays": [["int64", [n_rows, 2 ** len(setting.wires)]] for setting in self.plan.settings]}

    def _without_running(self, angles: Angles, shots: int | None) -> Estimate:
        """The estimate where there are no rows, or only constants to measure."""
        flat = [np.full((angles.n_rows, 2 ** len(s.wires)), 0.5 ** len(s.wires)) for s in self.plan.settings]
        return estimate(self.plan, flat, angles, shots, torch.zeros(angles.n_rows, 5, dtype=torch.int64))


def survey() -> list[BackendInfo]:
    """A line for `qnn doctor`; nobody is contacted."""
    known = bool(os.environ.get(TOKEN_VARIABLE))
    note = "a provider on this machine, for trials" + (
        "; a token is set, and was not tried"
        if known
        else f": start one with `qnn fakecloud`, and set {TOKEN_VARIABLE}"
    )
    return [BackendInfo("fakecloud:<url>", known, note)]
