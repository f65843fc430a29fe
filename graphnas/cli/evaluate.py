"""`graphnas evaluate` and `graphnas export`: single architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from graphnas.cli.architectures import read_architectures
from graphnas.cli.console import (
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
)
from graphnas.cli.objectives import (
    EpochsOption,
    MetricOption,
    ObjectiveOption,
    SizeOption,
    TaskOption,
    make_evaluator,
    objective_word,
    test_best,
    value_label,
)

FileArgument = Annotated[Path, typer.Argument(help="File of architectures in any notation, or a search's best.json.")]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="Space file, where the space does not come with graphnas.")
]


def evaluate(
    file: FileArgument,
    task: TaskOption = None,
    size: SizeOption = None,
    objective: ObjectiveOption = None,
    metric: MetricOption = None,
    epochs: EpochsOption = None,
    space: SpaceOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Evaluate the architectures of a file: train each on a task, or look it up.

    [bold]Example[/bold]

      graphnas evaluate results/2025-01-31-nasbench101-digits/best.json --task digits
    """
    set_threads(1)
    from graphnas.evaluate import EvaluationFailed
    from graphnas.report.page import compact

    loaded = open_space(space or read_architectures(file)[0].space, limit)
    architectures = read_architectures(file, loaded)
    word = objective_word(task, objective, size)
    place = choose_device(device) if word.startswith("task") else "cpu"
    evaluator = make_evaluator(word, loaded, metric=metric, epochs=epochs, device=place)
    records: list[dict[str, Any]] = []
    for architecture in architectures:
        record: dict[str, Any] = {"architecture": json.loads(architecture.to_json())}
        try:
            result = evaluator.evaluate(architecture, seed=seed)
        except EvaluationFailed as error:
            record["reason"] = error.reason
        else:
            record |= json.loads(result.to_json())
        records.append(record)
    if as_json:
        print_json(records)
    else:
        label = value_label(evaluator)
        print_table(
            "",
            ("cell", label, "parameters", "seconds"),
            [
                (
                    compact(architecture),
                    f"{record['value']:.4f}" if "value" in record else f"failed: {record['reason']}",
                    _parameters(record),
                    f"{record['seconds']:.1f}" if "seconds" in record else None,
                )
                for architecture, record in zip(architectures, records, strict=True)
            ],
            right="parameters seconds",
        )
    if not any("value" in record for record in records):
        raise Failed(f"no architecture of {file} could be evaluated: {records[-1]['reason']}")


def _parameters(record: dict[str, Any]) -> str | None:
    metrics = record.get("metrics", {})
    count = metrics.get("parameters", metrics.get("params"))
    return None if count is None else f"{int(count):,}"


def export(
    file: FileArgument,
    task: TaskOption = None,
    size: SizeOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("export"),
    name: Annotated[str, typer.Option("--name", help="Name of the files, a Python identifier.")] = "network",
    epochs: EpochsOption = None,
    space: SpaceOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Train the first architecture of a file and write it as plain PyTorch source with its weights.

    The source needs torch and safetensors, not graphnas.

    [bold]Example[/bold]

      graphnas export best.json --task digits --out export
    """
    set_threads(1)
    from graphnas.networks import count_parameters, export_source

    loaded = open_space(space or read_architectures(file)[0].space, limit)
    architecture = read_architectures(file, loaded)[0]
    evaluator = make_evaluator(objective_word(task, None, size), loaded, epochs=epochs, device=choose_device(device))
    test, network = test_best(evaluator, architecture, seed=seed, budget=None, folder=None)
    path = export_source(network, out, name=name, title=f"A cell of {loaded.name}, trained.")
    parameters = count_parameters(network)
    weights = path.with_suffix(".safetensors")
    if as_json:
        print_json({"source": str(path), "weights": str(weights), "parameters": parameters, "test": test})
    else:
        typer.echo(f"{path} and {weights.name}: {parameters:,} parameters, test accuracy {test['test_accuracy']:.4f}")
