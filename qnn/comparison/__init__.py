"""Comparison: quantum and classical models on equal budgets, with intervals, a verdict and a report.

Names are imported when first used: reading records and writing reports never loads a quantum package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qnn.comparison.budget import Budget
    from qnn.comparison.comparison import Comparison, compare
    from qnn.comparison.define import define_study
    from qnn.comparison.records import Record, read_records
    from qnn.comparison.report import Report
    from qnn.comparison.statistics import Interval, accuracy_interval, difference_interval
    from qnn.comparison.study import Cell, Contestant, Study, Table
    from qnn.comparison.verdict import Verdict

__all__ = [
    "Budget",
    "Cell",
    "Comparison",
    "Contestant",
    "Interval",
    "Record",
    "Report",
    "Study",
    "Table",
    "Verdict",
    "accuracy_interval",
    "compare",
    "define_study",
    "difference_interval",
    "read_records",
]

_HOME = {
    "Budget": "budget",
    "Cell": "study",
    "Comparison": "comparison",
    "Contestant": "study",
    "Interval": "statistics",
    "Record": "records",
    "Report": "report",
    "Study": "study",
    "Table": "study",
    "Verdict": "verdict",
    "accuracy_interval": "statistics",
    "compare": "comparison",
    "define_study": "define",
    "difference_interval": "statistics",
    "read_records": "records",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qnn.comparison' has no attribute {name!r}. Known: {', '.join(sorted(_HOME))}.")
    return getattr(importlib.import_module(f"qnn.comparison.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
