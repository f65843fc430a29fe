"""`graphnas import`: networks of any origin as graphs of cells."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from graphnas.cli.console import BadData, JsonOption, print_json, print_table, printable, set_threads, writing

if TYPE_CHECKING:
    from torch import nn

    from graphnas.cell import Cell
    from graphnas.importing import CoarseGraph, FoundCell, Macro, Recognised

USUAL = "3x224x224"
"""Shape of an image where none is given."""
_SPACES = ("nasbench101", "nasbench201", "darts", "enas")
_TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
_MOST_BLOCKS = 12  # of a network that are shown


def import_networks(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK...",
            help="FILE.onnx, FILE.graphml, or FILE.py:NAME, a network or a function that makes it.",
        ),
    ],
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SHAPE[:TYPE]",
            help="Shape of an input of networks in PyTorch without the batch, one for each input, such as 3x32x32 or "
            "16:int64; of the type of the weights if none is given.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write: graphs and what was found, as JSON.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read networks, take them apart, and say which parts are cells of a known space.

    Files of Python are run, as when they are imported; weights are not looked at.

    [bold]Examples[/bold]

      graphnas import resnet.py:resnet18 model.onnx

      graphnas import mine.py:net --input 3x32x32 --out mine.json
    """
    set_threads(1)
    from graphnas.importing import ImportFailed, macro_structure, recognise_cells, recognise_network
    from graphnas.spaces import Space

    shapes = [input_of(text) for text in image or [USUAL]]
    if out is not None:
        keep_sources(out, networks, "--out")
    spaces = [Space.load(name) for name in _SPACES]
    records = []
    for name in networks:
        try:
            graph = read_network(name, shapes)
        except (ImportFailed, FileNotFoundError, ImportError) as error:
            message = str(error)
            raise BadData(message if message.startswith(name) else f"{name}: {message}") from None
        macro = macro_structure(graph)
        record = _record(name, graph, macro, recognise_network(graph, spaces), recognise_cells(graph, macro, spaces))
        records.append(record)
        if out is not None:
            # After each, so that one that cannot be read does not cost the others.
            with writing(out):
                out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        if not as_json:
            _show(record)
    if out is not None and not as_json:
        typer.echo(f"{len(records)} networks written to {out}")
    if as_json:
        print_json(records)


class InputShape(NamedTuple):
    """An input of a network."""

    sizes: tuple[int, ...]
    """Without the batch."""
    kind: str | None
    """Its type by PyTorch's name; None for that of the network's weights."""


def is_network(name: str) -> bool:
    """Whether a source is `FILE.onnx`, `FILE.graphml` or `FILE.py:NAME`."""
    return name.lower().endswith((".onnx", ".graphml")) or re.search(r"\.py:[^:]+$", name) is not None


def keep_sources(written: Path, sources: Sequence[str], option: str) -> None:
    """Refuse to write a file that is read.

    Raises:
        BadParameter: naming it and the option.
    """
    read = [Path(name.rpartition(":")[0] if re.search(r"\.py:[^:]+$", name) else name) for name in sources]
    if written.resolve() in [one.resolve() for one in read]:
        raise typer.BadParameter(f"{option} {written}: expected another file than those that are read")


def read_network(name: str, shapes: Sequence[InputShape]) -> CoarseGraph:
    """A network, as vertices.

    Raises:
        ImportFailed: as the readers.
        BadData: if it is no network.
    """
    from graphnas.importing import coarsen, graph_of_cell, read_onnx, trace
    from graphnas.importing.tracing import precision

    if not is_network(name):
        raise BadData(f"{name}: expected FILE.onnx, FILE.graphml or FILE.py:NAME")
    file, _, attribute = name.rpartition(":")
    if name.lower().endswith(".graphml"):
        return graph_of_cell(read_cell(name))
    if name.lower().endswith(".onnx"):
        if not Path(name).is_file():
            raise BadData(f"{name}: there is no such file")
        return coarsen(read_onnx(name))
    import torch

    network = _network(Path(file), attribute)
    try:
        usual = precision(network)
        types = [usual if shape.kind is None else getattr(torch, shape.kind) for shape in shapes]
        images = [torch.zeros(2, *shape.sizes, dtype=one) for shape, one in zip(shapes, types, strict=True)]
    except (RuntimeError, MemoryError) as error:
        raise BadData(f"--input: {error!s:.200}") from None
    return coarsen(trace(network, *images))


def read_cell(name: str) -> Cell:
    """The cell of a GraphML file.

    Raises:
        BadData: if it holds none.
    """
    from graphnas.cli.architectures import read_text
    from graphnas.formats.graphs import from_graphml

    if not Path(name).is_file():
        raise BadData(f"{name}: there is no such file")
    try:
        return from_graphml(read_text(Path(name)))
    except ValueError as error:
        raise BadData(f"{name}: {error}") from None


