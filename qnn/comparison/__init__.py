"""Comparison: quantum and classical models on equal budgets, with intervals, a verdict and a report."""

from qnn.comparison.compare import Comparison, compare
from qnn.comparison.define import define_study
from qnn.comparison.records import Record, read_records
from qnn.comparison.report import Report
from qnn.comparison.statistics import Interval, accuracy_interval, difference_interval
from qnn.comparison.study import Budget, Cell, Contestant, Study, Table
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
