"""Tasks: classification data sets that need no download, split and scaled alike for every model."""

from qnn.tasks.catalogue import list_tasks, load_task
from qnn.tasks.data import Part, TaskData

__all__ = ["Part", "TaskData", "list_tasks", "load_task"]
