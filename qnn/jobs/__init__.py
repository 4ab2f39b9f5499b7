"""Jobs at providers: journaled, found again after a crash, retried, never paid twice."""

from qnn.jobs.policy import Policy
from qnn.jobs.service import RemoteState, Request, Service
from qnn.jobs.submission import carry_out

__all__ = ["Policy", "RemoteState", "Request", "Service", "carry_out"]
