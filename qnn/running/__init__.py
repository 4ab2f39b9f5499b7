"""Running a circuit without more: `qnn.run` and its result."""

from qnn.running.execution import run
from qnn.running.result import Result

__all__ = ["Result", "run"]
