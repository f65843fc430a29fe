"""From the words of `--task` and `--objective` to an evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import Space

TaskOption = Annotated[str | None, typer.Option("--task", help="Train candidates on this task: digits.")]
ObjectiveOption = Annotated[
    str | None, typer.Option("--objective", help="Look candidates up instead: table, or table:FILE.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of each training.")]


def objective_word(task: str | None, objective: str | None) -> str:
    """One word for both options, which is what `config.toml` keeps: `task:digits` or `table:FILE`."""
    if task is not None and objective is not None:
        raise typer.BadParameter("--task and --objective exclude each other")
    if objective is None:
        from graphnas.tasks import TASKS

        name = task or "digits"
        if name not in TASKS:
            raise typer.BadParameter(f"{name!r} is no task; known: {', '.join(sorted(TASKS))}")
        return f"task:{name}"
    kind, _, file = objective.partition(":")
    if kind != "table":
        raise typer.BadParameter(f"{objective!r} is no objective; expected table or table:FILE")
    return f"table:{Path(file).absolute()}" if file else "table"


def make_evaluator(word: str, space: Space, *, epochs: int | None = None, device: str = "cpu") -> Evaluator:
    """The evaluator of a word from `objective_word`."""
    from graphnas.evaluate import NASBench101Table, TableEvaluator, TrainingEvaluator

    kind, _, name = word.partition(":")
    if kind == "task":
        settings: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
        return TrainingEvaluator(space, task=name, device=device, **settings)
    if kind == "table":
        return TableEvaluator(NASBench101Table.open(Path(name) if name else None))
    raise ValueError(f"Expected an objective task:NAME or table:FILE, but got {word!r}")


def value_label(evaluator: Evaluator) -> str:
    """What a value of the evaluator is, for tables and figures."""
    return str(getattr(evaluator, "query", "validation accuracy"))


def test_best(
    evaluator: Evaluator, architecture: Architecture, *, seed: int, budget: int | None, folder: Path | None
) -> tuple[dict[str, float], Any]:
    """Test metrics of an architecture and its trained network; nothing for an evaluator that trains none."""
    test = getattr(evaluator, "test", None)
    if test is None:
        return {}, None
    tested = test(architecture, seed=seed, budget=budget, folder=folder)
    return {"test_accuracy": tested.test_accuracy, "test_loss": tested.test_loss}, tested.network
