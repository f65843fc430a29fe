"""`graphnas embed --encoder universal`: networks and architectures of any space, beside one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from graphnas.cli.console import BadData, print_json, print_table, printable, writing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.analysis.any_origin import Embedded, KnownCells
    from graphnas.cli.importing import InputShape
    from graphnas.encoders import CellAutoencoder
    from graphnas.spaces import Space

_SPACES = ("nasbench101", "nasbench201", "darts", "enas")
_DRAWN = 1_000  # random architectures of each space that are known without a value
_LABELLED = 20_000  # of a table whose values are learnt, all of which may be neighbours
_FAR = 3.0  # usual distances from which a prediction is called a guess


def embed_any(
    model: CellAutoencoder,
    sources: Sequence[str],
    shapes: Sequence[InputShape],
    out: Path,
    *,
    neighbours: int,
    predict: str | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Embed networks and files of architectures, and say what they are like.

    Args:
        model: A universal autoencoder.
        sources: `FILE.onnx`, `FILE.graphml`, `FILE.py:NAME` or files of architectures.
        shapes: Of the inputs of networks in PyTorch.
        out: Table of the points.
        neighbours: Known architectures that are named for each source.
        predict: Space of a table whose values are learnt, with `:COLUMN` for another than its usual one.
        page: HTML file of a map; None for no map.
        as_json: Whether to print a record instead of tables.
    """
    import numpy as np

    from graphnas.analysis.any_origin import points_of, predict_values

    found = [one for source in dict.fromkeys(sources) for one in _of_source(model, source, shapes)]
    if not found:
        raise BadData(f"nothing of {', '.join(sources)} can be embedded")
    known, values = _known(model, predict)
    by_whole = points_of(found)
    points = np.stack(list(by_whole.values()))
    with writing(out):
        _write(out, found)
    records = [_record([one for one in found if one.whole == whole]) for whole in by_whole]
    _add_neighbours(records, known, points, neighbours)
    if predict is not None:
        for record, one in zip(records, predict_values(known[0], points), strict=True):
            record["predicted"] = {"mean": one.mean, "std": one.std, "distance": one.distance}
    if page is not None:
        _draw(page, found, known)
    if as_json:
        drawn = None if page is None else str(page)
        print_json({"file": str(out), "map": drawn, "rows": len(found), "predicted": values, "parts": records})
        return
    _show(records, values)
    drawn = "" if page is None else f", a map to {page}"
    typer.echo(f"{len(found)} points of {model.cell_dim} dimensions written to {out}{drawn}")


def _record(parts: Sequence[Embedded]) -> dict[str, Any]:
    """What is said of an architecture or of a block of a network; neighbours are to come."""
    from graphnas.analysis.any_origin import WHOLE

    first, unmapped = parts[0], Counter[str]()
    for one in parts:
        unmapped.update(one.unmapped)
    return {
        "source": first.source,
        "part": first.part if first.whole != first.source else None,
        "count": first.count,
        "vertices": None if first.part == WHOLE else sum(one.cell.size for one in parts),
        "unmapped": dict(unmapped),
        "neighbours": [],
    }


def _of_source(model: CellAutoencoder, source: str, shapes: Sequence[InputShape]) -> list[Embedded]:
    from graphnas.analysis.any_origin import LARGEST, embed_architectures, embed_cell, embed_network
    from graphnas.cli.architectures import read_architectures
    from graphnas.cli.importing import is_network, read_cell, read_network
    from graphnas.importing import ImportFailed, graph_of_cell, macro_structure
    from graphnas.spaces import Space

    if is_network(source):
        try:
            if source.lower().endswith(".graphml") and (cell := read_cell(source)).size <= LARGEST:
                graph_of_cell(cell)  # refuses one that no path leads through
                return [embed_cell(model, source, cell)]
            graph = read_network(source, shapes)
        except (ImportFailed, FileNotFoundError, ImportError) as error:
            message = str(error)
            raise BadData(message if message.startswith(source) else f"{source}: {message}") from None
        return embed_network(model, source, macro_structure(graph))
    if source.endswith(".py"):
        raise BadData(f"{source}: expected {source}:NAME, a network or a function that makes it")
    if not Path(source).is_file():
        raise BadData(f"{source}: expected FILE.onnx, FILE.py:NAME or a file of architectures, but there is none")
    found: list[Embedded] = []
    architectures = read_architectures(Path(source))
    names = [source if len(architectures) == 1 else f"{source} {number}" for number in range(len(architectures))]
    for space in dict.fromkeys(one.space for one in architectures):
        if space not in Space.names():
            raise BadData(f"{source}: expected a space of {', '.join(Space.names())}, but got {space!r}")
        mine = [number for number, one in enumerate(architectures) if one.space == space]
        found += embed_architectures(
            model, [names[number] for number in mine], _whole(space), [architectures[number] for number in mine]
        )
    return found


def _whole(name: str) -> Space:
    """A space with all operations that its tables hold."""
    from graphnas.spaces import Space

    space = Space.load(name)
    return Space.load(name, exclude=[]) if "exclude" in space.topology.settings else space


