"""`graphnas spaces`: what can be searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphnas.cli.console import (
    BadData,
    JsonOption,
    LimitOption,
    SeedOption,
    SpaceArgument,
    open_space,
    print_json,
    print_table,
    writing,
)

if TYPE_CHECKING:
    from graphnas.spaces import Space

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, check and draw from search spaces.",
    epilog="Example: graphnas spaces show nasbench101",
)


@app.command("list", epilog="Example: graphnas spaces list")
def list_spaces(as_json: JsonOption = False) -> None:
    """List the spaces that come with graphnas."""
    from graphnas.spaces import Space

    rows = [_summary(Space.load(name)) for name in Space.names()]
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("name", "title", "classes", "operations", "paper"),
        [(row["name"], row["title"], _count(row["size"]), ", ".join(row["operations"]), row["paper"]) for row in rows],
        right="classes",
    )


@app.command(epilog="Example: graphnas spaces show nasbench101")
def show(space: SpaceArgument, limit: LimitOption = None, as_json: JsonOption = False) -> None:
    """Show one space."""
    loaded = open_space(space, limit)
    summary = _summary(loaded)
    if as_json:
        print_json(summary)
        return
    topology = ", ".join(f"{key} {value}" for key, value in summary["topology"].items())
    network = ", ".join(f"{key} {value}" for key, value in summary["network"].items())
    rows = [
        ("name", summary["name"]),
        ("title", summary["title"]),
        ("paper", summary["paper"]),
        ("cells", ", ".join(summary["cells"])),
        ("operations", ", ".join(summary["operations"])),
        ("topology", topology),
        ("network", network),
        ("classes", _count(summary["size"])),
        ("decisions", summary["decisions"]),
        ("file", loaded.path),
    ]
    print_table("", ("", ""), rows)


@app.command(epilog="Example: graphnas spaces check myspace.toml")
def check(file: Annotated[Path, typer.Argument(help="A space file.")], as_json: JsonOption = False) -> None:
    """Check a space file and the networks of some architectures; a mistake is named and ends with exit code 3."""
    import numpy as np

    from graphnas.networks import build_network
    from graphnas.spaces import Space

    space = Space.load(file)
    counted = _count_classes(space)
    if counted is not None and counted != space.size:
        raise BadData(f"{file}: size: expected {counted:,}, the number of classes, but got {space.size:,}")
    for architecture in space.sample(16, np.random.default_rng(0)):
        space.validate(architecture)
        if space.network:
            try:
                build_network(architecture, space, device="meta")
            except ValueError as error:
                raise BadData(f"{file}: network: {error}") from None
    if as_json:
        print_json({"file": str(file), "ok": True, **_summary(space)})
    else:
        typer.echo(f"{file} is a valid space: {space.title}, {len(space.operations)} operations")


@app.command(epilog="Example: graphnas spaces sample nasbench101 -n 5 --out cells.json")
def sample(
    space: SpaceArgument,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Number of architectures.")] = 1,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: Annotated[Path | None, typer.Option("--out", help="File to write, one architecture a line.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw random architectures, one JSON value a line."""
    import numpy as np

    loaded = open_space(space, limit)
    drawn = loaded.sample(n, np.random.default_rng(seed))
    if out is not None:
        with writing(out):
            out.write_text("".join(f"{architecture.to_json()}\n" for architecture in drawn), encoding="utf-8")
    if as_json:
        import json

        print_json([json.loads(architecture.to_json()) for architecture in drawn])
    elif out is None:
        for architecture in drawn:
            typer.echo(architecture.to_json())
    else:
        typer.echo(f"{n} architectures written to {out}")


@app.command(epilog="Example: graphnas spaces draw nasbench101 best.json")
def draw(
    space: SpaceArgument,
    file: Annotated[
        Path | None, typer.Argument(help="File of architectures; the first is drawn. A random one if left out.")
    ] = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="SVG file to write; drawn here as text if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw an architecture, as text or as SVG.

    In the drawing as text, a line turns down from every vertex and left again into each that it feeds.
    """
    import sys

    import numpy as np

    from graphnas.cli.architectures import read_architectures
    from graphnas.report.drawing import architecture_svg
    from graphnas.report.terminal import architecture_text

    loaded = open_space(space, limit)
    if file is None:
        (architecture,) = loaded.sample(1, np.random.default_rng(seed))
    else:
        architecture = read_architectures(file, loaded)[0]
    if out is not None:
        with writing(out):
            out.write_text(architecture_svg(architecture, loaded.cell_names) + "\n", encoding="utf-8")
    if as_json:
        import json

        print_json({"file": None if out is None else str(out), "architecture": json.loads(architecture.to_json())})
    elif out is not None:
        typer.echo(f"Drawn to {out}")
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        typer.echo(architecture_text(architecture, loaded.cell_names, ascii_only=not unicode))


def _summary(space: Any) -> dict[str, Any]:
    settings = {"kind": space.topology.kind, **space.topology.settings}
    return {
        "name": space.name,
        "title": space.title,
        "paper": space.paper,
        "cells": list(space.cell_names),
        "operations": list(space.operations),
        "topology": settings,
        "network": dict(space.network),
        "size": space.size,
        "decisions": len(space.decision_names),
    }


def _count_classes(space: Space) -> int | None:
    """Number of architectures up to their hash, where it can be told within seconds."""
    parts, labelled = len(space.cell_names), space.topology.count
    classes = space.topology.classes()
    if classes is None and labelled is not None and labelled <= 2_000_000 and space.size is not None:
        classes = space.topology.enumerate().n
    return None if classes is None else int(classes) ** parts


def _count(size: int | None) -> str:
    return "not counted" if size is None else f"{size:,}"
