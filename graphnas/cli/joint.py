"""What `graphnas search` looks through: hyperparameters beside architectures, or given architectures only."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import HyperparameterSpace

JointOption = Annotated[
    str | None,
    typer.Option(
        "--joint",
        metavar="NAME|FILE",
        help="Search hyperparameters of the training together with architectures: sgd, sgd-small, or a TOML file.",
    ),
]
AmongOption = Annotated[
    Path | None, typer.Option("--among", help="File of architectures; the search proposes no others.")
]


def read_joint(word: str) -> HyperparameterSpace:
    """The hyperparameters of `--joint`.

    Raises:
        typer.BadParameter: naming the file and what is wrong.
    """
    from graphnas.spaces import HyperparameterSpace

    try:
        return HyperparameterSpace.load(word)
    except ValueError as error:
        raise typer.BadParameter(f"--joint: {error}") from None


def check_joint(hyperparameters: HyperparameterSpace, evaluator: Evaluator) -> None:
    """Refuse hyperparameters that the evaluator's trainings do not have, or values that they cannot have.

    Raises:
        typer.BadParameter: naming the hyperparameter, what was expected and what came.
    """
    from graphnas.evaluate import TrainingEvaluator

    if not isinstance(evaluator, TrainingEvaluator):
        raise typer.BadParameter("--joint searches hyperparameters of a training; it goes with --task")
    known = [field.name for field in fields(evaluator.config)]
    for parameter in hyperparameters.parameters:
        if parameter.name not in known:
            raise typer.BadParameter(f"--joint: {parameter.name} is no setting of a training: {', '.join(known)}")
        for value in parameter.choices or (parameter.low, parameter.high):
            try:
                evaluator.config_with({parameter.name: value})
            except ValueError as error:
                raise typer.BadParameter(f"--joint: {error}") from None
