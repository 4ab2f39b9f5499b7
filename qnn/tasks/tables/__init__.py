"""Tables: files of named columns, what they become for a model, and what is wrong in them, by row and column."""

from qnn.tasks.tables.parts import split_table
from qnn.tasks.tables.preparation import Preparation, Prepared
from qnn.tasks.tables.problems import Problems
from qnn.tasks.tables.reading import read_table
from qnn.tasks.tables.table import Table
from qnn.tasks.tables.target import Target
from qnn.tasks.tables.task import TableTask, prepare_builtin, prepare_table

__all__ = [
    "Preparation",
    "Prepared",
    "Problems",
    "Table",
    "TableTask",
    "Target",
    "prepare_builtin",
    "prepare_table",
    "read_table",
    "split_table",
]
