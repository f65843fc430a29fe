"""From the words of `--task`, `--objective` and `--metric` to an evaluator."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import complain
from graphnas.cli.surrogate import open_surrogate

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
    typer.Option(
        "--objective",
        help="Instead of training: table, or table:FILE, looks candidates up in the space's benchmark table; "
        "surrogate:NAME asks a surrogate, by name or folder, surrogate:NAME:noisy with the noise of one training; "
        "proxy:NAME, such as proxy:synflow, scores untrained "
        "networks on images of --task.",
    ),
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="Column of the table that counts; the table's own choice if not given.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of each training.")]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        help="How to train: a TOML file of epochs or seconds, sizes of the network and settings; a published one by "
        "name, nasbench101, nasbench201 or darts; or the best.json of a joint search, for its settings.",
    ),
]

_NOISY = ":noisy"  # behind the name of a surrogate


def objective_word(task: str | None, objective: str | None, size: int | None = None, images: int | None = None) -> str:
    """One word for these options, as `config.toml` keeps it: `task:digits`, `table:FILE` or `proxy:snip:digits`."""
    if objective is None:
        return f"task:{_task_word(task, size, images)}"
    kind, _, rest = objective.partition(":")
    if kind == "proxy":
        from graphnas.proxies import PROXIES

        if rest not in PROXIES:
            raise typer.BadParameter(f"{rest!r} is no proxy; known: {', '.join(PROXIES)}")
        return f"proxy:{rest}:{_task_word(task, size, images)}"
    if kind not in ("table", "surrogate") or (kind == "surrogate" and not rest):
        raise typer.BadParameter(
            f"{objective!r} is no objective; expected table, table:FILE, surrogate:NAME or proxy:NAME"
        )
    if task is not None:
        raise typer.BadParameter(f"--task and --objective {kind} exclude each other")
    if size is not None or images is not None:
        raise typer.BadParameter("--size and --images are of a task; they go with --task")
    if kind == "surrogate":
        name, noisy = _noisy(rest)
        return f"surrogate:{Path(name).absolute() if Path(name).is_dir() else name}" + (_NOISY if noisy else "")
    return f"table:{Path(rest).absolute()}" if rest else "table"


def _noisy(name: str) -> tuple[str, bool]:
    """A surrogate's name or folder, and whether its values have the noise of one training."""
    return name.removesuffix(_NOISY), name.endswith(_NOISY)


def _task_word(task: str | None, size: int | None, images: int | None) -> str:
    from graphnas.tasks import FOLDER, TASKS, task_word

    kind, _, place = (task or "digits").partition(":")
    if kind not in TASKS and f"{kind}:" != FOLDER:
        short = re.fullmatch(r"([a-z0-9-]+)(?:@(\d+))?(?:#(\d+))?", kind)
        if short is not None and short[1] in TASKS and not place:
            # As files name tasks.
            kind = short[1]
            size = int(short[2]) if size is None and short[2] else size
            images = int(short[3]) if images is None and short[3] else images
        else:
            raise typer.BadParameter(f"{kind!r} is no task; known: {', '.join(TASKS)}, {FOLDER}PATH")
    path = str(Path(place).expanduser().absolute()) if place else None
    return task_word(kind, path=path, size=size, train=images)


def computes(word: str) -> bool:
    """Whether the evaluator of a word runs networks; tables and surrogates answer without."""
    return word.partition(":")[0] in ("task", "proxy")


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
        device: Where networks run.
        further: Metrics that its results have to hold, beside the value.
    """
    from graphnas.evaluate import ProxyEvaluator, TableEvaluator, TrainingEvaluator, TrainingRecipe, open_table
    from graphnas.networks import SKELETONS, read_skeleton
    from graphnas.proxies import PROXIES
    from graphnas.surrogates import SurrogateEvaluator

    kind, _, name = word.partition(":")
    if kind == "proxy":
        if metric is not None or epochs is not None or predictions:
            raise typer.BadParameter("a proxy trains nothing: --metric, --epochs and --predictions go with a training")
        proxy, _, task = name.partition(":")
        _check_metrics(further, "proxy", PROXIES)
        sizes = None if recipe is None else TrainingRecipe.of(recipe).sizes
        return ProxyEvaluator(space, proxy, task, further=further, sizes=sizes, device=device)
    if kind == "surrogate":
        if metric is not None or epochs is not None or recipe is not None or predictions:
            raise typer.BadParameter(
                "a surrogate knows whole trainings: --metric, --epochs, --recipe and --predictions do not go with it"
            )
        _check_metrics(further, "surrogate", ("predicted", "std", "familiar"))
        name, noisy = _noisy(name)
        loaded = open_surrogate(name, space if space.name not in space.names() else None)
        if loaded.space.name != space.name:
            raise typer.BadParameter(f"the surrogate {name} is of {loaded.space.name}, not of {space.name}")
        return SurrogateEvaluator(loaded, noisy=noisy, name=f"surrogate:{Path(name).name}")
    if kind == "task":
        if metric is not None:
            raise typer.BadParameter("--metric chooses a column of a table; it goes with --objective table")
        settings: dict[str, Any] = {} if recipe is None else TrainingRecipe.of(recipe).arguments()
        foreign = set(settings.get("sizes", {})) - set(read_skeleton(space.network).sizes)
        if foreign and any(foreign <= {field.name for field in fields(one)} for one in SKELETONS.values()):
            complain(f"the recipe's sizes are of another skeleton; {space.name} has its own in their place")
            del settings["sizes"]
        if epochs is not None:
            settings |= {"epochs": epochs, "max_seconds": None}
        settings["predictions"] = predictions
        _check_metrics(further, "training", TRAINED_METRICS)
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
    raise ValueError(
        f"Expected an objective task:NAME, table:FILE, surrogate:NAME or proxy:NAME:TASK, but got {word!r}"
    )


TRAINED_METRICS = (
    "parameters", "macs", "cpu_seconds", "validation_accuracy", "validation_loss", "train_accuracy", "train_loss",
)  # fmt: skip
"""Figures of a training that can be further objectives or have bounds."""


def _check_metrics(wanted: Sequence[str], of: str, known: Collection[str]) -> None:
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no metric of a {of}; it has value, {', '.join(known)}")


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
