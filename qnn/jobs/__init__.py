"""Jobs at providers: journaled, found again after a crash, retried, never paid twice."""

from qnn._meter import Budget, budget
from qnn._run import run_scope
from qnn.jobs.journal import Journal, default_path
from qnn.jobs.managing import await_job, give_up
from qnn.jobs.policy import PATIENCE, Policy
from qnn.jobs.record import STATES, JobRecord
from qnn.jobs.service import RemoteState, Request, Service
from qnn.jobs.submission import carry_out

__all__ = [
    "PATIENCE",
    "STATES",
    "Budget",
    "JobRecord",
    "Journal",
    "Policy",
    "RemoteState",
    "Request",
    "Service",
    "await_job",
    "budget",
    "carry_out",
    "default_path",
    "give_up",
    "run_scope",
]
