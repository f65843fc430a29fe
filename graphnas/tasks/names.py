"""Tasks by name: what a command line, a configuration and a worker process pass around."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from graphnas.tasks.cifar10 import cifar10_task
from graphnas.tasks.digits import digits_task
from graphnas.tasks.fashion_mnist import fashion_mnist_task
from graphnas.tasks.folder import folder_task
from graphnas.tasks.task import Task

TASKS = ("digits", "fashion-mnist", "cifar10")
"""Names of the tasks with published data; that of `digits` comes with the library."""
FOLDER = "folder:"
"""What the name of a task begins with that is a folder of images."""

_WORD = re.compile(r"(?P<kind>[a-z0-9-]+)(?::(?P<path>.+?))?(?:@(?P<size>\d+))?(?:#(?P<train>\d+))?", re.DOTALL)
_MAKERS: dict[str, Callable[..., Task]] = {
    "fashion-mnist": fashion_mnist_task,
    "cifar10": cifar10_task,
    "folder": folder_task,
}


def task_word(name: str, *, path: str | None = None, size: int | None = None, train: int | None = None) -> str:
    """The name of a task with settings, which `load_task` takes apart again: `NAME:PATH@SIZE#TRAIN`."""
    parts = (name, *(f"{sign}{value}" for sign, value in ((":", path), ("@", size), ("#", train)) if value is not None))
    return "".join(parts)


def load_task(name: str) -> Task:
    """A task by name.

    Args:
        name: One of `TASKS` or `folder`; then `:PATH` where its files are, which `folder` needs and `digits` does not
            have; then `@SIZE`, to resize images to so many pixels; then `#TRAIN`, to train on so many images. All but
            the first are optional, as in `cifar10@16#2000`.

    Raises:
        FileNotFoundError: if its files are missing.
        ValueError: listing the known tasks, if the name is not among them, or naming what is wrong with the files or
            the settings.
    """
    word = _WORD.fullmatch(name)
    if (
        word is None
        or word["kind"] not in (*TASKS, "folder")
        or (word["kind"] == "digits" and word["path"])
        or (word["kind"] == "folder" and not word["path"])
    ):
        raise ValueError(f"Expected a task of {', '.join(TASKS)} or {FOLDER}PATH, but got {name!r}")
    kind, path = word["kind"], word["path"]
    size, train = (None if value is None else int(value) for value in (word["size"], word["train"]))
    if kind == "folder":
        path, size, train = _existing(name.removeprefix(FOLDER)) or (path, size, train)
    if size is not None and size < 2:
        raise ValueError(f"Expected a size of at least 2 pixels, but got {name!r}")
    if kind == "digits":
        return digits_task(name, size=size, train=train)
    return _MAKERS[kind](name, path, size=size, train=train)


def _existing(text: str) -> tuple[str, int | None, int | None] | None:
    """Path, size and number of images where a folder's own name ends as a setting does; None if there is none."""
    options: list[tuple[str, int | None, int | None]] = [(text, None, None)]
    shorter, _, train = text.rpartition("#")
    if train.isascii() and train.isdigit():
        options.append((shorter, None, int(train)))
    shorter, _, size = text.rpartition("@")
    if size.isascii() and size.isdigit():
        options.append((shorter, int(size), None))
    return next((option for option in options if Path(option[0]).is_dir()), None)
