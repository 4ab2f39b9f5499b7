"""The session or batch in which jobs are executed."""

from __future__ import annotations

import weakref
from threading import Lock
from typing import Any

from qnn._optional import require


class ExecutionMode:
    """Opens a session or batch with the first job; copies and pickles have none open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._opened: tuple[Any, weakref.finalize] | None = None

    def on(self, device: Any, mode: str) -> Any:
        """What a primitive takes: the device itself, or a session or batch on it.

        Args:
            device: Qiskit's.
            mode: "job", "batch" or "session".
        """
        if mode == "job":
            return device
        with self._lock:
            if self._opened is None or self._opened[0]._backend is not device:
                if self._opened is not None:
                    self._opened[1]()
                runtime = require("qiskit_ibm_runtime", extra="ibm", purpose=f'`mode="{mode}"`')
                opened = (runtime.Session if mode == "session" else runtime.Batch)(backend=device)
                self._opened = opened, weakref.finalize(self, opened.close)
            return self._opened[0]

    def close(self) -> None:
        """Close what is open; the next job opens another."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened[1]()

    def has_ended(self) -> bool:
        """Whether IBM takes no more jobs in what was open, as after half an hour without one; then it is forgotten."""
        with self._lock:
            opened = self._opened
        if opened is None or (opened[0].details() or {}).get("accepting_jobs", True):
            return False
        with self._lock:
            if self._opened is opened:
                self._opened = None
        opened[1].detach()
        return True

    def __reduce__(self) -> tuple:
        """Nothing is open in a copy."""
        return ExecutionMode, ()
