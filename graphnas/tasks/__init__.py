"""Data that networks are trained and judged on."""

from graphnas.tasks.cifar10 import cifar10_place
from graphnas.tasks.fashion_mnist import fashion_mnist_place
from graphnas.tasks.names import FOLDER, TASKS, load_task, task_word
from graphnas.tasks.task import Split, Task

__all__ = ["FOLDER", "TASKS", "Split", "Task", "cifar10_place", "fashion_mnist_place", "load_task", "task_word"]
