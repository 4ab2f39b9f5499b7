"""Carrying out the jobs of one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qnn.jobs.policy import Policy
from qnn.jobs.service import Request, Service


def carry_out(
    service: Service, requests: Sequence[Request], policy: Policy, specification: dict | None = None
) -> list[list[np.ndarray]]:
    """The arrays of every request, in order; each job is submitted once, whatever happens.

    Args:
        service: where the jobs run.
        requests: the jobs of one call.
        policy: patience, and the journal.
        specification: plain data from which the backend can be made again, for `qnn jobs wait`.
    """
    raise NotImplementedError
