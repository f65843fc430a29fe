"""`graphnas map`: architectures in a latent space as a page to look at."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphnas.cli.architectures import read_architectures
from graphnas.cli.board import BoardOption, open_board, project
from graphnas.cli.console import (
    BadData,
    EncoderOption,
    Failed,
    JsonOption,
    LimitOption,
    SeedOption,
    print_json,
    set_threads,
    writing,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from graphnas.encoders import CellAutoencoder
    from graphnas.report.map_page import MapGroup


class Plane(StrEnum):
    """Ways to lay points out."""

    pca = "pca"
    umap = "umap"


_FEWEST_UMAP = 4  # architectures that have neighbours to be laid out by


def draw_map(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Folders of searches, files of architectures, table or table:FILE; one or more."
        ),
    ],
    encoder: EncoderOption,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("map.html"),
    metric: Annotated[str | None, typer.Option("--metric", help="Column of a table that comes first.")] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Rows of a table that are drawn, at random if it has more.")
    ] = 10_000,
    background: Annotated[int, typer.Option("--background", min=0, help="Random architectures behind them.")] = 0,
    plane: Annotated[
        Plane,
        typer.Option("--plane", help="How points are laid out: principal components, or UMAP, which shows clusters."),
    ] = Plane.pca,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page.")] = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    tensorboard: BoardOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a map: principal components of the latent means, to colour by any metric, to zoom and to point at.

    Architectures are drawn when they are pointed at; of a search its path and, of several objectives, its Pareto set
    are drawn too. The page is one file that needs no network. With --tensorboard the latent points themselves, in all
    dimensions, go to its projector as well.

    [bold]Examples[/bold]

      graphnas map table --encoder nasbench201 --out map.html

      graphnas map results/search-1 results/search-2 --encoder nasbench101 --background 2000
    """
    set_threads(1)
    import numpy as np

    from graphnas.cli.latent import open_encoder_of_one
    from graphnas.predictors import latent_encoding
    from graphnas.report.map_page import MapGroup, map_page

    model = open_encoder_of_one(encoder, limit)
    space = model.space
    groups = [_group(source, model, metric, most, seed) for source in sources]
    if background:
        drawn = space.sample_arrays(background, np.random.default_rng(seed))
        groups.insert(0, MapGroup("random", drawn))
    place = latent_encoding(space, model, metric=False)
    latent = np.concatenate([place(group.cells) for group in groups])
    points, axes, words = lay_out(latent, plane, seed)
    heading = title or f"Map of {space.title}"
    note = f"Latent means of the encoder {encoder}, {words}. {space.paper}."
    page = map_page(space.vocabulary, space.cell_names, groups, points, title=heading, note=note, axes=axes)
    with writing(out):
        out.write_text(page, encoding="utf-8")
    if tensorboard is not None:
        with open_board(tensorboard, step=0) as writer:
            project(writer, latent, _columns(groups, len(space.cell_names)))
    if as_json:
        print_json({"file": str(out), "architectures": len(points), "bytes": out.stat().st_size})
    else:
        typer.echo(f"{len(points):,} architectures drawn in {out} ({out.stat().st_size / 2**20:.1f} MiB)")


def lay_out(latent: NDArray[np.float64], plane: Plane, seed: int) -> tuple[NDArray[np.float64], tuple[str, str], str]:
    """`n x 2` places of `n x d` points, what their coordinates are, and in words.

    Raises:
        Failed: if UMAP is not installed.
    """
    from graphnas.report.map_page import principal_plane

    if plane is Plane.umap and len(latent) < _FEWEST_UMAP:
        raise BadData(f"--plane umap needs {_FEWEST_UMAP} architectures or more, but there are {len(latent)}")
    if plane is Plane.pca:
        points, axes = principal_plane(latent)
        return points, axes, "two leading principal components"
    try:
        from umap import UMAP
    except ImportError:
        raise Failed("--plane umap needs a package that is not there: pip install 'graphnas[umap]'") from None
    with warnings.catch_warnings():
        # That one thread is used, since there is a seed.
        warnings.simplefilter("ignore")
        points = UMAP(n_neighbors=min(15, len(latent) - 1), random_state=seed, n_jobs=1).fit_transform(latent)
    return points.astype(float), ("first coordinate", "second coordinate"), "laid out by UMAP (McInnes et al. 2018)"


def _columns(groups: Sequence[MapGroup], parts: int) -> dict[str, list[object]]:
    """What is known of each architecture, for TensorBoard."""
    names = list(dict.fromkeys(name for group in groups for name in group.metrics))
    columns: dict[str, list[object]] = {"origin": [], "name": [], **{name: [] for name in names}}
    for group in groups:
        count = group.cells.n // parts
        columns["origin"] += [group.name] * count
        columns["name"] += list(group.names) or [""] * count
        for name in names:
            columns[name] += group.metrics[name].tolist() if name in group.metrics else [math.nan] * count
    return columns


def _group(source: str, model: CellAutoencoder, metric: str | None, most: int, seed: int) -> MapGroup:
    """The architectures of a source.

    Raises:
        BadData: if there are none.
    """
    from graphnas import studies
    from graphnas.report.map_page import MapGroup

    space = model.space
    try:
        if (Path(source) / studies.CONFIG).is_file():
            return _of_search(Path(source), model)
        if source.partition(":")[0] == "table":
            return _of_table(source.partition(":")[2] or None, model, metric, most, seed)
    except (FileNotFoundError, ValueError) as error:
        raise BadData(str(error)) from None
    found = read_architectures(Path(source), space)
    names = [f"entry {number}" for number in range(len(found))]
    return MapGroup(Path(source).stem, space.to_arrays(found), names=names)


def _of_table(path: str | None, model: CellAutoencoder, metric: str | None, most: int, seed: int) -> MapGroup:
    import numpy as np

    from graphnas.evaluate import open_table
    from graphnas.report.map_page import MapGroup
    from graphnas.report.study_map import MOST_METRICS

    space = model.space
    table = open_table(space.name, path)
    first = metric or table.query
    if first not in table.metrics:
        raise ValueError(f"{first!r} is no metric of {table.path.name}; it has {', '.join(table.metrics)}")
    rows = np.arange(len(table))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    chosen = list(dict.fromkeys((first, *table.report)))[: MOST_METRICS + 1]
    metrics = {name: table.column(name)[rows].astype(np.float64) for name in chosen}
    cells = space.to_arrays(table.architectures(rows.tolist()))
    minimised = [name for name in chosen if table.is_minimized(name)]
    return MapGroup(f"table {table.path.stem}", cells, metrics, minimised=minimised)


def _of_search(folder: Path, model: CellAutoencoder) -> MapGroup:
    from graphnas import studies
    from graphnas.report.study_map import group_of_study

    found = studies.load_space(folder)
    if found.name != model.space.name:
        raise ValueError(f"{folder}: expected a search of {model.space.name}, but this is one of {found.name}")
    return group_of_study(studies.resume(folder), model.space, folder.resolve().name)
