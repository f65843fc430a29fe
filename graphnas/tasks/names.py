"""Tasks by name: what a command line, a configuration and a worker process pass around."""

from __future__ import annotations

from collections.abc import Callable

from graphnas.tasks.digits import digits_task
from graphnas.tasks.folder import folder_task
from graphnas.tasks.task import Task

TASKS: dict[str, Callable[[], Task]] = {"digits": digits_task}
"""Tasks that come with the library, by name."""
FOLDER = "folder:"
"""What the name of a task begins with that is a folder of images: `folder:PATH`, or `folder:PATH@SIZE` in pixels."""


def load_task(name: str) -> Task:
    """A task by name: one of `TASKS`, or `folder:PATH` with an optional `@SIZE` behind it.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: listing the known tasks, if the name is not among them, or naming what is wrong with the folder.
    """
    if name.startswith(FOLDER):
        path, _, size = name.removeprefix(FOLDER).rpartition("@")
        return (
            folder_task(path, size=int(size)) if path and size.isdecimal() else folder_task(name.removeprefix(FOLDER))
        )
    if name not in TASKS:
        raise ValueError(f"Expected a task of {sorted(TASKS)} or {FOLDER}PATH, but got {name!r}")
    return TASKS[name]()