def _known(model: CellAutoencoder, predict: str | None) -> tuple[list[KnownCells], str | None]:
    """Random architectures of all spaces, and first those of a table with their values; what these values are."""
    import numpy as np

    from graphnas.analysis.any_origin import KnownCells
    from graphnas.evaluate import open_table
    from graphnas.spaces import Space

    rng, known, about = np.random.default_rng(0), [], None
    named, _, column = (predict or "").partition(":")
    if predict is not None:
        try:
            table = open_table(named)
        except (FileNotFoundError, ValueError) as error:
            raise BadData(f"--predict {predict}: {error}") from None
        query = column or table.query
        if query not in table.metrics:
            raise typer.BadParameter(
                f"--predict {predict}: {query!r} is no metric; there are {', '.join(table.metrics)}"
            )
        about = f"{query.replace('_', ' ')} in {named}"
        values = table.column(query).astype(np.float64)
        rows = rng.permutation(np.flatnonzero(np.isfinite(values)))[:_LABELLED]
        space = _whole(named)
        known.append(KnownCells.of(model, space, table.architectures(rows.tolist()), values[rows]))
    for name in _SPACES:
        if name != named:
            space = Space.load(name)
            drawn = space.sample(_DRAWN, rng)
            known.append(KnownCells.of(model, space, drawn, np.full(_DRAWN, np.nan)))
    return known, about


def _add_neighbours(
    records: list[dict[str, Any]], known: Sequence[KnownCells], points: NDArray[np.float64], count: int
) -> None:
    import json
    import math

    asked = [one.nearest(points, count) for one in known]
    for number, record in enumerate(records):
        near = []
        for one, (distances, rows) in zip(known, asked, strict=True):
            for distance, row in zip(distances[number].tolist(), rows[number].tolist(), strict=True):
                value = float(one.values[row])
                architecture = json.loads(one.architectures[row].to_json())
                entry = {"distance": distance, "space": one.space.name, "architecture": architecture}
                near.append(entry if math.isnan(value) else {**entry, "value": value})
        record["neighbours"] = sorted(near, key=lambda entry: entry["distance"])[:count]


def _show(records: Sequence[dict[str, Any]], values: str | None) -> None:
    """One row for each architecture or block, followed by those of its further neighbours."""
    from graphnas.cell import Architecture
    from graphnas.report.page import compact

    unmapped = Counter[str]()
    for record in records:
        unmapped.update(record["unmapped"])
    columns = ["source", "part", "times", "vertices", *(["predicted"] if values else [])]
    columns += ["distance", "space", *(["value"] if values else []), "nearest known"]
    rows: list[tuple[str, ...]] = []
    for record in records:
        about = [record["source"], record["part"] or "", str(record["count"]), str(record["vertices"] or "")]
        if values is not None:
            one = record["predicted"]
            mark = "?" if one["distance"] > _FAR else ""
            about.append(f"{one['mean']:.4f} ± {one['std']:.4f}{mark}")
        for one in record["neighbours"] or [None]:
            near = [""] * (len(columns) - len(about))
            if one is not None:
                value = [f"{one['value']:.4f}" if "value" in one else ""] if values else []
                known = compact(Architecture.from_dict(one["architecture"]), width=100)
                near = [f"{one['distance']:.2f}", one["space"], *value, known]
            rows.append((*about, *near))
            about = [""] * len(about)
    print_table("", columns, rows, right="times vertices predicted distance value")
    if values is not None:
        far = any(record["predicted"]["distance"] > _FAR for record in records)
        typer.echo(f"predicted: {values}")
        if far:
            typer.echo(
                f"?: a guess, more than {_FAR:g} times as far from the nearest cell with a value as such cells usually "
                "are from each other"
            )
    if unmapped:
        names = ", ".join(f"{count} {name}" for name, count in unmapped.most_common())
        typer.echo(f"read as other: {printable(names)}")


def _write(out: Path, found: Sequence[Embedded]) -> None:
    """One row for each part."""
    import json

    import numpy as np

    from graphnas.cli.latent import write_columns

    latent = np.stack([one.latent for one in found])
    about = {
        "source": [one.source for one in found],
        "part": [one.part for one in found],
        "count": [one.count for one in found],
        "cell": [json.dumps(one.cell.to_dict()) for one in found],
        "unmapped": [json.dumps(dict(one.unmapped)) for one in found],
    }
    with out.open("wb") as stream:
        if out.suffix == ".npz":
            arrays: dict[str, Any] = {name: np.array(column) for name, column in about.items()}
            np.savez_compressed(stream, mu=latent, **arrays)
        else:
            columns = {f"z{number}": latent[:, number] for number in range(latent.shape[1])}
            write_columns(stream, out.suffix, {**columns, **about})


def _draw(page: Path, found: Sequence[Embedded], known: Sequence[KnownCells]) -> None:
    """All parts and known cells in the plane of the leading components."""
    import numpy as np

    from graphnas.cell import to_arrays
    from graphnas.report.map_page import MapGroup, map_page, principal_plane
    from graphnas.spaces.universal import UNIVERSAL, computed, universal_arrays

    width = max([26, *(one.cell.size for one in found)])
    groups, points = [], []
    for one in known:
        # Of an architecture with several cells the first is drawn, at the mean of all.
        arrays = one.space.topology.canonical(one.space.to_arrays(one.architectures))
        first = arrays.take(np.arange(0, arrays.n, len(one.space.cell_names)))
        cells = computed(universal_arrays(one.space, first)).padded(width)
        metrics = {} if np.isnan(one.values).all() else {"value": one.values}
        groups.append(MapGroup(one.space.name, cells, metrics))
        points.append(one.latent)
    for source in dict.fromkeys(one.source for one in found):
        mine = [one for one in found if one.source == source]
        names = [f"{source} {one.part}, {one.count} times" for one in mine]
        cells = to_arrays([one.cell for one in mine], UNIVERSAL, width=width)
        groups.append(MapGroup(source, cells, names=names, marked=True))
        points.append(np.stack([one.latent for one in mine]))
    plane, axes = principal_plane(np.concatenate(points))
    note = "Latent means of one encoder for all spaces, two leading principal components; cells as what they compute."
    with writing(page):
        title = "Architectures of any origin"
        text = map_page(UNIVERSAL, ("cell",), groups, plane, title=title, note=note, axes=axes, by_origin=True)
        page.write_text(text, encoding="utf-8")
