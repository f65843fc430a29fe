"""`graphnas evaluate` and `graphnas export`: single architectures."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.architectures import Candidate, read_architectures, read_candidates
from graphnas.cli.console import (
    BadData,
    Device,
    DeviceOption,
    Failed,
    JsonOption,
    LimitOption,
    SeedOption,
    choose_device,
    open_space,
    print_json,
    print_table,
    set_threads,
    writing,
)
from graphnas.cli.objectives import (
    EpochsOption,
    ImagesOption,
    MetricOption,
    ObjectiveOption,
    RecipeOption,
    SizeOption,
    TaskOption,
    computes,
    make_evaluator,
    objective_word,
    recipe_table,
    test_best,
    value_label,
)

if TYPE_CHECKING:
    from graphnas.evaluate import Evaluator
    from graphnas.spaces import Space

FileArgument = Annotated[Path, typer.Argument(help="File of architectures in any notation, or a search's best.json.")]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="Space file, where the space does not come with graphnas.")
]


def evaluate(
    file: FileArgument,
    task: TaskOption = None,
    size: SizeOption = None,
    images: ImagesOption = None,
    objective: ObjectiveOption = None,
    metric: MetricOption = None,
    epochs: EpochsOption = None,
    recipe: RecipeOption = None,
    space: SpaceOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the architectures of a file: train each on a task, or look it up.

    A training takes the settings that a joint search found, if the file has them, as best.json does.

    [bold]Example[/bold]

      graphnas evaluate results/2025-01-31-nasbench101-digits/best.json --task digits
    """
    set_threads(1)
    from graphnas.evaluate import EvaluationFailed
    from graphnas.report.page import compact, settings_text

    loaded = _space(file, space, limit)
    candidates = read_candidates(file, loaded)
    word = objective_word(task, objective, size, images)
    place = choose_device(device) if computes(word) else "cpu"
    evaluator = make_evaluator(word, loaded, metric=metric, epochs=epochs, recipe=recipe_table(recipe), device=place)
    records: list[dict[str, Any]] = []
    for candidate in candidates:
        record: dict[str, Any] = {"architecture": json.loads(candidate.architecture.to_json())}
        settings = _settings(file, candidate, evaluator)
        if settings:
            record["hyperparameters"] = settings
        try:
            result = evaluator.evaluate(candidate.architecture, seed=seed, hyperparameters=settings)
        except EvaluationFailed as error:
            record["reason"] = error.reason
        else:
            record |= json.loads(result.to_json())
        records.append(record)
    if as_json:
        print_json(records)
    else:
        label = value_label(evaluator)
        joint = any("hyperparameters" in record for record in records)
        print_table(
            "",
            ("cell", *(["hyperparameters"] if joint else []), label, "parameters", "seconds"),
            [
                (
                    compact(candidate.architecture),
                    *([settings_text(record.get("hyperparameters", {}))] if joint else []),
                    f"{record['value']:.4f}" if "value" in record else f"failed: {record['reason']}",
                    _parameters(record),
                    f"{record['seconds']:.1f}" if "seconds" in record else None,
                )
                for candidate, record in zip(candidates, records, strict=True)
            ],
            right="parameters seconds",
        )
    if not any("value" in record for record in records):
        raise Failed(f"no architecture of {file} could be evaluated: {records[-1]['reason']}")


def _space(file: Path, name: str | None, limits: list[str] | None) -> Space:
    """The space that is given, or else the one that the file's first architecture names."""
    from graphnas.spaces import Space

    if name is None:
        name = read_architectures(file)[0].space
        if name not in Space.names():
            known = ", ".join(Space.names())
            raise BadData(f"{file}: expected a space of {known}, but got {name!r}; give its space file as --space")
    return open_space(name, limits)


def _settings(file: Path, candidate: Candidate, evaluator: Evaluator) -> dict[str, Any]:
    """The settings of a candidate that a training takes; none of an evaluator that trains nothing."""
    from graphnas.evaluate import TrainingEvaluator

    if not isinstance(evaluator, TrainingEvaluator):
        return {}
    try:
        evaluator.config_with(candidate.settings)
    except (ValueError, TypeError) as error:
        raise BadData(f"{file}: hyperparameters: {error}") from None
    return candidate.settings


def _parameters(record: dict[str, Any]) -> str | None:
    from graphnas.report.page import parameter_count

    count = parameter_count(record.get("metrics", {}))
    return None if count is None else f"{count:,}"


def export(
    file: FileArgument,
    task: TaskOption = None,
    size: SizeOption = None,
    images: ImagesOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("export"),
    name: Annotated[str, typer.Option("--name", help="Name of the files, by which Python imports them.")] = "network",
    epochs: EpochsOption = None,
    recipe: RecipeOption = None,
    space: SpaceOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Train the first architecture of a file and write it as plain PyTorch source with its weights.

    The training takes the settings that a joint search found, if the file has them, as best.json does.

    The source needs torch and safetensors, not graphnas.

    [bold]Example[/bold]

      graphnas export best.json --task digits --out export
    """
    set_threads(1)
    from graphnas.networks import count_parameters, export_source

    _check_target(out, name)
    loaded = _space(file, space, limit)
    candidate = read_candidates(file, loaded)[0]
    evaluator = make_evaluator(
        objective_word(task, None, size, images),
        loaded,
        epochs=epochs,
        recipe=recipe_table(recipe),
        device=choose_device(device),
    )
    with writing(out):
        # Before the training, which takes far longer.
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    settings = _settings(file, candidate, evaluator)
    test, network = test_best(
        evaluator, candidate.architecture, seed=seed, budget=None, folder=None, hyperparameters=settings
    )
    with writing(out):
        path = export_source(network, out, name=name, title=f"A cell of {loaded.name}, trained.")
    parameters = count_parameters(network)
    weights = path.with_suffix(".safetensors")
    if as_json:
        print_json({"source": str(path), "weights": str(weights), "parameters": parameters, "test": test})
    else:
        typer.echo(f"{path} and {weights.name}: {parameters:,} parameters, test accuracy {test['test_accuracy']:.4f}")


def _check_target(out: Path, name: str) -> None:
    """Refuse a folder and a name that cannot be written, before anything is trained."""
    from graphnas.networks.export import check_name

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"--out {out}: expected a folder, but got a file")
    try:
        check_name(name)
    except ValueError as error:
        raise typer.BadParameter(f"--name {name}: {error}") from None
