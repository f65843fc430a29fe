"""Data that networks are trained and judged on."""

from graphnas.tasks.task import TASKS, Split, Task, load_task

__all__ = ["TASKS", "Split", "Task", "load_task"]
