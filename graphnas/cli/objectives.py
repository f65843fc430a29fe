"""From the words of `--task`, `--objective` and `--metric` to an evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from graphnas.cell import Architecture
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import Space

TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="Train candidates on this task: digits, fashion-mnist, cifar10, or folder:PATH with one folder a class; "
        "cifar10:PATH says where its files are.",
    ),
]
SizeOption = Annotated[
    int | None, typer.Option("--size", min=2, help="Height and width to which the task's images are resized.")
]
PredictionsOption = Annotated[
    bool, typer.Option("--predictions", help="Keep what every network predicts on validation and test images.")
]
ImagesOption = Annotated[
    int | None, typer.Option("--images", min=1, help="Train on so many of the task's images; on all if not given.")
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option("--objective", help="Look candidates up in the space's benchmark table: table, or table:FILE."),
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="Column of the table that counts; the table's own choice if not given.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of each training.")]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="TOML file of how to train: epochs, sizes of the network, settings, as in runs/recipes."
    ),
]


def objective_word(task: str | None, objective: str | None, size: int | None = None, images: int | None = None) -> str:
    """One word for these options, which is what `config.toml` keeps: `task:digits` or `table:FILE`."""
    if task is not None and objective is not None:
        raise typer.BadParameter("--task and --objective exclude each other")
    if objective is None:
        from graphnas.tasks import FOLDER, TASKS, task_word

        kind, _, place = (task or "digits").partition(":")
        if kind not in TASKS and f"{kind}:" != FOLDER:
            raise typer.BadParameter(f"{kind!r} is no task; known: {', '.join(TASKS)}, {FOLDER}PATH")
        path = str(Path(place).absolute()) if place else None
        return f"task:{task_word(kind, path=path, size=size, train=images)}"
    if size is not None or images is not None:
        raise typer.BadParameter("--size and --images are of a task; they go with --task")
    kind, _, file = objective.partition(":")
    if kind != "table":
        raise typer.BadParameter(f"{objective!r} is no objective; expected table or table:FILE")
    return f"table:{Path(file).absolute()}" if file else "table"


def recipe_table(path: Path | None) -> dict[str, Any] | None:
    """Content of the file of `--recipe`, which is what `config.toml` keeps."""
    from graphnas.evaluate import read_recipe

    return None if path is None else read_recipe(path)


def make_evaluator(
    word: str,
    space: Space,
    *,
    metric: str | None = None,
    epochs: int | None = None,
    recipe: Mapping[str, Any] | None = None,
    predictions: bool = False,
    device: str = "cpu",
    further: Sequence[str] = (),
) -> Evaluator:
    """The evaluator of a word from `objective_word`.

    Args:
        word: The word.
        space: Space of the architectures.
        metric: Column of a table that is its value.
        epochs: Of each training, in place of the recipe's.
        recipe: From `recipe_table`.
        predictions: Whether trainings keep their predictions.
        device: Where to train.
        further: Metrics that its results have to hold, beside the value.
    """
    from graphnas.evaluate import TableEvaluator, TrainingEvaluator, TrainingRecipe, open_table

    kind, _, name = word.partition(":")
    if kind == "task":
        if metric is not None:
            raise typer.BadParameter("--metric chooses a column of a table; it goes with --objective table")
        settings: dict[str, Any] = {} if recipe is None else TrainingRecipe.of(recipe).arguments()
        if epochs is not None:
            settings["epochs"] = epochs
        settings["predictions"] = predictions
        unknown = [name for name in further if name not in TRAINED_METRICS]
        if unknown:
            raise typer.BadParameter(
                f"{unknown[0]!r} is no metric of a training; it has value, {', '.join(TRAINED_METRICS)}"
            )
        return TrainingEvaluator(space, task=name, device=device, **settings)
    if kind == "table":
        if recipe is not None:
            raise typer.BadParameter("--recipe says how to train; it goes with --task")
        if predictions:
            raise typer.BadParameter("--predictions are those of trained networks; they go with --task")
        table = open_table(space.name, name or None)
        for one in (*([] if metric is None else [metric]), *further):
            if one not in table.metrics:
                known = ", ".join(table.metrics)
                raise typer.BadParameter(f"{one!r} is no metric of {table.path.name}; it has {known}")
        return TableEvaluator(table, metric, report=tuple(dict.fromkeys((*table.report, *further))))
    raise ValueError(f"Expected an objective task:NAME or table:FILE, but got {word!r}")


TRAINED_METRICS = (
    "parameters", "macs", "cpu_seconds", "validation_accuracy", "validation_loss", "train_accuracy", "train_loss",
)  # fmt: skip
"""Figures of a training that can be further objectives or have bounds."""


def value_label(evaluator: Evaluator) -> str:
    """What a value of the evaluator is, for tables and figures."""
    return str(getattr(evaluator, "label", "validation accuracy"))


def test_best(
    evaluator: Evaluator,
    architecture: Architecture,
    *,
    seed: int,
    budget: int | None,
    folder: Path | None,
    hyperparameters: Mapping[str, Any],
) -> tuple[dict[str, float], Any]:
    """Test metrics of an architecture and its trained network; nothing for an evaluator that trains none."""
    test = getattr(evaluator, "test", None)
    if test is None:
        return {}, None
    tested = test(architecture, seed=seed, budget=budget, folder=folder, hyperparameters=hyperparameters)
    return {"test_accuracy": tested.test_accuracy, "test_loss": tested.test_loss}, tested.network
