"""What all commands share: options, exit codes, and how results and errors reach the user.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad data, 130 interrupted. Results go to standard output, as text or,
with `--json`, as one JSON value; errors go to standard error as one line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.console import Console

    from graphnas.spaces import Space

FAILED, USAGE, BAD_DATA, INTERRUPTED = 1, 2, 3, 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what happens to writing alone


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value for programs.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")]
SpaceArgument = Annotated[str, typer.Argument(metavar="SPACE", help="Name of a space, or path of a space file.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="KEY=VALUE", help="Setting of the topology to replace, such as max_vertices=6."),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="Name or folder of a trained encoder; one for all spaces also serves one, as in universal:darts.",
    ),
]


class BadData(Exception):
    """A file does not hold what it should; the message names the file and the reason."""


class Failed(Exception):
    """The work was done in vain; the message says why."""


class Commands(TyperGroup):
    """Turns what commands raise into exit codes and one line on standard error.

    Set GRAPHNAS_TRACEBACK=1 to see where an error comes from.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            # Commands leave what to do next in the exception.
            complain(str(interrupt) or "interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            code = _exit_code(error)
            if code is None or os.environ.get("GRAPHNAS_TRACEBACK"):
                raise
            complain(" ".join(str(error).split()) or type(error).__name__)
            raise typer.Exit(code) from None


def _exit_code(error: Exception) -> int | None:
    """The code of an error that is the user's or the data's; None for one that is ours."""
    if isinstance(error, BrokenPipeError):
        return None  # who reads the output has enough of it
    if isinstance(error, (Failed, MemoryError)) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return FAILED
    if isinstance(error, (BadData, ValueError, OSError)):
        return BAD_DATA
    engines, studies = sys.modules.get("graphnas.engines"), sys.modules.get("graphnas.studies")
    evaluate = sys.modules.get("graphnas.evaluate.protocol")
    failures = [
        getattr(module, name)
        for module, name in (
            (engines, "EngineError"),
            (studies, "TooManyFailures"),
            (evaluate, "EvaluationFailed"),
        )
        if module is not None
    ]
    return FAILED if isinstance(error, tuple(failures)) else None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Fail where a file or folder cannot be written, with its name; errors about other files pass.

    Args:
        path: The file or folder; what lies in it and the folders that hold it count as well.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM or any(_lies_on(path, name) for name in (error.filename, error.filename2)):
            place = path if error.filename is None else error.filename
            raise Failed(f"{place} cannot be written: {error.strerror or error}") from None
        raise


def _lies_on(path: Path, name: Any) -> bool:
    """Whether a file's name is a path, lies in it, or is a folder that holds it."""
    if not isinstance(name, (str, os.PathLike)):
        return False
    one, other = path.absolute(), Path(name).absolute()
    return one.is_relative_to(other) or other.is_relative_to(one)


def complain(message: str) -> None:
    """Say one line on standard error."""
    typer.echo(f"graphnas: {printable(message)}", err=True)


def printable(text: str) -> str:
    """A text without control characters, which names in a file may hold and a terminal would obey."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def print_json(value: Any) -> None:
    """Write one JSON value to standard output; null stands for numbers that are not finite, which JSON lacks."""
    typer.echo(json.dumps(finite(value), indent=2, allow_nan=False))


def finite(value: Any) -> Any:
    """A value of lists and mappings in which None stands for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def console() -> Console:
    """Standard output for tables; as wide as they need where it is no terminal."""
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal else Console(width=200)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: str | Collection[str] = ""
) -> None:
    """Print a table; columns that `right` names, with spaces between or one by one, are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    named = right.split() if isinstance(right, str) else right
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in named else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if item is None else printable(str(item))) for item in row))
    console().print(table)


def read_limits(limits: Sequence[str] | None) -> dict[str, Any]:
    """The settings of `--limit`, whose values are written as in a space file."""
    settings: dict[str, Any] = {}
    for limit in limits or ():
        try:
            settings |= tomllib.loads(limit)
        except tomllib.TOMLDecodeError:
            raise typer.BadParameter(f"--limit {limit!r}: expected KEY=VALUE with a TOML value") from None
    return settings


def open_space(name: str, limits: Sequence[str] | None = None) -> Space:
    """The space of a command's argument, with the settings of `--limit`."""
    from graphnas.spaces import Space

    if not name.endswith(".toml") and name not in Space.names():
        known = ", ".join(Space.names())
        raise typer.BadParameter(f"{name!r} is no search space; known: {known}, or a path that ends in .toml")
    return Space.load(name, **read_limits(limits))


def choose_device(device: Device) -> str:
    """The torch device of an option."""
    import torch

    if device is Device.auto:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device is Device.cuda and not torch.cuda.is_available():
        raise typer.BadParameter("no CUDA device was found; --device cpu computes without one")
    return str(device.value)


def set_threads(number: int) -> None:
    """Bound the threads of numpy and torch in this process; call it before they are imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(number)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


@contextlib.contextmanager
def progress_lines(text: Callable[[Any], str]) -> Iterator[Callable[[Any, int, int], None]]:
    """A bar on a terminal, a line for each part that is done elsewhere; both on standard error.

    Args:
        text: What is said of a part.

    Yields:
        A function that takes a part, how many are done, and how many there are.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda part, done, total: typer.echo(f"{text(part)}  {done}/{total}", err=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda part, done, total: bars.update(task, description=text(part), completed=done, total=total)