def _network(path: Path, attribute: str) -> nn.Module:
    """What a file of Python calls by a name, or what that makes when it is called.

    Raises:
        BadData: if there is no such file or name, it is no network, or making it fails.
    """
    from torch import nn

    if not path.is_file():
        raise BadData(f"{path}: there is no such file")
    # Not the file's own name, which may be that of a package.
    name = f"graphnas_imported_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # As Python does: what lies beside a file can be imported by it, and its classes can find their module.
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, attribute):
            raise BadData(f"{path}: there is no {attribute!r} in it")
        found = getattr(module, attribute)
        network = found if isinstance(found, nn.Module) else found()
    except BadData:
        raise
    except (Exception, SystemExit) as error:
        raise BadData(f"{path}:{attribute}: {type(error).__name__}: {error!s:.200}") from None
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(beside)
    if not isinstance(network, nn.Module):
        raise BadData(f"{path}:{attribute}: expected a network of PyTorch, but got {type(network).__name__}")
    return network


def input_of(text: str) -> InputShape:
    """What an option `--input` writes."""
    found = re.fullmatch(rf"([1-9]\d{{0,5}}(?:x[1-9]\d{{0,5}})*)(?::({'|'.join(_TYPES)}))?", text)
    if found is None:
        raise typer.BadParameter(
            f"--input: expected sizes with x between, as in 3x224x224, and a type out of {', '.join(_TYPES)} behind a "
            f"colon if it is another than that of the weights, but got {text!r}"
        )
    return InputShape(tuple(map(int, found[1].split("x"))), found[2])


def _record(
    name: str, graph: CoarseGraph, macro: Macro, network: Recognised | None, cells: Sequence[FoundCell]
) -> dict[str, Any]:
    account = graph.mapping
    return {
        "network": name,
        "parameters": graph.parameters,
        "operators": account.operators,
        "mapped": account.share,
        "vertices": dict(account.vertices),
        "fused": dict(account.fused),
        "passed_over": dict(account.passed_over),
        "unmapped": dict(account.unmapped),
        "unread": dict(account.unread),
        "constants": account.constants,
        "graph": graph.cell().to_dict(),
        "blocks": [{"count": block.count, "cell": block.cell.to_dict()} for block in macro.blocks],
        "sequence": [list(pair) for pair in macro.sequence],
        "recognised": None
        if network is None
        else {
            "space": network.space,
            "architecture": json.loads(network.architecture.to_json()),
            "sizes": dict(network.sizes),
        },
        "cells": [
            {"space": one.space, "count": len(one.places), "architecture": json.loads(one.architecture.to_json())}
            for one in cells
        ],
    }


def _show(record: dict[str, Any]) -> None:
    from graphnas.cell import is_input

    typer.echo(
        f"{record['network']}: {record['operators']:,} operators, {100 * record['mapped']:.1f} % of them known; "
        f"{len(record['graph']['ops']) - 1:,} vertices"
    )
    if record["unmapped"]:
        typer.echo("  unknown: " + _counted(record["unmapped"]))
    if record["passed_over"]:
        typer.echo("  passed over, since they change form or scale alone: " + _counted(record["passed_over"]))
    if record["unread"]:
        typer.echo("  not part of it, since no output depends on them: " + _counted(record["unread"]))
    if record["constants"]:
        typer.echo(f"  not part of it, since they do not depend on the input: {record['constants']} operators")
    rows = [
        (
            _letter(number),
            block["count"],
            " ".join(block["cell"]["ops"][1:-1][:10]) + (" ..." if len(block["cell"]["ops"]) > 12 else ""),
        )
        for number, block in enumerate(record["blocks"][:_MOST_BLOCKS])
    ]
    print_table("", ("block", "times", "vertices"), rows, right="times")
    order = [f"{count} {_letter(number)}" if count > 1 else _letter(number) for number, count in record["sequence"]]
    typer.echo("  in the order " + ", ".join(order[:40]) + (", ..." if len(order) > 40 else ""))
    if record["recognised"] is not None:
        found = record["recognised"]
        sizes = ", ".join(f"{key} {value}" for key, value in found["sizes"].items())
        typer.echo(f"  the network of an architecture of {found['space']} ({sizes}):")
        typer.echo(f"  {json.dumps(found['architecture'])}")
    for one in record["cells"][:3]:
        cells = [" ".join(op for op in cell["ops"][:-1] if not is_input(op)) for cell in one["architecture"]["cells"]]
        what = "a cell" if len(cells) == 1 else "cells"
        typer.echo(f"  {what} of {one['space']}, {one['count']} times: {'; '.join(cells)}")
    typer.echo("")


def _counted(numbers: Mapping[str, int]) -> str:
    return printable(", ".join(f"{count} {name}" for name, count in numbers.items()))


def _letter(number: int) -> str:
    """A, B, ..., Z, A1, B1, ..."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number > 25 else "")
