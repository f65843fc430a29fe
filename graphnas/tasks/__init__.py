"""Data that networks are trained and judged on."""

from graphnas.tasks.names import FOLDER, TASKS, load_task, task_word
from graphnas.tasks.task import Split, Task

__all__ = ["FOLDER", "TASKS", "Split", "Task", "load_task", "task_word"]
