"""`graphnas analyse`: what an architecture is near to, what lies between two, and why one is predicted to be good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphnas.cli.architectures import read_architectures
from graphnas.cli.console import (
    BadData,
    EncoderOption,
    JsonOption,
    LimitOption,
    SeedOption,
    print_json,
    print_table,
    set_threads,
)

if TYPE_CHECKING:
    from graphnas.encoders import CellAutoencoder

app = typer.Typer(
    no_args_is_help=True,
    help="Analyse architectures and latent spaces: neighbours, ways between two, explanations, trust.",
    epilog="Example: graphnas analyse explain cells.json --space nasbench101 --objective table",
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Architectures in any notation.")]


@app.command(epilog="Example: graphnas analyse neighbours mine.json --encoder nasbench101 --among known.json")
def neighbours(
    file: FileArgument,
    encoder: EncoderOption,
    among: Annotated[Path, typer.Option("--among", help="File of the architectures that are looked through.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Neighbours of each.")] = 5,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """For each architecture the nearest of others, by the distance that the latent search goes by."""
    set_threads(1)
    from sklearn.neighbors import NearestNeighbors

    from graphnas.predictors import latent_encoding
    from graphnas.report.page import compact

    model = _encoder(encoder, limit)
    asked, known = (read_architectures(one, model.space) for one in (file, among))
    place = latent_encoding(model.space, model)
    found = NearestNeighbors(n_neighbors=min(count, len(known))).fit(place(known))
    distances, rows = found.kneighbors(place(asked))
    records = [
        {
            "architecture": json.loads(one.to_json()),
            "neighbours": [
                {"row": int(row), "distance": float(distance), "architecture": json.loads(known[row].to_json())}
                for row, distance in zip(rows[number], distances[number], strict=True)
            ],
        }
        for number, one in enumerate(asked)
    ]
    if as_json:
        print_json(records)
        return
    for number, one in enumerate(asked):
        lines = [(int(row), f"{distance:.3f}", compact(known[row]))
                 for row, distance in zip(rows[number], distances[number], strict=True)]  # fmt: skip
        print_table(compact(one), ("row", "distance", "cell"), lines, right="row distance")


@app.command(epilog="Example: graphnas analyse interpolate two.json --encoder nasbench201 --steps 9")
def interpolate(
    file: FileArgument,
    encoder: EncoderOption,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Points, both ends among them.")] = 9,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode the points between the first two architectures of a file, and count the edits from one to the next."""
    set_threads(1)
    from graphnas import analysis
    from graphnas.report.page import compact

    model = _encoder(encoder, limit)
    found = read_architectures(file, model.space)
    if len(found) < 2:
        raise BadData(f"{file}: expected two architectures, but got one")
    way = analysis.interpolate(model.space, model, found[0], found[1], steps=steps)
    if as_json:
        print_json(
            [
                {
                    "share": one.share,
                    "architecture": json.loads(one.architecture.to_json()),
                    "edits": one.edits,
                    "from_first": one.from_first,
                    "to_last": one.to_last,
                }
                for one in way
            ]
        )
        return
    rows = [(f"{one.share:.2f}", one.edits, one.from_first, one.to_last, compact(one.architecture)) for one in way]
    columns = ("share", "edits", "from the first", "to the last", "cell")
    print_table("", columns, rows, right=columns[:-1])


@app.command(epilog="Example: graphnas analyse explain best.json --space nasbench201 --objective table")
def explain(
    file: FileArgument,
    space: Annotated[str, typer.Option("--space", help="Space of the architectures.")],
    objective: Annotated[
        str, typer.Option("--objective", help="What judges: table, table:FILE, surrogate:NAME or proxy:NAME.")
    ] = "table",
    metric: Annotated[str | None, typer.Option("--metric", help="Column of a table.")] = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Alter every vertex and every edge, and say what that does to the value, and which edit would gain most."""
    set_threads(1)
    import numpy as np

    from graphnas import analysis
    from graphnas.cli.console import open_space
    from graphnas.cli.objectives import make_evaluator, objective_word
    from graphnas.report.page import compact
    from graphnas.search.judging import values_by

    loaded = open_space(space, limit)
    try:
        evaluator = make_evaluator(objective_word(None, objective), loaded, metric=metric)
    except (FileNotFoundError, ValueError) as error:
        raise BadData(str(error)) from None

    values = values_by(evaluator)
    records = []
    for one in read_architectures(file, loaded):
        found = analysis.explain(loaded, one, lambda some: np.array(values(some)))
        records.append(
            {
                "architecture": json.loads(one.to_json()),
                "value": found.value,
                "parts": [
                    {
                        "cell": part.cell,
                        "vertices": list(part.vertices),
                        "label": part.label,
                        "change": part.change,
                        "edits": part.edits,
                    }
                    for part in found.parts
                ],
                "best": None if found.best is None else json.loads(found.best.to_json()),
                "gain": found.gain,
                "neighbours": found.neighbours,
            }
        )
        if as_json:
            continue
        rows = [
            (part.cell, _place(part.vertices), part.label, f"{part.change:+.4f}", part.edits) for part in found.parts
        ]
        print_table(
            f"{compact(one)}: {found.value:.4f}",
            ("cell", "vertex or edge", "what it is", "mean change if altered", "edits"),
            rows,
            right=("mean change if altered", "edits"),
        )
        if found.best is not None:
            typer.echo(f"Of {found.neighbours} neighbours the best is {found.gain:+.4f}: {compact(found.best)}")
    if as_json:
        print_json(records)


@app.command(epilog="Example: graphnas analyse trust nasbench201 --objective table")
def trust(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="Name of a trained encoder, or its folder.")],
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What values some random architectures: table, table:FILE, surrogate:NAME or proxy:NAME; without it "
            "only what needs no values is looked at.",
        ),
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Column of a table.")] = None,
    count: Annotated[int, typer.Option("--count", min=20, help="Random architectures.")] = 200,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Say whether a latent search can be expected to pay, before anything is spent on one.

    Reconstruction, idle dimensions, dead zones, whether distance follows edits; with --objective also whether it
    follows value, how well a model of few values ranks others, and whether its uncertainty is about right.
    """
    set_threads(1)
    from dataclasses import asdict

    from graphnas import analysis
    from graphnas.cli.objectives import make_evaluator, objective_word
    from graphnas.search.judging import values_by

    model = _encoder(encoder, limit)
    try:
        values = None
        if objective is not None:
            values = values_by(make_evaluator(objective_word(None, objective), model.space, metric=metric))
        found = analysis.diagnose(model, values=values, architectures=count, seed=seed)
    except (FileNotFoundError, ValueError) as error:
        raise BadData(str(error)) from None
    if as_json:
        findings = [asdict(finding) for finding in found.findings]
        print_json({"verdict": found.verdict, "words": found.words, "findings": findings})
        return
    rows = [(one.name, f"{one.value:.2f}", one.verdict, one.words) for one in found.findings]
    print_table("", ("measure", "value", "verdict", "what follows"), rows, right="value")
    typer.echo(found.words)


def _place(vertices: tuple[int, ...]) -> str:
    return " - ".join(map(str, vertices))


def _encoder(name: str, limit: list[str] | None) -> CellAutoencoder:
    from graphnas.cli.latent import open_encoder_of_one

    return open_encoder_of_one(name, limit)
